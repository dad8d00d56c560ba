package snapshot

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// sink is a stream without changes, and all of its windows: it takes every chunk at once.
type sink struct {
	mu       sync.Mutex // covers everything below
	rows     int
	bytes    int
	chunks   int
	open     int
	ranges   int
	restarts int
	first    []string // the first values of the first hundred rows
}

func (s *sink) Open(string, string, time.Duration) (Window, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	return &sinkWindow{sink: s}, nil
}

type sinkWindow struct {
	*sink
	closed bool
}

func (s *sinkWindow) Now() int64                                   { return 0 }
func (s *sinkWindow) Mark(int64) (Mark, source.Position)           { return Mark{}, source.Position{} }
func (s *sinkWindow) Forget(Mark)                                  {}
func (s *sinkWindow) Reach(context.Context, source.Position) error { return nil }
func (s *sinkWindow) Hold(context.Context) (Hold, error)           { return stillHold{}, nil }
func (s *sinkWindow) Gone()                                        {}
func (s *sinkWindow) Begin(context.Context, *schema.Table) error   { return nil }
func (s *sinkWindow) Fail(err error) error                         { return err }

func (s *sinkWindow) Restart() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restarts++
	return 0
}

func (s *sinkWindow) Split(int, Bound, []string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranges++
	return s.ranges
}

func (s *sinkWindow) Deliver(_ context.Context, _ Mark, c *Chunk) <-chan error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks++
	for row := range c.Rows() {
		if s.rows++; s.rows <= 100 {
			s.first = append(s.first, string(row[0]))
		}
		for _, v := range row {
			s.bytes += len(v)
		}
	}
	c.Release()
	done := make(chan error, 1)
	done <- nil
	return done
}

func (s *sinkWindow) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.open--
	}
}

// stillHold holds a stream that never moves.
type stillHold struct{}

func (stillHold) At() source.Position                          { return source.Position{} }
func (stillHold) RunTo(context.Context, source.Position) error { return nil }
func (stillHold) Changed(source.Position) bool                 { return false }
func (stillHold) Quiet() time.Duration                         { return time.Hour }
func (stillHold) Alone() bool                                  { return true }
func (stillHold) Release()                                     {}

// load loads tables of a server into a sink.
func load(t *testing.T, db *testservers.MySQLServer, cfg Config, name string, tables ...string) *sink {
	t.Helper()
	server, err := source.Describe(t.Context(), connect(t, db))
	must(t, err)
	s := &sink{}
	cfg.Server, cfg.Connect, cfg.Load, cfg.Stream, cfg.Log = server, connector(db), source.LoadTable, s, slog.New(slog.DiscardHandler)
	l := New(cfg)
	for _, table := range tables {
		must(t, l.Open([]Job{{Schema: name, Table: table}}))
	}
	must(t, l.Run(t.Context()))
	if s.open != 0 {
		t.Errorf("%d windows are left open", s.open)
	}
	if used := l.cfg.Budget.used; used != 0 {
		t.Errorf("%d bytes of the budget are left in use", used)
	}
	return s
}

// TestGiantRowsPassOneByOne reads rows of 40 MB with six readers at a time. The rows cost the server nothing: they
// are computed when they are read.
func TestGiantRowsPassOneByOne(t *testing.T) {
	const size, tables, ceiling = 40_000_000, 6, 256 << 20
	db := testservers.SharedMySQL(t)
	name := db.Database(t)
	var names []string
	for i := range tables {
		names = append(names, fmt.Sprint("t", i))
		db.MustExec(t, fmt.Sprintf("CREATE TABLE `%s`.t%d (id INT PRIMARY KEY, big LONGBLOB AS (REPEAT(x'61', %d)) VIRTUAL)", name, i, size),
			fmt.Sprintf("INSERT INTO `%s`.t%d (id) VALUES (1)", name, i))
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(ceiling))
	peak := watchHeap(t)
	b := NewBudget(ceiling / 8)
	s := load(t, db, Config{Parallel: tables, Budget: b}, name, names...)
	if s.rows != tables || s.bytes < tables*size {
		t.Errorf("%d rows of %d bytes came", s.rows, s.bytes)
	}
	if got := peak(); got > ceiling {
		t.Errorf("the heap grew to %d MB, more than the ceiling of %d MB", got>>20, ceiling>>20)
	} else {
		t.Logf("the heap grew to %d MB, the budget to %d MB", got>>20, b.peak>>20)
	}
}

// watchHeap tells how large the heap was at the most.
func watchHeap(t *testing.T) (peak func() uint64) {
	runtime.GC()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan uint64)
	go func() {
		var most uint64
		for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapSys-m.HeapReleased)
			if ctx.Err() != nil {
				tick.Stop()
				done <- most
				return
			}
		}
	}()
	return func() uint64 { cancel(); return <-done }
}

// TestALargeTableIsSharedByAllReaders cuts a table for readers that have nothing to do: all of it comes once.
func TestALargeTableIsSharedByAllReaders(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		name := db.Database(t)
		db.MustExec(t, "USE "+name, "CREATE TABLE t (a INT, b INT, v VARCHAR(100), PRIMARY KEY (a DESC, b))",
			"INSERT INTO t SELECT a.n, b.n * 100 + c.n, REPEAT('x', 100) FROM "+numbers("a")+", "+numbers("b")+", "+numbers("c"))
		b := NewBudget(64 << 10)
		s := load(t, db, Config{Parallel: 4, ChunkBytes: 4 << 10, Budget: b}, name, "t")
		if s.rows != 20*20*20 {
			t.Errorf("%d rows came, want %d", s.rows, 20*20*20)
		}
		if s.ranges < 4 {
			t.Errorf("the table was cut %d times only, for 4 readers", s.ranges)
		}
		if b.peak > b.total {
			t.Errorf("chunks took %d of %d bytes", b.peak, b.total)
		}
		t.Logf("%d chunks, %d cuts, %d bytes at the most", s.chunks, s.ranges, b.peak)
	})
}

// numbers is a table of the numbers from 0 to 19.
func numbers(alias string) string {
	q := "(SELECT 0 n"
	for i := 1; i < 20; i++ {
		q += fmt.Sprintf(" UNION SELECT %d", i)
	}
	return q + ") " + alias
}
