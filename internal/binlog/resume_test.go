package binlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// withoutDefinitions drops the lines that tell of a definition seen for the first time: a new Reader tells them anew.
func withoutDefinitions(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		return strings.HasPrefix(l, fmt.Sprintf("schema %d ", Definition)) && !strings.HasSuffix(l, "changed")
	})
}

// Reading again from any boundary gives exactly what came after it.
func testResume(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20))", "CREATE TABLE other (id INT)")
	mixed := []string{"BEGIN", "INSERT INTO t (v) VALUES ('d')", "INSERT INTO u VALUES (3)", "ROLLBACK"}
	if b.info.Flavor == source.MySQL && b.info.GTIDMode {
		mixed = nil // not allowed there
	}
	b.exec(slices.Concat([]string{
		"INSERT INTO t (v) VALUES ('a'), ('b')",
		"BEGIN", "INSERT INTO other VALUES (1)", "COMMIT",
		"BEGIN", "INSERT INTO t (v) VALUES ('c')", "SAVEPOINT s", "INSERT INTO t (v) VALUES ('lost')", "ROLLBACK TO s", "DELETE FROM t WHERE id = 1", "COMMIT",
		"FLUSH BINARY LOGS",
		"UPDATE t SET v = 'x'",
		"CREATE TABLE u (id INT PRIMARY KEY) ENGINE=MyISAM",
		"INSERT INTO u VALUES (1), (2)",
		"TRUNCATE TABLE u",
	}, mixed, []string{
		"FLUSH BINARY LOGS",
		"BEGIN", "INSERT INTO t (v) VALUES ('e')", "INSERT INTO t (v) VALUES ('f')", "COMMIT",
	})...)
	all := b.recorder(b.start)
	all.idle = true
	if err := b.read(b.start, all); err != nil {
		t.Fatal(err)
	}
	if len(all.boundaries) < 10 {
		t.Fatalf("only %d boundaries:\n%s", len(all.boundaries), strings.Join(all.lines, "\n"))
	}
	noIdle := func(l string) bool { return l == "idle" }
	for _, from := range all.boundaries[:len(all.boundaries)-1] {
		want := slices.DeleteFunc(withoutDefinitions(all.lines[from.lines:]), noIdle)
		from.pos.ServerUUID = b.info.UUID
		r := b.recorder(from.pos)
		err := b.read(from.pos, r)
		r.lines = withoutDefinitions(r.lines)
		b.want(r, err, want...)
		if t.Failed() {
			t.Fatalf("that was from %v", from.pos)
		}
	}
}

// Offsets that the dump command has no room for are found all the same.
func TestResumeBeyondDumpOffset(t *testing.T) {
	defer func(n uint64) { maxDumpOffset = n }(maxDumpOffset)
	maxDumpOffset = 10
	testResume(t, testservers.MySQL(t, testservers.NoGTID()))
}

// A connection that is killed anywhere in a transaction, again and again, loses nothing and repeats nothing.
func testKilledConnection(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)")
	const rows = 40
	statements := []string{"INSERT INTO t VALUES (0, '')", "BEGIN"}
	for i := 1; i <= rows; i++ {
		statements = append(statements, fmt.Sprintf("INSERT INTO t VALUES (%d, REPEAT('x', 1000000))", i))
	}
	b.exec(append(statements, "COMMIT", "INSERT INTO t VALUES (1000, '')")...)

	r := b.recorder(b.start)
	events, kills, due := 0, 0, false
	r.onRows = func(*Rows) error {
		events++
		if due = due || events%9 == 2; due && kills < 3 { // a connection that is dead already may still have rows on their way
			n := b.killDumps()
			kills, due = kills+n, n == 0
		}
		return nil
	}
	if err := b.read(b.start, r); err != nil {
		t.Fatal(err)
	}
	if kills < 2 {
		t.Errorf("only %d connections were killed", kills)
	}
	var inserts, begins, commits int
	for _, l := range r.lines {
		switch {
		case strings.HasPrefix(l, "t insert "):
			inserts++
		case l == "begin":
			begins++
		case l == "commit":
			commits++
		}
	}
	if inserts != rows+2 || begins != 3 || commits != 3 || len(r.places) != rows+2 {
		t.Errorf("%d inserts at %d places, %d begins, %d commits", inserts, len(r.places), begins, commits)
	}
}

// killDumps ends all dump connections at the server and says how many it was.
func (b *bench) killDumps() int {
	n := 0
	for _, row := range b.server.MustQuery(b.t, "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'") {
		if b.server.Exec(b.t.Context(), "KILL "+row[0]) == nil {
			n++
		}
	}
	return n
}

// The server going away and coming back is ordinary; what happened meanwhile is read too.
func TestServerRestart(t *testing.T) {
	for name, s := range map[string]*testservers.MySQLServer{
		"MySQL": testservers.MySQL(t), "MySQL without GTIDs": testservers.MySQL(t, testservers.NoGTID()), "MariaDB": testservers.MariaDB(t),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
			b.exec("INSERT INTO t VALUES (1)")
			r := b.recorder(b.start)
			restarted := false
			r.stop = func(r *recorder) bool {
				if len(r.lines) == 0 {
					return false
				}
				if !restarted && r.lines[len(r.lines)-1] == "commit" {
					restarted = true
					s.Kill()
					s.MustStartAgain(t)
					b.exec("INSERT INTO t VALUES (2)")
				}
				return slices.Contains(r.lines, "t insert 2") && r.lines[len(r.lines)-1] == "commit"
			}
			cfg := b.config()
			cfg.Handler = r
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			if err := New(cfg).Run(ctx, b.start); !errors.Is(err, errEnough) {
				t.Errorf("Run: %v", err)
			}
			b.want(r, nil, "schema 6 t (id)", "begin", "t insert 1", "commit", "begin", "t insert 2", "commit")
		})
	}
}

// A server that stops answering without closing the connection is given up.
func TestSilentServer(t *testing.T) {
	s := testservers.MySQL(t)
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
	r := b.recorder(b.start)
	r.idle = true
	paused, done := false, false
	r.stop = func(r *recorder) bool {
		switch {
		case !paused:
			paused = true
			if err := s.Pause(); err != nil {
				t.Error(err)
			}
		case done:
			return true
		}
		return false
	}
	cfg := b.config()
	cfg.Handler = r
	cfg.Source.Password = func(context.Context) (string, error) { // another connection is about to be made
		if paused {
			return "", s.Resume()
		}
		return "", nil
	}
	reader := New(cfg)
	reader.silence = 500 * time.Millisecond
	reader.onReady = func(n int) { done = n > 1 }
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := reader.Run(ctx, b.start); !errors.Is(err, errEnough) {
		t.Errorf("Run: %v", err)
	}
}

func TestPurgedAndForeignPositions(t *testing.T) {
	for name, s := range map[string]*testservers.MySQLServer{
		"MySQL": testservers.MySQL(t), "MySQL without GTIDs": testservers.MySQL(t, testservers.NoGTID()), "MariaDB": testservers.MariaDB(t),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
			fails := func(what string, pos source.Position, want error, parts ...string) {
				t.Helper()
				err := b.read(pos, b.recorder(pos))
				pe, ok := errors.AsType[*PositionError](err)
				if !ok || !errors.Is(err, want) {
					t.Errorf("%s: got %v, want %v", what, err, want)
					return
				}
				for _, p := range append(parts, pe.Hint, pe.Pos.File) {
					if p == "" || !strings.Contains(err.Error(), p) {
						t.Errorf("%s: %q does not say %q", what, err, p)
					}
				}
			}
			old := b.start
			b.exec("INSERT INTO t VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (2)", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (3)")
			conn, err := source.Connect(t.Context(), b.source())
			if err != nil {
				t.Fatal(err)
			}
			end, err := source.CurrentPosition(t.Context(), conn, b.info)
			source.Close(conn)
			if err != nil {
				t.Fatal(err)
			}
			for s.MustQuery(t, "SHOW BINARY LOGS")[0][0] != end.File { // MariaDB keeps files until its engine has flushed
				s.MustExec(t, "FLUSH LOGS", "PURGE BINARY LOGS TO '"+end.File+"'")
				if t.Context().Err() != nil {
					t.Fatal("the log is not purged")
				}
			}
			fails("purged", old, ErrPurged)

			foreign := end
			foreign.ServerUUID = "00000000-0000-0000-0000-000000000001"
			if b.info.GTIDMode {
				r := b.recorder(foreign)
				if err := b.read(foreign, r); err != nil { // found by GTID
					t.Errorf("foreign position with GTIDs: %v", err)
				}
			} else {
				fails("foreign", foreign, ErrOtherServer, foreign.ServerUUID)
				ahead := end
				ahead.Offset += 1000
				fails("ahead in the file", ahead, ErrAhead, end.File+" ends at")
				ahead.File = "binlog.000099"
				fails("ahead by files", ahead, ErrAhead)
			}
		})
	}
}

// MySQL that has not executed what the position says, as after a reset, is seen for what it is.
func TestAheadByGTID(t *testing.T) {
	defer func(d time.Duration) { catchUpTimeout = d }(catchUpTimeout)
	catchUpTimeout = 300 * time.Millisecond
	b := newBench(t, testservers.SharedMySQL(t))
	pos := b.start
	pos.GTIDSet += "," + uuidA + ":1-5"
	if err := b.read(pos, b.recorder(pos)); !errors.Is(err, ErrAhead) {
		t.Errorf("got %v", err)
	}
	b = newBench(t, testservers.SharedMariaDB(t))
	pos = b.start
	pos.GTIDSet = "0-1-99999"
	if err := b.read(pos, b.recorder(pos)); !errors.Is(err, ErrAhead) {
		t.Errorf("MariaDB: got %v", err)
	}
}

// Another server under the same address ends the run, so that its coordinates are not mixed with the first one's.
func TestServerChanged(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t))
	other := b.info
	other.UUID = uuidA
	err := b.read(b.start, b.recorder(b.start), func(c *Config) { c.Server = other })
	if !errors.Is(err, source.ErrServerChanged) {
		t.Errorf("got %v", err)
	}
}

// A second reader with the same server id ends the first one, which says so.
func testSameServerID(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	first := make(chan error, 1)
	reading := make(chan struct{})
	r1 := b.recorder(b.start)
	cfg := b.config()
	cfg.Handler = r1
	one := New(cfg)
	one.onReady = func(n int) {
		if n == 1 {
			close(reading)
		}
	}
	go func() { first <- one.Run(ctx, b.start) }()
	<-reading
	r2 := b.recorder(b.start)
	cfg.Handler = r2
	two := New(cfg)
	second := make(chan error, 1)
	ctx2, stop := context.WithCancel(ctx)
	go func() { second <- two.Run(ctx2, b.start) }()
	if err := <-first; !errors.Is(err, ErrReplaced) {
		t.Errorf("the first reader ended with %v", err)
	}
	stop()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("the second reader ended with %v", err)
	}
}

// A user that may not read the log is told what to grant; a cancelled reader ends at once with the cause.
func testRefusalAndCancel(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s)
	s.MustExec(t, "CREATE USER IF NOT EXISTS reader IDENTIFIED BY 'x'")
	err := b.read(b.start, b.recorder(b.start), func(c *Config) {
		c.Source.User = "reader"
		c.Source.Password = func(context.Context) (string, error) { return "x", nil }
	})
	if _, ok := errors.AsType[*source.Error](err); !ok || !strings.Contains(err.Error(), "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT") {
		t.Errorf("got %v", err)
	}
	cause := errors.New("stop it")
	ctx, cancel := context.WithCancelCause(t.Context())
	cfg := b.config()
	r := b.recorder(b.start)
	r.stop = func(*recorder) bool { cancel(cause); return false }
	cfg.Handler = r
	if err := New(cfg).Run(ctx, b.start); err != cause {
		t.Errorf("got %v", err)
	}
}

// A position taken on one server goes on at another that has the same transactions under other coordinates.
func TestFailoverByGTID(t *testing.T) {
	a := newBench(t, testservers.MySQL(t), "CREATE TABLE t (id INT PRIMARY KEY)")
	a.exec("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
	r := a.recorder(a.start)
	if err := a.read(a.start, r); err != nil {
		t.Fatal(err)
	}
	first := r.boundaries[0].pos
	first.ServerUUID = a.info.UUID

	other := testservers.MySQL(t, testservers.ServerID(2))
	b := newBench(t, other)
	b.db = a.db
	set, err := ParseGTIDSet(source.MySQL, first.GTIDSet)
	if err != nil {
		t.Fatal(err)
	}
	last := (*set.my[a.info.UUID])[0].last
	// What the first server did until that boundary is in the other one's history; what came after is in its log.
	other.MustExec(t, fmt.Sprintf("SET GLOBAL gtid_purged = '+%s:1-%d'", a.info.UUID, last-1),
		"CREATE DATABASE "+a.db, "CREATE TABLE "+a.db+".t (id INT PRIMARY KEY)", "FLUSH BINARY LOGS",
		fmt.Sprintf("SET gtid_next = '%s:%d'", a.info.UUID, last), "INSERT INTO "+a.db+".t VALUES (1)",
		fmt.Sprintf("SET gtid_next = '%s:%d'", a.info.UUID, last+1), "INSERT INTO "+a.db+".t VALUES (2)",
		"SET gtid_next = 'AUTOMATIC'", "INSERT INTO "+a.db+".t VALUES (3)")
	// The other's own transactions before that are in the position, as they would be if they had been replicated.
	own := other.MustQuery(t, "SELECT GTID_SUBTRACT(@@GLOBAL.gtid_executed, '"+a.info.UUID+":1-1000000')")[0][0]
	n := strings.LastIndexAny(own, "-:")
	count, err := strconv.Atoi(own[n+1:])
	if err != nil {
		t.Fatal(err)
	}
	first.GTIDSet += fmt.Sprintf(",%s:1-%d", b.info.UUID, count-1)

	got := b.recorder(first)
	err = b.read(first, got)
	b.want(got, err, "schema 6 t (id)", "begin", "t insert 2", "commit", "begin", "t insert 3", "commit")
}
