package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestLoginsAreTriedInTurn: what the server refuses is told, and what it takes gets in.
func TestLoginsAreTriedInTurn(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, _ Flavor) {
		s.MustExec(t, "CREATE USER turn IDENTIFIED BY 'third'")
		t.Cleanup(func() { _ = s.Exec(context.Background(), "DROP USER turn") })
		full := Login{Host: "127.0.0.1", Port: s.Port16(), User: "turn", Origin: "secret a", Cure: "look into secret a"}
		named := func(password string) Login { l := full; l.Password = password; return l }

		conn, err := Connect(t.Context(), Config{Logins: fixed{named("first"), named("second"), named("third")}, TLS: TLSDisabled})
		if err != nil {
			t.Fatal(err)
		}
		Close(conn)
		_, err = Connect(t.Context(), Config{Logins: fixed{named("1"), named("2"), named("3"), named("third")}, TLS: TLSDisabled})
		wantError(t, err, "connect to 127.0.0.1:", "Access denied", "look into secret a")
		_, err = Connect(t.Context(), Config{Logins: fixed{named("1")}, TLS: TLSDisabled})
		wantError(t, err, "Access denied")
		if !AtTheDoor(err) || !Refused(err) {
			t.Errorf("refused %v, at the door %v: %v", Refused(err), AtTheDoor(err), err)
		}
		full.Host = ""
		_, err = Connect(t.Context(), Config{Logins: fixed{full}})
		wantError(t, err, "secret a", "it names no host", "source.host")
		full.Host, full.User = "127.0.0.1", ""
		_, err = Connect(t.Context(), Config{Logins: fixed{full}})
		wantError(t, err, "secret a", "it names no user", "source.user")
	})
}

// lost are logins whose place cannot be reached any more once the server has refused the first.
type lost struct {
	first Login
	err   *LoginError
}

func (l lost) Login(_ context.Context, refused []Login) (Login, error) {
	if len(refused) == 0 {
		return l.first, nil
	}
	return Login{}, l.err
}

// TestRefusedWhileThePlaceIsAway: it is waited for, since a newer password may be there.
func TestRefusedWhileThePlaceIsAway(t *testing.T) {
	s := testservers.SharedMariaDB(t)
	c := Config{Host: "127.0.0.1", Port: s.Port16(), User: "nobody", TLS: TLSDisabled}
	c.Logins = lost{Login{Password: "x"}, &LoginError{Origin: "secret a", Err: errors.New("throttled")}}
	_, err := Connect(t.Context(), c)
	wantError(t, err, "read secret a: throttled", "Access denied")
	if Refused(err) || !AtTheDoor(err) {
		t.Errorf("refused %v, at the door %v: %v", Refused(err), AtTheDoor(err), err)
	}
	c.Logins = lost{Login{Password: "x"}, &LoginError{Origin: "secret a", Err: errors.New("not allowed"), Final: true}}
	if _, err = Connect(t.Context(), c); !Refused(err) {
		t.Errorf("not refused: %v", err)
	}
}

func TestLoginsDoNotPrint(t *testing.T) {
	l := Login{User: "u", Password: "hunter2", Origin: "secret a", Version: "7"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{l, &l, []Login{l}, struct{ L Login }{l}} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, "hunter2") || strings.Contains(out, "68756e746572") {
				t.Errorf("%s prints %s", verb, out)
			}
		}
	}
}

func TestRDSHosts(t *testing.T) {
	for host, region := range map[string]string{
		"tickets.abc123.eu-west-1.rds.amazonaws.com":                "eu-west-1",
		"Tickets.cluster-ro-abc123.us-gov-west-1.rds.amazonaws.com": "us-gov-west-1",
		"tickets.abc123.rds.cn-north-1.amazonaws.com.cn":            "cn-north-1",
		"tickets.abc123.eu-west-1.rds.amazonaws.com.example.com":    "",
		"rds.amazonaws.com": "", "127.0.0.1": "", "/run/mysqld.sock": "", "": "",
	} {
		if got := RDSRegion(host); got != region || IsRDS(host) != (region != "") {
			t.Errorf("%s: region %q", host, got)
		}
	}
}
