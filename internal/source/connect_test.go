package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestSessionSettings(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		s.MustExec(t, "SET GLOBAL sql_select_limit = 1", "SET GLOBAL autocommit = 0")
		defer s.MustExec(t, "SET GLOBAL sql_select_limit = DEFAULT", "SET GLOBAL autocommit = 1")
		conn := open(t, s)
		rows, err := texts(t.Context(), conn, "SELECT @@time_zone, @@sql_mode, @@character_set_client, @@character_set_results, @@net_write_timeout, @@autocommit UNION ALL SELECT 1, 2, 3, 4, 5, 6")
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 2 || strings.Join(rows[0], " ") != "+00:00  utf8mb4 utf8mb4 86400 1" {
			t.Errorf("session is %q", rows)
		}
		err = Exec(t.Context(), conn, "CREATE TABLE "+s.Database(t)+".t (a INT)")
		if my, ok := errors.AsType[*mysql.MyError](err); !ok || my.Code != mysql.ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION {
			t.Errorf("writing gives %v", err)
		}
	})
}

// TestSnapshotsAreConsistentWhateverTheServersDefault: at a lower isolation level START TRANSACTION WITH CONSISTENT
// SNAPSHOT opens none, with no more than a warning.
func TestSnapshotsAreConsistentWhateverTheServersDefault(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, _ Flavor) {
		s.MustExec(t, "SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED")
		defer s.MustExec(t, "SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ")
		table := s.Database(t) + ".t"
		s.MustExec(t, "CREATE TABLE "+table+" (a INT PRIMARY KEY)")
		conn := open(t, s)
		if err := Exec(t.Context(), conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
			t.Fatal(err)
		}
		s.MustExec(t, "INSERT INTO "+table+" VALUES (1)")
		rows, err := texts(t.Context(), conn, "SELECT * FROM "+table)
		if err != nil || len(rows) != 0 {
			t.Errorf("a snapshot sees %d rows that came later, %v", len(rows), err)
		}
	})
}

// wantError fails the test unless err is an *Error whose text holds every part.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if _, ok := errors.AsType[*Error](err); !ok {
		t.Errorf("error is a %T: %v", err, err)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

func TestConnectErrorsNameTheCure(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		s.MustExec(t, "CREATE USER IF NOT EXISTS poor IDENTIFIED BY 'secret'")
		c := rootConfig(s)
		c.User, c.Password = "poor", password("wrong")
		_, err := Connect(t.Context(), c)
		wantError(t, err, "connect to 127.0.0.1:", "Access denied for user 'poor'@", "check user name and password")

		c.Password = password("secret")
		conn, err := Connect(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer Close(conn)
		_, err = BinaryLogs(t.Context(), conn)
		wantError(t, err, "run SHOW BINARY LOGS", "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT")
	})
	ctx := t.Context()
	_, err := Connect(ctx, Config{Host: "127.0.0.1", Port: 1, User: "u"})
	wantError(t, err, "connect to 127.0.0.1:1", "nothing listens there")
	_, err = Connect(ctx, Config{Host: "/nowhere/mysql.sock", User: "u"})
	wantError(t, err, "nothing listens there")
	_, err = Connect(ctx, Config{Host: "no-such-host.invalid", User: "u"})
	wantError(t, err, "check the host name no-such-host.invalid")
	_, err = Connect(ctx, Config{Host: "127.0.0.1", User: "u", TLS: "always"})
	wantError(t, err, `unknown TLS mode "always"`)
	_, err = Connect(ctx, Config{Host: "127.0.0.1", User: "u", TLSCert: "x"})
	wantError(t, err, "both its certificate file and its key file")
	_, err = Connect(ctx, Config{Host: "127.0.0.1", User: "u", Password: func(context.Context) (string, error) { return "", errors.New("vault sealed") }})
	wantError(t, err, "get the password of u: vault sealed")
}

// silent accepts connections and says only what it is told to.
func silent(t *testing.T, greeting string) (host string, port uint16) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var held []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range held {
					c.Close()
				}
				return
			}
			held = append(held, c)
			_, _ = c.Write([]byte(greeting))
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "127.0.0.1", uint16(l.Addr().(*net.TCPAddr).Port)
}

func TestConnectGivesUp(t *testing.T) {
	host, port := silent(t, "")
	_, err := Connect(t.Context(), Config{Host: host, Port: port, User: "u", ConnectTimeout: 50 * time.Millisecond})
	wantError(t, err, "no answer in time")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("shutting down")) })
	_, err = Connect(ctx, Config{Host: host, Port: port, User: "u"})
	wantError(t, err, "shutting down")
}

func TestConnectSurvivesMalformedGreetings(t *testing.T) {
	for _, g := range []string{
		"\x01\x00\x00\x00\x0a", "\x05\x00\x00\x00\x0a8.0\x00", "\x01\x00\x00\x00\xff", "\x03\x00\x00\x00\xff\x10\x04", "HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		host, port := silent(t, g)
		_, err := Connect(t.Context(), Config{Host: host, Port: port, User: "u", ConnectTimeout: 100 * time.Millisecond})
		wantError(t, err, "connect to ")
	}
}

func TestQueryEndsWithContext(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		conn := open(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := Exec(ctx, conn, "DO SLEEP(20)")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 15*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

// encrypted is the cipher of a session, "" if it is in clear.
func encrypted(t *testing.T, conn *client.Conn) string {
	t.Helper()
	rows, err := texts(t.Context(), conn, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
	if err != nil {
		t.Fatal(err)
	}
	return rows[0][1]
}

func TestTLSModesAgainstServerWithTLS(t *testing.T) {
	s := testservers.MySQL(t)
	ca := filepath.Join(s.DataDir(), "ca.pem") // made by the server itself
	if _, err := os.Stat(ca); err != nil {
		t.Fatal(err)
	}
	c := rootConfig(s)
	for mode, want := range map[TLSMode]bool{TLSDisabled: false, TLSPreferred: true, TLSRequired: true, TLSVerifyCA: true} {
		c.TLS, c.TLSCA = mode, ""
		if mode == TLSVerifyCA {
			_, err := Connect(t.Context(), c)
			wantError(t, err, "the system's certificate authorities")
			if !IsUntrusted(err) {
				t.Errorf("IsUntrusted(%v) is false", err)
			}
			c.TLSCA = ca
		}
		conn, err := Connect(t.Context(), c)
		if err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		if got := encrypted(t, conn) != ""; got != want {
			t.Errorf("%s: encrypted is %v", mode, got)
		}
		Close(conn)
	}
	c.TLS, c.TLSCA = TLSVerifyIdentity, ca
	_, err := Connect(t.Context(), c)
	wantError(t, err, "made out to 127.0.0.1")
	c.TLSCA = filepath.Join(t.TempDir(), "none.pem")
	_, err = Connect(t.Context(), c)
	wantError(t, err, "read certificate authorities")
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.TLSCA = junk
	_, err = Connect(t.Context(), c)
	wantError(t, err, "holds no PEM certificate")
}

func TestTLSModesAgainstServerWithoutTLS(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		switch {
		case f == MySQL:
			s = testservers.MySQL(t, testservers.Flags("--tls-version="))
		case s == testservers.SharedMariaDBNew(t): // it has a certificate of its own
			s = testservers.MariaDBNew(t, testservers.Flags("--skip-ssl"))
		}
		c := rootConfig(s)
		c.TLS = TLSPreferred
		conn, err := Connect(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer Close(conn)
		if got := encrypted(t, conn); got != "" {
			t.Errorf("encrypted with %s", got)
		}
		for _, mode := range []TLSMode{TLSRequired, TLSVerifyCA, TLSVerifyIdentity} {
			c.TLS = mode
			_, err := Connect(t.Context(), c)
			wantError(t, err, "enable TLS on the server")
		}
	})
}

func TestVerifyChainNeedsACertificate(t *testing.T) {
	if err := verifyChain(tls.ConnectionState{}, x509.NewCertPool()); err == nil {
		t.Error("no certificate is taken for a good one")
	}
}

// Every way to log in: with the password in the server's cache and without, in clear and over TLS.
func TestAuthentication(t *testing.T) {
	s := testservers.SharedMySQL(t)
	for _, mode := range []TLSMode{TLSDisabled, TLSRequired} {
		s.MustExec(t, "CREATE USER sha IDENTIFIED WITH caching_sha2_password BY 'päss'", "FLUSH PRIVILEGES")
		c := rootConfig(s)
		c.User, c.Password, c.TLS = "sha", password("päss"), mode
		for _, step := range []string{"full", "fast"} {
			conn, err := Connect(t.Context(), c)
			if err != nil {
				t.Errorf("%s authentication, TLS %s: %v", step, mode, err)
				continue
			}
			Close(conn)
		}
		s.MustExec(t, "DROP USER sha")
	}
	m := testservers.SharedMariaDB(t)
	m.MustExec(t, "CREATE USER native IDENTIFIED VIA mysql_native_password USING PASSWORD('x')")
	c := rootConfig(m)
	c.User, c.Password = "native", password("x")
	conn, err := Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	Close(conn)
}
