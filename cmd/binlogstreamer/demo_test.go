package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/demo"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// leftBehind are the names in a folder.
func leftBehind(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestDemo runs the whole pipeline: its own count is the test.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	r := invoke(t, "demo", "--rows", "3000", "--for", "4s", "--dir", dir)
	if r.code != exitDone || !strings.Contains(r.stdout, "Objects and source agree") || !strings.Contains(r.stdout, `"record-type": "data"`) {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	if n := strings.Count(r.stdout, "  equal\n"); n != 6 {
		t.Errorf("%d tables are equal:\n%s", n, r.stdout)
	}
	if got := leftBehind(t, dir); got != "objects pipeline.log pipeline.yaml" {
		t.Errorf("left behind: %s", got)
	}
	if r := invoke(t, "demo", "--dir", dir); r.code != exitFailed || !strings.Contains(r.lastLine(), "not empty") {
		t.Errorf("a folder that is in use: exit code %d, %q", r.code, r.lastLine())
	}
}

// TestDemoNamesDifferences changes tables and an object behind the pipeline's back, before the count.
func TestDemoNamesDifferences(t *testing.T) {
	dir, out := filepath.Join(t.TempDir(), "demo"), bytes.Buffer{}
	err := demo.Run(t.Context(), demo.Config{Dir: dir, For: time.Second, Rows: 3000, Out: &out, Verify: demoVerify,
		Daemon: func(ctx context.Context, file string, registry *prometheus.Registry, log *slog.Logger, once bool, listening demo.Listening) error {
			if err := demoDaemon(ctx, file, registry, log, once, listening); err != nil || !once {
				return err
			}
			return errors.Join(falsify(ctx, file), damageObject(filepath.Join(dir, "objects")))
		}})
	if !errors.Is(err, demo.ErrDiffer) || exitCode(err) != exitFailed {
		t.Fatalf("it ends with %v\n%s", err, &out)
	}
	for _, want := range []string{"3 rows", "1 fault of objects", dir} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	for _, want := range []string{
		"3 rows differ", "7: the objects hold other values", `"last_name":"Nobody"`,
		"8: in the objects, not in the table", "999999: in the table, not in the objects",
		"fault: object ", "is damaged", "sporting_event_ticket", "  equal\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the count does not say %q", want)
		}
	}
	if t.Failed() || strings.Contains(out.String(), "agree") {
		t.Errorf("printed\n%s", &out)
	}
	if got := leftBehind(t, dir); got != "objects pipeline.log pipeline.yaml server state stream" {
		t.Errorf("kept: %s", got)
	}
}

// falsify changes three rows without a trace in the binlog.
func falsify(ctx context.Context, file string) error {
	cfg, err := load(file, config.Both)
	if err != nil {
		return err
	}
	with, err := makeSource(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	conn, err := source.Connect(ctx, with)
	if err != nil {
		return err
	}
	defer source.Close(conn)
	for _, q := range []string{
		"SET SESSION TRANSACTION READ WRITE", "SET sql_log_bin = 0", "SET foreign_key_checks = 0",
		"UPDATE dms_sample.person SET last_name = 'Nobody' WHERE id = 7",
		"DELETE FROM dms_sample.person WHERE id = 8",
		"INSERT INTO dms_sample.person SELECT 999999, first_name, last_name, email, born, joined, newsletter, preferences FROM dms_sample.person WHERE id = 9",
	} {
		if _, err := conn.Execute(q); err != nil {
			return err
		}
	}
	return nil
}

// damageObject changes the checksum at the end of the newest object: its records are still there.
func damageObject(dir string) error {
	objects, err := filepath.Glob(filepath.Join(dir, "*", "*", "*", "*", "*.gz"))
	if err != nil || len(objects) == 0 {
		return errors.Join(errors.New("there is no object"), err)
	}
	slices.Sort(objects)
	last := objects[len(objects)-1]
	body, err := os.ReadFile(last)
	if err != nil {
		return err
	}
	body[len(body)-5] ^= 1 // of the CRC, which the length follows
	return os.WriteFile(last, body, 0o600)
}
