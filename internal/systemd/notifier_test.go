package systemd

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manager is a service manager's socket.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &manager{t, conn}
}

// next is the next message within a time, "" if there is none.
func (m *manager) next(within time.Duration) string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	n, err := m.conn.Read(buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// until reads messages up to one that begins so, and gives it.
func (m *manager) until(begin string) string {
	m.t.Helper()
	for {
		switch got := m.next(10 * time.Second); {
		case got == "":
			m.t.Fatalf("no message begins with %q", begin)
		case strings.HasPrefix(got, begin):
			return got
		}
	}
}

// quiet fails if a message that begins so comes within a time; others are read.
func (m *manager) quiet(begin string, within time.Duration) {
	m.t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); {
		if got := m.next(time.Until(end)); strings.HasPrefix(got, begin) {
			m.t.Fatalf("it says %q", got)
		}
	}
}

// daemonUnderTest is what a Notifier asks, and its run.
type daemonUnderTest struct {
	*Notifier
	up, stuck, hang atomic.Bool
	asked           atomic.Int64 // how often it was asked whether it is stuck
	stopping        chan struct{}
	free            chan struct{}
	log             *bytes.Buffer
}

func start(t *testing.T) (d *daemonUnderTest, stop func()) {
	t.Helper()
	d = &daemonUnderTest{stopping: make(chan struct{}), free: make(chan struct{}), log: new(bytes.Buffer)}
	d.Notifier = New(Config{
		Up: d.up.Load, Status: func() string { return "at\nwork" }, Stopping: d.stopping, Stop: 90 * time.Second,
		Stuck: func() []string {
			d.asked.Add(1)
			if d.hang.Load() {
				<-d.free
			}
			if d.stuck.Load() {
				return []string{"work has not moved for 6m0s"}
			}
			return nil
		},
		Log: slog.New(slog.NewTextHandler(d.log, nil)), Every: 5 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return d, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestNotifierTellsOfALife(t *testing.T) {
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "60000")
	d, stop := start(t)
	if got := m.until("EXTEND_TIMEOUT_USEC="); got != "EXTEND_TIMEOUT_USEC=60000000" {
		t.Errorf("it asks for %q", got)
	}
	m.until("WATCHDOG=1")
	m.quiet("READY=1", 50*time.Millisecond)
	d.up.Store(true)
	if got := m.until("READY=1"); got != "READY=1\nSTATUS=at work" {
		t.Errorf("it says %q", got)
	}
	for range 3 {
		m.until("WATCHDOG=1")
	}

	reloaded := make(chan string)
	go d.Reload(func() string { return <-reloaded })
	got := m.until("RELOADING=1")
	if at, ok := strings.CutPrefix(got, "RELOADING=1\nMONOTONIC_USEC="); !ok || at == "" || strings.Trim(at, "0123456789") != "" {
		t.Errorf("it says %q", got)
	}
	m.quiet("READY=1", 50*time.Millisecond)
	reloaded <- "refused: a\nb"
	if got := m.until("READY=1"); got != "READY=1\nSTATUS=refused: a b" {
		t.Errorf("it says %q", got)
	}

	close(d.stopping)
	if got := m.until("STOPPING=1"); !strings.Contains(got, "\nEXTEND_TIMEOUT_USEC=90000000") {
		t.Errorf("it says %q", got)
	}
	d.stuck.Store(true) // the time to stop is bounded otherwise
	for range 3 {
		m.until("WATCHDOG=1")
	}
	stop()
	m.quiet("STOPPING=1", 20*time.Millisecond)
	if d.log.Len() > 0 {
		t.Errorf("it logs %s", d.log)
	}
}

// TestWatchdogOfAStuckDaemon lets the watchdog starve while something is stuck, and while nobody can say so.
func TestWatchdogOfAStuckDaemon(t *testing.T) {
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "60000")
	d, stop := start(t)
	d.up.Store(true)
	m.until("READY=1")
	m.until("WATCHDOG=1")
	d.stuck.Store(true)
	rounds := func(n int64) {
		t.Helper()
		from, deadline := d.asked.Load(), time.Now().Add(20*time.Second)
		for d.asked.Load() < from+n {
			if time.Now().After(deadline) {
				t.Fatal("it does not look any more")
			}
			m.next(5 * time.Millisecond) // what it says meanwhile
		}
	}
	rounds(2) // one may have begun before
	from := d.asked.Load()
	for d.asked.Load() < from+50 { // four times what the watchdog waits
		if got := m.next(5 * time.Millisecond); got == "WATCHDOG=1" {
			t.Fatal("it says that all is well while it is stuck")
		}
	}
	d.stuck.Store(false)
	m.until("WATCHDOG=1")
	d.hang.Store(true)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if time.Now().After(deadline) {
			t.Fatal("it goes on without an answer")
		}
		before := d.asked.Load()
		if m.next(120*time.Millisecond) == "" && d.asked.Load() == before {
			break
		}
	}
	m.quiet("WATCHDOG=1", 120*time.Millisecond)
	d.hang.Store(false)
	close(d.free)
	m.until("WATCHDOG=1")
	stop()
	m.until("STOPPING=1")
	if got := d.log.String(); strings.Count(got, "work has not moved") != 1 || strings.Count(got, "everything moves again") != 1 {
		t.Errorf("it logs %s", got)
	}
}

// TestReloadBeforeTheStart must not be taken for the end of the start.
func TestReloadBeforeTheStart(t *testing.T) {
	m := newManager(t)
	d, stop := start(t)
	m.until("EXTEND_TIMEOUT_USEC=")
	d.Reload(func() string { return "reloaded" })
	m.quiet("READY=1", 50*time.Millisecond)
	stop()
	m.until("STOPPING=1")
}

func TestWithoutAManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if Wanted() {
		t.Error("nobody listens")
	}
	d, stop := start(t)
	d.up.Store(true)
	d.Reload(func() string { return "" })
	stop()
	if d.log.Len() > 0 {
		t.Errorf("it logs %s", d.log)
	}
}

// TestManagerThatIsAway is told of once.
func TestManagerThatIsAway(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	t.Setenv("WATCHDOG_USEC", "hundred")
	d, stop := start(t)
	d.send("STATUS=a")
	d.send("STATUS=b")
	stop()
	if got := d.log.String(); strings.Count(got, "cannot be told") != 1 || strings.Count(got, "is not fed") != 1 {
		t.Errorf("it logs %s", got)
	}
}
