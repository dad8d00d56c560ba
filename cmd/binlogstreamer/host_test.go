package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// service is a daemon as the service manager starts it, with what it has told so far.
type service struct {
	t    *testing.T
	file string // its configuration
	conn *net.UnixConn
	http string
	log  *output
	end  func(os.Signal) error
	send func(os.Signal)
}

// startService starts a command with a configuration to which an address for the console is added.
func startService(t *testing.T, file, command string) *service {
	t.Helper()
	port, err := childproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, file: filepath.Join(filepath.Dir(file), command+"-"+fmt.Sprint(port)+".yaml"), http: fmt.Sprintf("127.0.0.1:%d", port), log: new(output)}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.write(string(text) + "\nhttp: {listen: \"" + s.http + "\"}\n")
	path := filepath.Join(t.TempDir(), "notify")
	if s.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.conn.Close() })
	c := child(t, "main", command, "-c", s.file)
	c.Env = append(c.Env, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=3000000")
	c.Stderr = s.log
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP) // a test under nohup ignores it, and so would the daemon
	err = c.Start()
	signal.Stop(hangUp)
	if err != nil {
		t.Fatal(err)
	}
	s.send = func(sig os.Signal) {
		t.Helper()
		if err := c.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	s.end = func(sig os.Signal) error {
		s.send(sig)
		return c.Wait()
	}
	return s
}

func (s *service) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// change replaces a text of the configuration by another one.
func (s *service) change(old, now string) {
	s.t.Helper()
	text, err := os.ReadFile(s.file)
	if err != nil || !strings.Contains(string(text), old) {
		s.t.Fatalf("no %q in %s: %v", old, s.file, err)
	}
	s.write(strings.Replace(string(text), old, now, 1))
}

// until reads messages up to one that matches, and gives it. None of them may match not.
func (s *service) until(pattern, not string) string {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	var said []string
	for {
		n, err := s.conn.Read(buf)
		if err != nil {
			s.t.Fatalf("it does not say %q: %v, but %q\n%s", pattern, err, said, s.log)
		}
		got := string(buf[:n])
		said = append(said, got)
		if not != "" && regexp.MustCompile(not).MatchString(got) {
			s.t.Fatalf("it says %q before %q", got, pattern)
		}
		if regexp.MustCompile(pattern).MatchString(got) {
			return got
		}
	}
}

// get asks the console.
func (s *service) get(path string) (status int, body string) {
	s.t.Helper()
	r, err := http.Get("http://" + s.http + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// wants checks the metrics for lines.
func (s *service) wants(lines ...string) {
	s.t.Helper()
	_, text := s.get("/metrics")
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			s.t.Errorf("the metrics do not say %s", line)
		}
	}
}

// reload sends SIGHUP, and gives the status that the service manager is told then.
func (s *service) reload() string {
	s.t.Helper()
	s.send(syscall.SIGHUP)
	s.until(`^RELOADING=1\nMONOTONIC_USEC=[0-9]+$`, "^READY=1")
	return s.until("^READY=1\nSTATUS=", "")
}

// TestServiceOfTheWholePipeline runs the daemon as systemd does, from its start without a source to its stop, and changes its
// configuration meanwhile.
func TestServiceOfTheWholePipeline(t *testing.T) {
	server := testservers.MariaDB(t)
	if err := server.Exec(t.Context(), "CREATE DATABASE a", "USE a", "CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(1000))"); err != nil {
		t.Fatal(err)
	}
	file, dir := sourceConfigFile(t, server, "log:\n  level: info")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	far := strings.Replace(strings.Replace(string(text), "http: {listen: \"\"}\n", "", 1), "interval_in_seconds: 1}", "interval_in_seconds: 900, size_in_mbs: 5}", 1)
	if err := os.WriteFile(file, []byte(far), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startService(t, file, "run")
	const works = "STATUS=replicate: following the log, 0s behind the source; deliver: 2 shards, "
	if ready := s.until("^READY=1\nSTATUS=replicate: .+; deliver: .+$", ""); !strings.Contains(ready, works) {
		s.until("^"+works, "")
	}
	if status, body := s.get("/readyz"); status != http.StatusOK {
		t.Errorf("READY=1, and /readyz is %d: %s", status, body)
	}
	s.until("^WATCHDOG=1$", "")
	s.until("^WATCHDOG=1$", "")
	s.wants("binlogstreamer_config_last_reload_successful 1", `binlogstreamer_config_reloads_total{result="applied"} 0`)

	if got := s.reload(); !strings.Contains(got, "nothing has changed") {
		t.Errorf("it says %q", got)
	}
	s.change("size_in_mbs: 5", "size_in_mbs: 1")
	s.change("level: info", "level: debug")
	if got := s.reload(); !strings.Contains(got, `delivery.buffering_hints.size_in_mbs: was "5", is "1", log.level: was "info", is "debug"`) {
		t.Errorf("it says %q", got)
	}
	s.wants(`binlogstreamer_config_reloads_total{result="unchanged"} 1`, `binlogstreamer_config_reloads_total{result="applied"} 1`)
	if err := server.Exec(t.Context(), "USE a", "INSERT INTO a.t SELECT seq, REPEAT('x', 1000) FROM seq_1_to_3000"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); delivered(t, filepath.Join(dir, "objects"))["insert"] == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the new size has no effect")
		}
		time.Sleep(50 * time.Millisecond) // between looks
	}

	s.change("tls: disabled", "tls: required")
	s.change("password: \"\"", "password: hunter2")
	s.change("size_in_mbs: 1", "size_in_mbs: 2")
	got := s.reload()
	for _, want := range []string{"not reloaded: a restart is needed", `source.tls: was "disabled", is "required"`, "source.password: changed", "nothing of it is applied"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q: %q", want, got)
		}
	}
	s.wants(`binlogstreamer_config_reloads_total{result="restart_needed"} 1`, "binlogstreamer_config_last_reload_successful 0")
	s.change("level: debug", "level: loud")
	if got := s.reload(); !strings.Contains(got, "has a fault; the running configuration stays") {
		t.Errorf("it says %q", got)
	}
	s.wants(`binlogstreamer_config_reloads_total{result="faulty"} 1`)
	s.change("tls: required", "tls: disabled")
	s.change("password: hunter2", "password: \"\"")
	s.change("level: loud", "level: info")
	if got := s.reload(); !strings.Contains(got, `was "1", is "2"`) || !strings.Contains(got, `was "debug", is "info"`) {
		t.Errorf("after the file was put right it says %q", got)
	}
	s.wants("binlogstreamer_config_last_reload_successful 1")

	if err := s.end(syscall.SIGTERM); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if got := s.until("^STOPPING=1", ""); !strings.Contains(got, "EXTEND_TIMEOUT_USEC=60000000") {
		t.Errorf("it says %q", got)
	}
	log := s.log.String()
	for _, want := range []string{`"loud\" is not a value`, "restart_needed", "nothing has changed", `"level":"ERROR"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
	}
	if strings.Contains(log, "hunter2") {
		t.Error("the log has the password")
	}
}

// TestServiceThatWaits has a source that is away: that is no failed start, and the service is not up.
func TestServiceThatWaits(t *testing.T) {
	s := startService(t, writeConfig(t, ""), "replicate")
	s.until("^EXTEND_TIMEOUT_USEC=", "^READY=1")
	s.until("^STATUS=replicate: reaching the source$", "^READY=1")
	if status, _ := s.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz is %d", status)
	}
	if status, _ := s.get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz is %d", status)
	}
	if err := s.end(syscall.SIGTERM); err != nil {
		t.Errorf("it ends with %v", err)
	}
	s.until("^STOPPING=1", "^READY=1")
}

// TestServiceThatStandsBy is up: it does what it is there for, even though it delivers nothing.
func TestServiceThatStandsBy(t *testing.T) {
	file := writeConfig(t, "")
	first := startService(t, file, "deliver")
	first.until("^READY=1", "")
	second := startService(t, file, "deliver")
	second.until("^READY=1\nSTATUS=deliver: standing by", "")
	if status, _ := second.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz of one that stands by is %d", status)
	}
	if err := first.end(syscall.SIGTERM); err != nil {
		t.Errorf("it ends with %v", err)
	}
	second.until("^STATUS=deliver: 2 shards", "")
	if err := second.end(syscall.SIGTERM); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// TestWatchdogSignal ends a daemon as systemd ends one whose watchdog starves, with the environment of the units. It has to
// write down what it was doing, and must not end with 2, which is not started again.
func TestWatchdogSignal(t *testing.T) {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil { // as LimitCORE=0
		t.Fatal(err)
	}
	t.Setenv("GOTRACEBACK", "crash")
	s := startService(t, writeConfig(t, ""), "deliver")
	s.until("^READY=1", "")
	err := s.end(syscall.SIGABRT)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatalf("it ends with %v", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGABRT {
		t.Errorf("it ends with %v", exit)
	}
	if log := s.log.String(); !strings.Contains(log, "SIGABRT") || !strings.Contains(log, "pipeline.(*supervisor).supervise") {
		t.Errorf("it does not say what it was doing: %.2000s", log)
	}
}
