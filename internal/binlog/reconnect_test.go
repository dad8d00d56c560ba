package binlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// journal is a reader that is troubled behind each of its transactions, and what it must have read in the end.
type journal struct {
	*bench
	cfg     Config
	trouble []func()
	attempt func(n int) // called when a connection begins to send
	tune    func(*Reader)
}

// run inserts one row, brings on the next trouble, and so on; the row that follows is inserted while the trouble lasts.
func (s *journal) run() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	r := s.recorder(s.start)
	s.exec("INSERT INTO t VALUES (0)")
	want := []string{"schema 6 t (id)"}
	step := 0
	r.stop = func(r *recorder) bool {
		if len(r.lines) == 0 || r.lines[len(r.lines)-1] != "commit" {
			return false
		}
		want = append(want, "begin", fmt.Sprintf("t insert %d", step), "commit")
		if step == len(s.trouble) {
			return true
		}
		s.trouble[step]()
		step++
		s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", step))
		return false
	}
	s.cfg.Handler = commitsOnly{r}
	reader := New(s.cfg)
	if s.attempt != nil {
		reader.onReady = s.attempt
	}
	if s.tune != nil {
		s.tune(reader)
	}
	if err := reader.Run(ctx, s.start); !errors.Is(err, errEnough) {
		s.t.Errorf("Run: %v after %d of %d steps", err, step, len(s.trouble))
	}
	if !slices.Equal(r.lines, want) {
		s.t.Errorf("got %q\nwant %q", r.lines, want)
	}
}

// commitsOnly passes over boundaries without rows before them, so that a recorder is asked once for each of its lines.
type commitsOnly struct{ *recorder }

func (c commitsOnly) Commit(ctx context.Context, b Boundary) error {
	if n := len(c.lines); b.Idle || n == 0 || c.lines[n-1] == "commit" {
		return nil
	}
	return c.recorder.Commit(ctx, b)
}

// A network that swallows everything, with all connections open, costs a connection and nothing else.
func TestHalfDeadConnection(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t), "CREATE TABLE t (id INT PRIMARY KEY)")
	relay := testservers.NewRelay(t, b.server.Addr())
	cfg := b.config()
	cfg.Source.Port = relay.Port16()
	cfg.Source.ConnectTimeout = time.Second
	attempts := 0 // to connect that the network swallows before it thaws
	cfg.Source.Password = func(context.Context) (string, error) {
		if attempts--; attempts < 0 {
			relay.Thaw()
		}
		return "", nil
	}
	s := &journal{bench: b, cfg: cfg}
	freeze := func() { attempts = 1; relay.Freeze() }
	blink := func() {
		relay.Freeze()
		timer := time.AfterFunc(100*time.Millisecond, relay.Thaw) // the network's own time
		t.Cleanup(func() { timer.Stop() })
	}
	connections := 0
	s.attempt = func(n int) { connections = n }
	s.tune = func(r *Reader) { r.silence = 400 * time.Millisecond }
	s.trouble = []func(){blink, freeze, func() { relay.Point(b.server.Addr()) }}
	s.run()
	if connections < 3 {
		t.Errorf("%d connections: the reader has not noticed", connections)
	}
}

// A server without a free connection, and a password that is changed under way, are waited for.
func testAccountTrouble(t *testing.T, server *testservers.MySQLServer) {
	b := newBench(t, server, "CREATE TABLE t (id INT PRIMARY KEY)")
	user := "account_" + b.db
	server.MustExec(t, fmt.Sprintf("CREATE USER %s IDENTIFIED BY 'old'", user),
		fmt.Sprintf("GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO %s", user))
	t.Cleanup(func() { _ = server.Exec(context.Background(), "DROP USER "+user) })
	var asked, changed, freed atomic.Int64
	password := atomic.Pointer[string]{}
	older, newer := "old", "new"
	password.Store(&older)
	cfg := b.config()
	cfg.Source.User = user
	cfg.Source.Password = func(context.Context) (string, error) {
		n := asked.Add(1)
		if at := changed.Load(); at > 0 && n == at+2 {
			password.Store(&newer) // the secret arrives two attempts late
		}
		if at := freed.Load(); at > 0 && n == at+2 {
			server.MustExec(t, fmt.Sprintf("ALTER USER %s WITH MAX_USER_CONNECTIONS 0", user))
		}
		return *password.Load(), nil
	}
	s := &journal{bench: b, cfg: cfg}
	s.trouble = []func(){
		func() {
			server.MustExec(t, fmt.Sprintf("ALTER USER %s IDENTIFIED BY 'new'", user))
			changed.Store(asked.Load())
			b.killDumps()
		},
		func() {
			held, err := source.Connect(t.Context(), source.Config{
				Host: "127.0.0.1", Port: server.Port16(), User: user, TLS: source.TLSDisabled,
				Password: func(context.Context) (string, error) { return newer, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { source.Close(held) })
			server.MustExec(t, fmt.Sprintf("ALTER USER %s WITH MAX_USER_CONNECTIONS 1", user))
			freed.Store(asked.Load())
			b.killDumps()
		},
	}
	s.run()
	if asked.Load() < freed.Load()+2 || freed.Load() < changed.Load()+2 {
		t.Errorf("asked %d times for the password, changed at %d, freed at %d", asked.Load(), changed.Load(), freed.Load())
	}
}
