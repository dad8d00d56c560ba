package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// verifyPart measures the command verify: what it takes to compare a large table while it is written to, and whether one
// changed byte is found in it.
const verifyPart = "verify"

// verifying is that measurement.
type verifying struct {
	dir    string
	rows   int64
	db     *dbserver.Server
	binary string
}

func measureVerify(ctx context.Context, s settings) (err error) {
	dir, err := os.MkdirTemp("", "bench-verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := &verifying{dir: dir, rows: s.VerifyRows, binary: filepath.Join(dir, "binlogstreamer")}
	// As make build does it: the store's caches are in the Go heap then, and memory_limit covers them.
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "timetzdata", "-ldflags", "-s -w", "-o", m.binary, "./cmd/binlogstreamer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	if m.db, err = dbserver.Start(ctx, filepath.Join(dir, "db"), dbserver.Options{Template: true, Flags: []string{"--innodb-buffer-pool-size=1G", "--innodb-flush-log-at-trx-commit=2"}}); err != nil {
		return err
	}
	defer m.db.Kill()
	progress("writing %d rows", m.rows)
	if err := errors.Join(m.fill(ctx), m.configure()); err != nil {
		return err
	}
	progress("delivering them")
	if _, err := m.run(ctx, 0, "run", "--once"); err != nil {
		return err
	}
	if err := m.whileWriting(ctx); err != nil {
		return err
	}
	return m.oneByte(ctx)
}

func (m *verifying) exec(ctx context.Context, statements ...string) error {
	conn, err := client.ConnectWithContext(ctx, m.db.Addr(), dbserver.User, "", "", 10*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, s := range statements {
		if _, err := conn.Execute(s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// fill makes the table, a hundred thousand rows at a time.
func (m *verifying) fill(ctx context.Context) error {
	const some = 100_000
	statements := []string{
		"CREATE DATABASE shop", "USE shop", "CREATE TABLE shop.digit (d INT PRIMARY KEY)", "INSERT INTO shop.digit VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
		`CREATE TABLE shop.ticket (id BIGINT PRIMARY KEY, holder VARCHAR(60), email VARCHAR(80), seat INT, price DECIMAL(10,2), sold_at DATETIME(6), note TEXT)`,
	}
	for from := int64(0); from < m.rows; from += some {
		statements = append(statements, fmt.Sprintf(`INSERT INTO shop.ticket SELECT n, CONCAT('holder of ticket ', n), CONCAT(LEFT(SHA2(n, 256), 32), '@example.com'), n %% 50000, n %% 977 / 7,
			DATE_ADD('2026-01-01', INTERVAL n SECOND), CONCAT('a note about ticket ', n, ' ', LEFT(SHA2(n+1, 256), 32)) FROM (
			SELECT %d + a.d + 10*b.d + 100*c.d + 1000*e.d + 10000*f.d AS n FROM shop.digit a, shop.digit b, shop.digit c, shop.digit e, shop.digit f) x WHERE n < %d`, from, m.rows))
	}
	return m.exec(ctx, statements...)
}

func (m *verifying) configure() error {
	return os.WriteFile(filepath.Join(m.dir, "pipeline.yaml"), []byte(fmt.Sprintf(`
name: bench
source: {host: 127.0.0.1, port: %d, user: root, password: "", tls: disabled}
replication:
  table_mappings: {rules: [{rule-type: selection, rule-id: 1, rule-name: a, rule-action: include, object-locator: {schema-name: shop, table-name: ticket}}]}
stream: {name: bench, endpoint: embedded}
delivery: {destination: "file://%[2]s/objects", buffering_hints: {interval_in_seconds: 10}}
checkpoint: {store: "file://%[2]s/state"}
http: {listen: ""}
log: {level: warn, format: text}
`, m.db.Port, m.dir)), 0o600)
}

// run runs a command of the product, tells what it took, and gives what it printed.
func (m *verifying) run(ctx context.Context, code int, args ...string) (string, error) {
	c := exec.CommandContext(ctx, m.binary, append(args, "-c", filepath.Join(m.dir, "pipeline.yaml"))...)
	c.Stderr = os.Stderr
	began := time.Now()
	out, err := c.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == code {
		err = nil
	} else if err == nil && code != 0 {
		err = fmt.Errorf("exit code 0, and %d was due", code)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", args, err, out)
	}
	used := c.ProcessState
	progress("%-14s %7.1f s, %6.1f s CPU, %4d MiB", strings.Join(args, " "), time.Since(began).Seconds(), (used.UserTime() + used.SystemTime()).Seconds(), maxResident(used)>>20)
	return string(out), nil
}

// maxResident is the highest resident set of a process that has ended.
func maxResident(p *os.ProcessState) int64 {
	u, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return u.Maxrss
	}
	return u.Maxrss << 10
}

// whileWriting verifies while the pipeline runs and the table is written to: nothing is to be found.
func (m *verifying) whileWriting(ctx context.Context) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	group, running := errgroup.WithContext(running)
	daemon := exec.Command(m.binary, "run", "-c", filepath.Join(m.dir, "pipeline.yaml"))
	daemon.Stderr = os.Stderr
	if err := daemon.Start(); err != nil {
		return err
	}
	written := int64(0)
	group.Go(func() error {
		conn, err := client.ConnectWithContext(running, m.db.Addr(), dbserver.User, "", "", 10*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		for ; running.Err() == nil; written++ {
			id := written * 7919 % m.rows
			for _, s := range []string{
				fmt.Sprintf("UPDATE shop.ticket SET note = 'written meanwhile %d' WHERE id = %d", written, id),
				fmt.Sprintf("INSERT INTO shop.ticket (id, note) VALUES (%d, 'new')", m.rows+written),
				fmt.Sprintf("DELETE FROM shop.ticket WHERE id = %d", m.rows+written-100),
			} {
				if _, err := conn.Execute(s); err != nil {
					return err
				}
			}
			time.Sleep(2 * time.Millisecond)
		}
		return nil
	})
	out, err := m.run(ctx, 0, "verify")
	stop()
	err = errors.Join(err, group.Wait(), daemon.Process.Signal(syscall.SIGTERM), daemon.Wait())
	if err != nil {
		return err
	}
	fmt.Printf("while %d transactions were written:\n%s\n", 3*written, out)
	return nil
}

// oneByte changes a byte of one row behind the pipeline's back. It is to be found, and nothing else.
func (m *verifying) oneByte(ctx context.Context) error {
	if _, err := m.run(ctx, 0, "run", "--once"); err != nil {
		return err
	}
	id := m.rows / 3
	if err := m.exec(ctx, "SET sql_log_bin = 0", fmt.Sprintf("UPDATE shop.ticket SET email = INSERT(email, 5, 1, IF(SUBSTR(email, 5, 1) = 'x', 'y', 'x')) WHERE id = %d", id)); err != nil {
		return err
	}
	out, err := m.run(ctx, 3, "verify")
	if err != nil {
		return err
	}
	if !strings.Contains(out, fmt.Sprintf("different: key %d\n", id)) || !strings.Contains(out, "0 missing  0 extra  1 different") {
		return fmt.Errorf("one byte of row %d was changed, and this was found:\n%s", id, out)
	}
	fmt.Printf("with one byte of row %d changed:\n%s\n", id, out)
	return nil
}
