// Package testservers gives tests real servers: MySQL, MariaDB, stand-ins for Kinesis and DynamoDB, and an S3 store.
// It promises that a server is the caller's own, listens on a free loopback port, answers when the function returns,
// is gone with its files when the test ends or the test binary dies, and prints its log when the test fails. A server
// that isn't installed fails the test with the command that installs it; nothing is ever skipped.
package testservers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

const (
	startTimeout = 60 * time.Second
	logLines     = 80
)

// Main is the TestMain of a package that uses shared servers: it runs the tests, ends the shared servers, fails
// the package when goroutines are left, and exits.
func Main(m *testing.M, options ...goleak.Option) {
	code := m.Run()
	stopShared()
	if code == 0 {
		if err := goleak.Find(options...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// missing is the failure of a test whose server isn't there.
func missing(what string, err error) error {
	return fmt.Errorf("%s can't be started: %w; to install everything that the tests need, run scripts/install-test-servers", what, err)
}

// installed returns the path of a file in the cache of test servers.
func installed(elem ...string) (string, error) {
	path := filepath.Join(append([]string{dbserver.CacheDir()}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s: %w", path, dbserver.ErrNotInstalled)
	}
	return path, nil
}

// node returns the Node.js program and the path of a script in the installed npm packages.
func node(script ...string) (program, path string, err error) {
	program, err = exec.LookPath("node")
	if err != nil {
		return "", "", fmt.Errorf("node: %w", dbserver.ErrNotInstalled)
	}
	path, err = installed(append([]string{"npm", "node_modules"}, script...)...)
	return program, path, err
}

// tempDir makes a folder with a short name, since a Unix socket's path has to fit into it. It is removed when the
// test ends.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bls-")
	if err != nil {
		t.Fatalf("make a folder for a test server: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// printLogOnFailure prints the end of a server's log if the test has failed by the time this cleanup runs.
func printLogOnFailure(t testing.TB, name, log string) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, childproc.Tail(log, logLines))
		}
	})
}

// startOn starts a server that is told its port, on free ports until one is still free when the server takes it.
func startOn(ctx context.Context, port int, start func(port int) (*childproc.Process, error), probe func(context.Context, int) error) (*childproc.Process, int, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	fixed := port != 0
	var failed []error
	for range 3 {
		if !fixed {
			var err error
			if port, err = childproc.FreePort(); err != nil {
				return nil, 0, err
			}
		}
		p, err := start(port)
		if err != nil {
			return nil, 0, err
		}
		err = p.Await(ctx, func(ctx context.Context) error { return probe(ctx, port) })
		if err == nil {
			return p, port, nil
		}
		p.Kill()
		failed = append(failed, err)
		if fixed || ctx.Err() != nil {
			break
		}
	}
	return nil, 0, errors.Join(failed...)
}

// quote makes an SQL identifier of a name.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
