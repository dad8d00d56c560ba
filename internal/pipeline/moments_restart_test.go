package pipeline_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestARestartBeforeTheFirstBoundaryLoadsNothingStale kills a process that has emitted a change which no SELECT sees
// yet, before it could save anything behind its start. The end of the binlog was there already when that process
// began, so the next one must not take its start for the end of what the first one emitted.
func TestARestartBeforeTheFirstBoundaryLoadsNothingStale(t *testing.T) {
	db := testservers.MySQL(t)
	r := rand.New(rand.NewPCG(1, 1))
	store, err := checkpoint.OpenFile(t.TempDir())
	must(t, err)
	s := &schedule{
		t: t, db: db, r: r, schema: db.Database(t), stream: newStream(r), store: store, saved: make(chan struct{}, 1),
		proxy: newMySQLProxy(t, db.Addr(), r), stopWriters: func() {},
	}
	s.proxy.start()
	defer s.proxy.stop()
	ticket := "`" + s.schema + "`.ticket"
	db.MustExec(t, "CREATE TABLE "+ticket+" (id INT PRIMARY KEY, version INT)", "INSERT INTO "+ticket+" VALUES (1, 1)",
		"SET GLOBAL binlog_group_commit_sync_delay = 1000000")
	before := binlogEnd(t, db)
	committed := make(chan error, 1)
	go func() { committed <- db.Exec(context.Background(), "UPDATE "+ticket+" SET version = 2") }()
	until(t, "the change to stand in the binlog", func() bool { return binlogEnd(t, db) != before })

	ctx, cancel := context.WithCancelCause(t.Context())
	first := &life{s: s, cancel: cancel, killed: make(chan struct{}), r: r}
	cfg := s.config(first)
	cfg.SaveEvery, cfg.Grace = time.Hour, time.Millisecond
	ended := make(chan error, 1)
	go func() { ended <- pipeline.NewReplicate(cfg).Run(ctx) }()
	until(t, "the change to be emitted", func() bool { return slices.Contains(s.versions1(t), "2") })
	first.kill()
	<-ended

	s.proxy.dump = 400 * time.Millisecond // time enough for a chunk, if nothing holds it back
	s.tables = []*randomTable{{}}
	must(t, s.live(true))
	must(t, <-committed)
	got := s.versions1(t)
	if after := got[slices.Index(got, "2"):]; slices.Contains(after, "1") {
		t.Errorf("the stream's records of the row have versions %v: readers drop the second 2, so an older row wins", got)
	}
}

// TestEveryQuestionMayLoseItsConnection breaks the connection under everything that the start and the full load ask the
// source, once each.
func TestEveryQuestionMayLoseItsConnection(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testservers.MySQLServer) {
		r := rand.New(rand.NewPCG(1, 1))
		store, err := checkpoint.OpenFile(t.TempDir())
		must(t, err)
		s := &schedule{
			t: t, db: db, r: r, schema: db.Database(t), stream: newStream(r), store: store, saved: make(chan struct{}, 1),
			proxy: newMySQLProxy(t, db.Addr(), r), stopWriters: func() {}, tables: []*randomTable{{}},
		}
		db.MustExec(t, "CREATE TABLE `"+s.schema+"`.ticket (id INT PRIMARY KEY, version INT)", "INSERT INTO `"+s.schema+"`.ticket VALUES (1, 1)")
		var mu sync.Mutex
		seen := map[string]bool{}
		s.proxy.drop = func(sql []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			kind := string(sql[:min(len(sql), 80)]) // GTIDs and positions differ behind that
			if strings.HasPrefix(kind, "SET S") || strings.HasPrefix(kind, "SET N") {
				return false // of a connection's beginning
			}
			first := !seen[kind]
			seen[kind] = true
			return first
		}
		s.proxy.start()
		defer s.proxy.stop()
		must(t, s.live(false))
		must(t, s.live(true))
		if got := s.versions1(t); !slices.Contains(got, "1") {
			t.Errorf("the row was not loaded: %v", got)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(seen) < 8 {
			t.Errorf("only %d questions were asked: %v", len(seen), seen)
		}
	})
}

// versions1 is the versions of row 1 in the stream, in order.
func (s *schedule) versions1(t *testing.T) (out []string) {
	t.Helper()
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	for _, rec := range s.stream.log {
		if l, ok := parseLine(t, rec.data); ok {
			v, _ := jsonNumber(l.data["version"])
			out = append(out, v)
		}
	}
	return out
}

// until waits for what a server or another goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
