package source

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

// Login is what the server is entered with. Host, Port and User are Config's where they are empty. It prints without
// the password.
type Login struct {
	Host     string
	Port     uint16
	User     string
	Password string
	Origin   string // where it comes from, for messages: "secret tickets/db"; may be empty
	Version  string // which of several that its origin had, for messages; may be empty
	Cure     string // what to do where the server refuses it; may be empty
	// InClear says that the server gets the password as it is, not a hash of it: it leaves this process only over TLS
	// that knows whom it talks to.
	InClear bool
}

// String is the login without its password.
func (l Login) String() string {
	s := l.User
	if l.Origin != "" {
		s += " from " + l.Origin
	}
	if l.Version != "" {
		s += ", version " + l.Version
	}
	return s
}

// Format implements fmt.Formatter, so that no verb prints the password.
func (l Login) Format(f fmt.State, _ rune) { fmt.Fprint(f, l.String()) }

// Same reports whether two logins would be the same attempt.
func (l Login) Same(o Login) bool {
	return l.Host == o.Host && l.Port == o.Port && l.User == o.User && l.Password == o.Password
}

// In reports whether a list has the same login.
func (l Login) In(list []Login) bool { return slices.ContainsFunc(list, l.Same) }

// Logins says how the server is entered now. It is asked at every connect, from any goroutine, and again in the same
// connect while the server refuses what it said: refused holds these, the first one first. It returns ErrNoOtherLogin
// when it has nothing else to say. It may wait for other services until ctx ends; its errors are *LoginError.
type Logins interface {
	Login(ctx context.Context, refused []Login) (Login, error)
}

// ErrNoOtherLogin is returned when the server has refused every login that there is.
var ErrNoOtherLogin = errors.New("there is no other login")

// LoginError says that a login could not be had.
type LoginError struct {
	Origin string // "secret tickets/db", "file /run/secrets/mysql"
	Err    error
	Hint   string // what the operator can do
	// Final says that waiting does not help: what is asked for is not allowed, not there, or not a login.
	Final bool
	// Action and Resource are what IAM has to allow; empty where the error is about something else.
	Action, Resource string
}

func (e *LoginError) Error() string {
	s := "read " + e.Origin + ": " + e.Err.Error()
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

func (e *LoginError) Unwrap() error { return e.Err }

// login is what to enter with, from whatever knows it.
func (c Config) login(ctx context.Context, refused []Login) (Login, error) {
	switch {
	case c.Logins != nil:
		return c.Logins.Login(ctx, refused)
	case len(refused) > 0:
		return Login{}, ErrNoOtherLogin
	case c.Password == nil:
		return Login{}, nil
	}
	password, err := c.Password(ctx)
	return Login{Password: password}, err
}

// with is c as a login fills it in.
func (c Config) with(l Login) Config {
	if c.Host == "" {
		c.Host = l.Host
	}
	if c.Port == 0 {
		c.Port = l.Port
	}
	if c.User == "" {
		c.User = l.User
	}
	c.refused = l.Cure
	return c.withDefaults()
}

// maxLogins is how many logins one connect tries. A server may count refused ones and lock the account.
const maxLogins = 3

// enter logs in with what there is to log in with, one after the other while the server refuses it.
func enter(ctx context.Context, c Config) (*client.Conn, error) {
	var refused []Login
	var last error
	for {
		l, err := c.login(ctx, refused)
		switch {
		case err != nil && last == nil:
			return nil, failed(ctx, c, "get the password"+of(c.User), err)
		case errors.Is(err, ErrNoOtherLogin):
			return nil, last
		case err != nil:
			// The refusal is what counts, and what is being waited for; the other error says why nothing newer was tried.
			return nil, &Error{Step: "look for a newer password", Err: fmt.Errorf("%w (after: %w)", err, last)}
		}
		d := c.with(l)
		if err := complete(d, l); err != nil {
			return nil, failed(ctx, d, "connect", err)
		}
		conn, err := login(ctx, d, l)
		if err == nil {
			return conn, nil
		}
		last = failed(ctx, d, "connect to "+d.address(), err)
		if refused = append(refused, l); !badLogin(err) || len(refused) == maxLogins {
			return nil, last
		}
	}
}

// complete refuses a login that names neither host nor user where the configuration does not do so either.
func complete(c Config, l Login) error {
	switch {
	case c.Host == "" && l.Origin != "":
		return &LoginError{Origin: l.Origin, Err: errors.New("it names no host"), Hint: "put it there as host, or write source.host", Final: true}
	case c.User == "" && l.Origin != "":
		return &LoginError{Origin: l.Origin, Err: errors.New("it names no user"), Hint: "put it there as username, or write source.user", Final: true}
	}
	return nil
}

func of(user string) string {
	if user == "" {
		return ""
	}
	return " of " + user
}

// badLogin reports whether the server refused user or password.
func badLogin(err error) bool {
	my, ok := errors.AsType[*mysql.MyError](err)
	return ok && (my.Code == mysql.ER_ACCESS_DENIED_ERROR || my.Code == erAccessDeniedNoPassword)
}

// erAccessDeniedNoPassword is ER_ACCESS_DENIED_NO_PASSWORD_ERROR.
const erAccessDeniedNoPassword = 1698

// AtTheDoor reports whether an error is about getting into the server, not about what was asked there.
func AtTheDoor(err error) bool {
	if _, ok := errors.AsType[*LoginError](err); ok {
		return true
	}
	return badLogin(err)
}
