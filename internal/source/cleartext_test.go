package source

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestClearPasswords: MariaDB itself asks for the password as it is, with a plugin that does nothing else. It gets it over
// TLS, and over a socket, and not in clear.
func TestClearPasswords(t *testing.T) {
	a := testservers.NewAuthority(t)
	a.Leaf("server", x509.ExtKeyUsageServerAuth)
	s := testservers.MariaDB(t, testservers.ClearPassword(t), a.Flags("server"))
	s.MustExec(t, "CREATE USER plain IDENTIFIED VIA clear_password USING 'hunter2'")
	c := rootConfig(s)
	c.User, c.Password = "plain", password("hunter2 and more")
	for mode, want := range map[TLSMode]bool{TLSVerifyIdentity: true, TLSVerifyCA: true, TLSRequired: true, TLSDisabled: false} {
		c.TLS, c.TLSCA = mode, a.Path("ca")
		conn, err := Connect(t.Context(), c)
		if want {
			if err != nil {
				t.Errorf("%s: %v", mode, err)
				continue
			}
			Close(conn)
			continue
		}
		wantError(t, err, "the password would go to the server as it is", "use TLS mode verify-identity")
		if !errors.Is(err, ErrClearPassword) || !Refused(err) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	c.TLS, c.Password = TLSVerifyIdentity, password("hunter")
	if _, err := Connect(t.Context(), c); !AtTheDoor(err) {
		t.Errorf("a wrong password: %v", err)
	}

	// A login that says it must not be overheard goes nowhere unless the server is known.
	c.Password, c.Logins = nil, fixed{{Password: "hunter2 and more", InClear: true}}
	for mode, want := range map[TLSMode]bool{TLSVerifyIdentity: true, TLSVerifyCA: true, TLSRequired: false, TLSPreferred: false, TLSDisabled: false} {
		c.TLS = mode
		conn, err := Connect(t.Context(), c)
		switch {
		case err == nil:
			Close(conn)
			if !want {
				t.Errorf("%s: the password was sent", mode)
			}
		case want || !errors.Is(err, ErrClearPassword):
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// fixed are logins in the order in which they are to be tried.
type fixed []Login

func (f fixed) Login(_ context.Context, refused []Login) (Login, error) {
	if len(refused) >= len(f) {
		return Login{}, ErrNoOtherLogin
	}
	return f[len(refused)], nil
}

// TestGuardedHandsOnWhatItReads: packets that come in pieces, and what follows the login, arrive as they are.
func TestGuardedHandsOnWhatItReads(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	g := &guarded{Conn: here}
	go func() {
		defer there.Close()
		for _, piece := range []string{"\x05", "\x00\x00\x01he", "llo", "\x00\x00\x00\x02", "anything \xfe"} {
			_, _ = io.WriteString(there, piece)
		}
	}()
	first := make([]byte, 9)
	if _, err := io.ReadFull(g, first[:3]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(g, first[3:]); err != nil || string(first[4:]) != "hello" {
		t.Errorf("read %q, %v", first, err)
	}
	if _, err := io.ReadFull(g, first[:4]); err != nil {
		t.Fatal(err)
	}
	g.over.Store(true)
	rest, err := io.ReadAll(g)
	if err != nil || string(rest) != "anything \xfe" {
		t.Errorf("read %q, %v", rest, err)
	}
}
