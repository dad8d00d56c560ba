package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
)

// The test binary is the program, too, when a test starts it as a child.
const childMode = "BINLOGSTREAMER_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childMode) {
	case "main":
		main()
	case "stubborn":
		stubborn()
	}
	goleak.VerifyTestMain(m)
}

// stubborn is a program that does not end at the first signal.
func stubborn() {
	ctx, stop := withSignals(context.Background(), os.Stderr)
	defer stop()
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println("first signal:", context.Cause(ctx))
	select {}
}

type result struct {
	code           int
	stdout, stderr string
}

func (r result) lastLine() string {
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	return lines[len(lines)-1]
}

// invoke runs the program in this process.
func invoke(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr output
	code := execute(t.Context(), args, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func child(t *testing.T, mode string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), childMode+"="+mode)
	t.Cleanup(func() {
		if c.Process != nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	return c
}

// writeConfig writes a configuration whose parts are all on this machine; nothing listens on the source's port.
func writeConfig(t *testing.T, more string) string {
	t.Helper()
	port, err := childproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "pipeline.yaml")
	text := fmt.Sprintf(`
name: tickets
source: {host: 127.0.0.1, port: %d, user: repl, password: "", tls: disabled}
replication:
  table_mappings: {rules: [{rule-type: selection, rule-id: 1, rule-name: a, rule-action: include, object-locator: {schema-name: a, table-name: "%%"}}]}
stream: {name: tickets, endpoint: embedded}
delivery: {destination: "file://%[2]s/objects", buffering_hints: {interval_in_seconds: 1}}
checkpoint: {store: "file://%[2]s/state"}
%[3]s
`, port, dir, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitDone, ""},
		{[]string{"--help"}, exitDone, ""},
		{[]string{"deliver", "--help"}, exitDone, ""},
		{[]string{"version"}, exitDone, ""},
		{[]string{"repliacte"}, exitUsage, "repliacte"},
		{[]string{"run", "--twice"}, exitUsage, "--twice"},
		{[]string{"replicate", "--once"}, exitUsage, "--once"},
		{[]string{"run", "-c"}, exitUsage, "-c"},
		{[]string{"demo", "--rows", "0"}, exitUsage, "--rows"},
		{[]string{"demo", "--for", "-1s"}, exitUsage, "--for"},
	} {
		r := invoke(t, c.args...)
		if r.code != c.code || !strings.Contains(r.lastLine(), c.want) {
			t.Errorf("%q: exit code %d, last line %q; want %d and %q", c.args, r.code, r.lastLine(), c.code, c.want)
		}
	}
	help := invoke(t, "--help").stdout
	for _, command := range []string{"run", "replicate", "deliver", "check", "reload-table", "demo", "version"} {
		if !strings.Contains(help, "\n  "+command) {
			t.Errorf("the help does not name %s:\n%s", command, help)
		}
	}
	if strings.Contains(help, "healthcheck") {
		t.Error("healthcheck is for containers, not for people")
	}
	if v := invoke(t, "version").stdout; !strings.HasPrefix(v, "binlogstreamer ") {
		t.Errorf("version prints %q", v)
	}
}

func TestConfigFaultsAreListed(t *testing.T) {
	file := writeConfig(t, "memory_limt: 1GiB\nlog: {level: loud}")
	for _, command := range []string{"run", "replicate", "deliver", "check", "healthcheck"} {
		r := invoke(t, command, "-c", file)
		if r.code != exitUsage {
			t.Errorf("%s: exit code %d", command, r.code)
		}
		for _, want := range []string{"memory_limt", "did you mean memory_limit?", `"loud"`} {
			if !strings.Contains(r.stderr+r.stdout, want) {
				t.Errorf("%s does not say %q:\n%s", command, want, r.stderr)
			}
		}
		if !strings.Contains(r.lastLine(), "2 faults") {
			t.Errorf("%s: last line %q", command, r.lastLine())
		}
	}
	if r := invoke(t, "run", "-c", "nowhere.yaml"); r.code != exitUsage || !strings.Contains(r.stderr, "nowhere.yaml") {
		t.Errorf("a missing file: %d %q", r.code, r.stderr)
	}
}

func TestFaultsOfALayoutAreListed(t *testing.T) {
	file := writeConfig(t, "")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(text), "buffering_hints:", `prefix: "!{timestamp:b}/!{partitionKeyFromQuery:table}/", error_output_prefix: "e/",
  dynamic_partitioning: {enabled: true, metadata_extraction_query: "{table: .metadata["}, buffering_hints:`, 1)
	if err := os.WriteFile(file, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"run", "deliver", "check"} {
		r := invoke(t, command, "-c", file)
		if r.code != exitUsage {
			t.Errorf("%s: exit code %d", command, r.code)
		}
		for _, want := range []string{"delivery.prefix: ", "delivery.dynamic_partitioning.metadata_extraction_query: it is not a jq program"} {
			if !strings.Contains(r.stderr+r.stdout, want) {
				t.Errorf("%s does not say %q:\n%s\n%s", command, want, r.stdout, r.stderr)
			}
		}
	}
}

func TestCheckFindsFaults(t *testing.T) {
	file := writeConfig(t, "")
	r := invoke(t, "check", "-c", file)
	if r.code != exitFaults {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	for _, want := range []string{"ok    config", "ok    checkpoints", "FAIL  connect", "ok    stream                embedded", "ok    destination", "1 fault;"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("it does not say %q:\n%s", want, r.stdout)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := invoke(t, "replicate", "-c", writeConfig(t, "http: {listen: \""+l.Addr().String()+"\"}"))
	if r.code != exitFailed || !strings.Contains(r.lastLine(), l.Addr().String()) || !strings.Contains(r.lastLine(), "choose another") {
		t.Errorf("exit code %d, last line %q", r.code, r.lastLine())
	}
}

// TestStopsAtSIGTERM stops a daemon that waits for its source, and asks for its health before.
func TestStopsAtSIGTERM(t *testing.T) {
	for _, command := range []string{"run", "replicate", "deliver"} {
		t.Run(command, func(t *testing.T) {
			port, err := childproc.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			file := writeConfig(t, fmt.Sprintf("http: {listen: \"127.0.0.1:%d\"}\nlog: {format: text}", port))
			c := child(t, "main", command, "-c", file)
			var log bytes.Buffer
			c.Stderr = &log
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(20 * time.Second)
			for invoke(t, "healthcheck", "-c", file).code != exitDone {
				if time.Now().After(deadline) {
					t.Fatal("it does not become alive")
				}
				time.Sleep(20 * time.Millisecond) // between attempts
			}
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err != nil {
				t.Errorf("after SIGTERM: %v\n%s", err, log.String())
			}
			if r := invoke(t, "healthcheck", "-c", file); r.code != exitFailed {
				t.Errorf("healthcheck of a daemon that has ended: exit code %d", r.code)
			}
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	c := child(t, "stubborn")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	expectText(t, out, "ready\n")
	send(t, c, syscall.SIGINT)
	expectText(t, out, "first signal: stopped by a signal: context canceled\n")
	send(t, c, syscall.SIGTERM)
	if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != exitFailed {
		t.Errorf("exit: %v", err)
	}
	if !strings.Contains(stderr.String(), "second signal") {
		t.Errorf("standard error: %q", stderr.String())
	}
}

func expectText(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func send(t *testing.T, c *exec.Cmd, s syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
