package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// delivered counts the records of each operation in all objects below dir.
func delivered(t *testing.T, dir string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".gz") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		plain, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(plain)
		if err != nil {
			return err
		}
		for _, op := range []string{"load", "insert", "update", "delete"} {
			counts[op] += strings.Count(string(text), `"operation":"`+op+`"`)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func sourceConfigFile(t *testing.T, server *testservers.MySQLServer, more string) (file, dir string) {
	t.Helper()
	file = writeConfig(t, "http: {listen: \"\"}\n"+more)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "source:") {
			lines[i] = fmt.Sprintf("source: {host: 127.0.0.1, port: %d, user: root, password: \"\", tls: disabled}", server.Port)
		}
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, filepath.Dir(file)
}

// TestRunOnce runs both halves until everything that is there is delivered, again and again.
func TestRunOnce(t *testing.T) {
	server := testservers.MariaDB(t)
	exec := func(statements ...string) {
		t.Helper()
		if err := server.Exec(t.Context(), statements...); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(20))",
		"USE a", "INSERT INTO a.t SELECT seq, CONCAT('v', seq) FROM seq_1_to_5000")
	file, dir := sourceConfigFile(t, server, "")
	once := func(want map[string]int) {
		t.Helper()
		if r := invoke(t, "run", "--once", "-c", file); r.code != exitDone {
			t.Fatalf("exit code %d\n%s", r.code, r.stderr)
		}
		got := delivered(t, filepath.Join(dir, "objects"))
		for op, n := range want {
			if got[op] != n {
				t.Errorf("%d records of %s, want %d", got[op], op, n)
			}
		}
	}
	once(map[string]int{"load": 5000, "insert": 0})
	exec("INSERT INTO a.t VALUES (6000, 'x'), (6001, 'y')", "UPDATE a.t SET v = 'z' WHERE id = 1", "DELETE FROM a.t WHERE id = 2")
	once(map[string]int{"load": 5000, "insert": 2, "update": 1, "delete": 1})
	once(map[string]int{"load": 5000, "insert": 2, "update": 1, "delete": 1})

	if r := invoke(t, "check", "-c", file); r.code != exitDone || !strings.Contains(r.stdout, "no faults") {
		t.Errorf("check: exit code %d\n%s", r.code, r.stdout)
	}
}

// TestFullLoadEndsByItself loads without a word about --once.
func TestFullLoadEndsByItself(t *testing.T) {
	server := testservers.MariaDB(t)
	if err := server.Exec(t.Context(), "CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY)", "USE a", "INSERT INTO a.t SELECT seq FROM seq_1_to_300"); err != nil {
		t.Fatal(err)
	}
	file, dir := sourceConfigFile(t, server, "")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "replication:", "replication:\n  migration_type: full-load", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing left to do
		if r := invoke(t, "run", "-c", file); r.code != exitDone {
			t.Fatalf("exit code %d\n%s", r.code, r.stderr)
		}
		if got := delivered(t, filepath.Join(dir, "objects"))["load"]; got != 300 {
			t.Errorf("%d load records, want 300", got)
		}
	}
}

// TestWrongSource names the step, the thing and the cure on the last line.
func TestWrongSource(t *testing.T) {
	server := testservers.MariaDB(t)
	if err := server.Exec(t.Context(), "CREATE USER repl@'%' IDENTIFIED BY 'right'", "CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	file, _ := sourceConfigFile(t, server, "")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(string(text), `user: root, password: ""`, "user: repl, password: hunter2", 1)
	if err := os.WriteFile(file, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	r := invoke(t, "replicate", "-c", file)
	if r.code != exitFailed || !strings.Contains(r.lastLine(), "repl") || !strings.Contains(r.lastLine(), "password") {
		t.Errorf("exit code %d, last line %q", r.code, r.lastLine())
	}
	if strings.Contains(r.stderr, "hunter2") {
		t.Error("the password is printed")
	}
}
