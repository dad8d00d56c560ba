package secrets

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// place is where a secret is kept. current reads the version that is in force, upcoming the one that a rotation is
// about to put in its place: ok is false where there is none, or where the place knows no such thing. Their errors say
// what failed and what to do; they never hold the secret.
type place interface {
	current(ctx context.Context) (source.Login, error)
	upcoming(ctx context.Context) (l source.Login, ok bool, err error)
	String() string // "secret tickets/db"
}

// Store hands out the login that a place keeps. It implements source.Logins.
//
// A secret is read when it is first needed, when it was read longer ago than Refresh, and when the server refuses what
// it said. While Secrets Manager rotates a password, there is a time when the server knows the new one already and the
// label AWSCURRENT is still on the old one; then it is the version labelled AWSPENDING that gets in, and it is tried
// after the current one. Connections that are open are not touched: a server asks for the password only once.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_how.html
type Store struct {
	place   place
	refresh time.Duration
	log     *slog.Logger

	turn chan struct{} // whose turn it is; covers what follows
	last source.Login
	read time.Time // when last was read; zero: never
	lost time.Time // when reading failed; zero: the last attempt did not

	health *outage.Watch // of the place, once a login is known
}

// Options are what all places have in common.
type Options struct {
	PasswordKey string        // in a secret that is a JSON object; default DefaultKey
	Refresh     time.Duration // how long what was read is good; 0: it is read at every login
	Log         *slog.Logger
}

func newStore(p place, o Options) *Store {
	return &Store{place: p, refresh: o.Refresh, log: o.Log, turn: make(chan struct{}, 1), health: outage.New(o.Log, "reading the source's password from "+p.String())}
}

const (
	// justRead is how old a reading may be that is not repeated when the server refuses it: many loaders find out at once.
	justRead = time.Second
	// pause is how long a place that failed is left alone, as long as something is known.
	pause = 5 * time.Second
	// longestRead leaves time to log in with what is known when the place does not answer.
	longestRead = 5 * time.Second
)

// String says where the secret is.
func (s *Store) String() string { return s.place.String() }

// Login implements source.Logins.
func (s *Store) Login(ctx context.Context, refused []source.Login) (source.Login, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return source.Login{}, context.Cause(ctx)
	}
	if len(refused) == 0 {
		return s.known(ctx)
	}
	return s.other(ctx, refused)
}

// known is what was read last, or what is there now if that was too long ago.
func (s *Store) known(ctx context.Context) (source.Login, error) {
	if !s.read.IsZero() && (s.refresh > 0 && time.Since(s.read) < s.refresh || time.Since(s.lost) < pause) {
		return s.last, nil
	}
	err := s.again(ctx)
	if err == nil || !s.read.IsZero() {
		return s.last, nil // what was good before may well be good still
	}
	return source.Login{}, err
}

// other is a login that the server has not refused.
func (s *Store) other(ctx context.Context, refused []source.Login) (source.Login, error) {
	if s.last.In(refused) && time.Since(s.read) >= min(justRead, s.refresh) {
		if err := s.again(ctx); err != nil {
			return source.Login{}, err
		}
	}
	if !s.last.In(refused) {
		return s.last, nil
	}
	short, cancel := shorter(ctx)
	defer cancel()
	next, ok, err := s.place.upcoming(short)
	switch {
	case err != nil:
		return source.Login{}, asLoginError(s.String(), err)
	case !ok || next.In(refused):
		return source.Login{}, source.ErrNoOtherLogin
	}
	next = s.from(next)
	s.log.Info("the source refuses the present password; trying the one that a rotation has under way", "from", next.Origin, "version", next.Version)
	return next, nil
}

// again reads the secret. A failure leaves what was known.
func (s *Store) again(ctx context.Context) error {
	short, cancel := shorter(ctx)
	defer cancel()
	l, err := s.place.current(short)
	if err != nil {
		failure := asLoginError(s.String(), err)
		if !s.read.IsZero() { // what is known is gone on with
			s.health.Failing(failure)
		}
		s.lost = time.Now()
		return failure
	}
	s.health.Working()
	l = s.from(l)
	if !s.read.IsZero() && !l.Same(s.last) {
		s.log.Info("the source's password has changed", "from", l.Origin, "version", l.Version)
	}
	s.last, s.read, s.lost = l, time.Now(), time.Time{}
	return nil
}

// shorter leaves half of the time that there is to what comes after reading.
func shorter(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := longestRead
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	return context.WithTimeout(ctx, limit)
}

// from completes a login with where it comes from.
func (s *Store) from(l source.Login) source.Login {
	l.Origin = s.String()
	l.Cure = "the server does not accept what " + l.Origin + " holds: make user and password agree there and on the server, which chooses " +
		"the account by the client host that it names in this message (see SELECT user, host, plugin FROM mysql.user)"
	return l
}

// Describe reads the secret for somebody who wants to know whether that works, and says what was found.
func (s *Store) Describe(ctx context.Context) (string, error) {
	l, err := s.place.current(ctx)
	if err != nil {
		return "", asLoginError(s.String(), err)
	}
	found := "from " + s.String()
	if l.Version != "" {
		found += ", version " + l.Version
	}
	if l.User != "" {
		found += fmt.Sprintf(", with user name %s", l.User)
	}
	return found, nil
}
