package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// output is what a child or a command says: several write to it, and it is read while it grows.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits for something that is reached by and by.
func await(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !reached(); {
		if time.Now().After(deadline) {
			t.Fatalf("not reached: %s", what)
		}
		time.Sleep(50 * time.Millisecond) // between looks
	}
}

// TestPasswordIsRotatedUnderTheDaemon rotates the source's password as Secrets Manager does it: the server has the new
// one first, then the label AWSCURRENT moves. Connections are cut off at both steps. The daemon goes on, in the same
// process, and none of the secrets that it had in its hands is in anything that it prints or serves.
func TestPasswordIsRotatedUnderTheDaemon(t *testing.T) {
	f := testservers.NewFakeAWS(t)
	webIdentity(t, f)
	db := testservers.MariaDB(t)
	db.MustExec(t, "CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY)", "INSERT INTO a.t VALUES (1)", "CREATE USER repl IDENTIFIED BY 'hush-old'",
		"GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO repl")
	secret := func(password string) string {
		return fmt.Sprintf(`{"engine":"mariadb","host":"127.0.0.1","port":%d,"username":"repl","password":"%s"}`, db.Port, password)
	}
	f.Put("tickets/db", "AWSCURRENT", secret("hush-old"))
	port, err := childproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	file := rewrite(t, writeConfig(t, fmt.Sprintf("http: {listen: \"127.0.0.1:%d\"}\nlog: {level: debug}", port)),
		map[string]string{"source:": "source: {secrets_manager_secret_id: tickets/db, tls: disabled}"})
	c := child(t, "main", "run", "-c", file)
	said := &output{}
	c.Stdout, c.Stderr = said, said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Log(said)
		}
	}()
	objects := filepath.Join(filepath.Dir(file), "objects")
	arrived := func(op string, n int) {
		t.Helper()
		await(t, fmt.Sprintf("%d records of %s", n, op), func() bool {
			_, err := os.Stat(objects)
			return err == nil && delivered(t, objects)[op] == n
		})
	}
	cut := func() {
		t.Helper()
		for _, line := range db.MustQuery(t, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'repl'") {
			_ = db.Exec(context.Background(), "KILL "+line[0]) // it may have ended by itself
		}
	}
	arrived("load", 1)

	f.Put("tickets/db", "AWSPENDING", secret("hush-new"))
	db.MustExec(t, "ALTER USER repl IDENTIFIED BY 'hush-new'")
	cut()
	db.MustExec(t, "INSERT INTO a.t VALUES (2)")
	arrived("insert", 1)

	f.Put("tickets/db", "AWSCURRENT", secret("hush-new"))
	f.Put("tickets/db", "AWSPENDING", "")
	cut()
	db.MustExec(t, "INSERT INTO a.t VALUES (3)")
	arrived("insert", 2)
	if text := said.String(); !strings.Contains(text, "rotation has under way") || !strings.Contains(text, "the source's password has changed") ||
		strings.Count(text, "binlogstreamer starts") != 1 {
		t.Error("the log does not tell of the rotation")
	}
	told := said.String() + get(t, port, "/metrics") + get(t, port, "/readyz") + get(t, port, "/")
	told += invoke(t, "check", "-c", file).stdout

	// The end of it: a password that nobody knows. A check says so, and the daemon waits.
	db.MustExec(t, "ALTER USER repl IDENTIFIED BY 'hush-nobody'")
	cut()
	r := invoke(t, "check", "-c", file)
	if !strings.Contains(r.stdout, "FAIL  connect") || !strings.Contains(r.stdout, "does not accept what secret tickets/db holds") || r.code != exitFaults {
		t.Errorf("check: %d\n%s", r.code, r.stdout)
	}
	r = invoke(t, "replicate", "-c", rewrite(t, file, map[string]string{"checkpoint:": `checkpoint: {store: "file://` + t.TempDir() + `"}`, "http:": `http: {listen: ""}`}))
	if r.code != exitFailed || !strings.Contains(r.lastLine(), "secret tickets/db") {
		t.Errorf("a start with a wrong password: %d\n%s", r.code, r.stderr)
	}
	told += r.stdout + r.stderr
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	for line := range strings.Lines(told + said.String()) {
		if strings.Contains(line, "hush") {
			t.Errorf("a secret is told: %s", line)
		}
	}
}

// get is what a page of the daemon says.
func get(t *testing.T, port int, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCheckWithIAM looks at a server that asks for the token as it is.
func TestCheckWithIAM(t *testing.T) {
	f := testservers.NewFakeAWS(t)
	webIdentity(t, f)
	a := testservers.NewAuthority(t)
	a.Leaf("server", x509.ExtKeyUsageServerAuth)
	db := testservers.MariaDB(t, testservers.ClearPassword(t), a.Flags("server"))
	db.MustExec(t, "CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY)",
		fmt.Sprintf("CREATE USER repl IDENTIFIED VIA clear_password USING '127.0.0.1:%d?Action=connect&DBUser=repl'", db.Port),
		"GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO repl")
	from := func(user string) string {
		return fmt.Sprintf("source: {host: 127.0.0.1, port: %d, user: %s, iam_authentication: true, tls: verify-identity, tls_ca: %s}", db.Port, user, a.Path("ca"))
	}
	file := rewrite(t, writeConfig(t, ""), map[string]string{"source:": from("repl")})
	r := invoke(t, "check", "-c", file)
	for _, want := range []string{
		"ok    aws credentials       from WebIdentityCredentials",
		fmt.Sprintf("ok    login                 IAM token for repl at 127.0.0.1:%d, signed for eu-west-1 by credentials from WebIdentityCredentials", db.Port),
		"warn  certificate           the server's is from test authority", "no faults", // it is good for an hour only
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("it does not say %q:\n%s", want, r.stdout)
		}
	}
	other := invoke(t, "check", "-c", rewrite(t, file, map[string]string{"source:": from("nobody")}))
	if other.code != exitFaults || !strings.Contains(other.stdout, "rds-db:connect") {
		t.Errorf("as somebody else: %d\n%s", other.code, other.stdout)
	}
	for _, text := range []string{r.stdout, r.stderr, other.stdout, other.stderr} {
		if strings.Contains(text, "hush") || strings.Contains(text, "X-Amz-Signature") {
			t.Errorf("a token is told:\n%s", text)
		}
	}
}
