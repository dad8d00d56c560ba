package secrets

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// DefaultKey is the key of the password in a secret that is a JSON object, as RDS and the rotation functions of Secrets
// Manager write it.
const DefaultKey = "password"

// errNotALogin is an error about what a secret holds. Reading it again gives the same.
type errNotALogin struct{ what, hint string }

func (e *errNotALogin) Error() string { return e.what }

// parse reads a secret: a JSON object with the password under key, and perhaps username, host and port beside it, or
// else the password alone. Messages name keys, never what stands behind them.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
func parse(text, key string) (source.Login, error) {
	if key == "" {
		key = DefaultKey
	}
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return plain(text)
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &fields) != nil {
		return source.Login{}, &errNotALogin{"it begins like a JSON object and is none",
			"store {\"username\": \"…\", \"password\": \"…\"}, or the password alone"}
	}
	l := source.Login{Host: word(fields["host"]), User: word(fields["username"]), Password: word(fields[key])}
	if port, err := strconv.ParseUint(word(fields["port"]), 10, 16); err == nil {
		l.Port = uint16(port)
	}
	if l.Password == "" {
		names := strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
		return source.Login{}, &errNotALogin{fmt.Sprintf("it has no text under the key %s; its keys are: %s", key, names),
			"name the password's key in source.secret_password_key"}
	}
	return l, nil
}

// word is a JSON string, or a number as it is written; "" for anything else.
func word(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// plain is a secret that is the password alone. Editors and echo leave a line end behind it.
func plain(text string) (source.Login, error) {
	password := strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	switch {
	case password == "":
		return source.Login{}, &errNotALogin{"it is empty", "store the password there"}
	case strings.ContainsAny(password, "\n\r\x00"):
		return source.Login{}, &errNotALogin{"it has several lines", "store the password alone, in one line"}
	}
	return source.Login{Password: password}, nil
}

// asLoginError gives an error about a secret its place.
func asLoginError(origin string, err error) *source.LoginError {
	if e, ok := errors.AsType[*source.LoginError](err); ok {
		return e
	}
	e := &source.LoginError{Origin: origin, Err: err}
	if content, ok := errors.AsType[*errNotALogin](err); ok {
		e.Hint, e.Final = content.hint, true
	}
	return e
}
