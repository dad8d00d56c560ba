package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// awaitState waits until a half says that it is in a state.
func awaitState(t *testing.T, want status.State, state func() status.State) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); state() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("state %q, want %q", state(), want)
		}
	}
}

// TestReplicatePause pauses in the middle of the work, restarts meanwhile, and resumes by another process.
func TestReplicatePause(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		table := "`" + b.name + "`.ticket"
		db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO "+table+" VALUES (1,'a')")
		cfg := b.config(FullLoadAndCDC)
		registry := prometheus.NewRegistry()
		cfg.Registerer = registry
		r := NewReplicate(cfg)
		stop := b.background(r.Run)
		b.awaitStream(1)
		awaitState(t, status.Streaming, func() status.State { return r.Status().State })
		must(t, r.Pause(t.Context()))
		awaitState(t, status.Paused, func() status.State { return r.Status().State })
		if !r.Ready() || r.Status().Paused.IsZero() || gauge(t, registry, "binlogstreamer_paused") != 1 {
			t.Errorf("ready %v, %+v", r.Ready(), r.Status())
		}
		if err := r.Reload(t.Context(), b.name+".ticket"); !errors.Is(err, ErrPaused) {
			t.Errorf("Reload while it is paused: %v", err)
		}
		db.MustExec(t, "INSERT INTO "+table+" VALUES (2,'b')")
		// The source has something new: the lag grows, and nothing is sent.
		for deadline := time.Now().Add(time.Minute); r.Status().SourceLag == 0 || !r.Status().Retention.Known; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("while it is paused: %+v", r.Status())
			}
		}
		if s := r.Status(); len(s.Tables) != 1 || s.Tables[0].Table != "ticket" || s.Position.File == "" {
			t.Errorf("while it is paused: %+v", s)
		}
		must(t, stop())

		second := NewReplicate(b.config(FullLoadAndCDC))
		stop = b.background(second.Run)
		awaitState(t, status.Paused, func() status.State { return second.Status().State })
		b.awaitStream(1)
		must(t, NewReplicate(b.config(FullLoadAndCDC)).Resume(t.Context())) // another process is asked
		if got := b.awaitStream(2); count(got, summary{"insert", "ticket", "2", "b"}) != 1 {
			t.Errorf("after the pause: %v", got)
		}
		awaitState(t, status.Streaming, func() status.State { return second.Status().State })
		if !second.Status().Paused.IsZero() {
			t.Errorf("%+v", second.Status().Half)
		}
		must(t, stop())
	})
}

// TestPauseDuringALoad: a full load that is paused goes on where it was.
func TestPauseDuringALoad(t *testing.T) {
	db := testservers.SharedMySQL(t)
	b := newBench(t, db)
	table := "`" + b.name + "`.ticket"
	const rows = 60 // of 100 kB each
	db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v LONGTEXT)")
	for i := range rows {
		db.MustExec(t, fmt.Sprintf("INSERT INTO %s VALUES (%d, REPEAT('x', 100000))", table, i))
	}
	cfg := b.config(FullLoad)
	cfg.ChunkBytes, cfg.Parallel = 100_000, 1
	r := NewReplicate(cfg)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	for range 3 {
		must(t, r.Pause(t.Context()))
		awaitState(t, status.Paused, func() status.State { return r.Status().State })
		must(t, r.Resume(t.Context()))
	}
	must(t, <-ended)
	seen, sent := map[string]bool{}, 0
	all, _ := b.stream()
	for _, s := range all {
		if s.ID != "" {
			seen[s.ID] = true
			sent++
		}
	}
	// A chunk, of one row here, may be cut off by each of the pauses.
	if len(seen) != rows || sent > rows+3 {
		t.Errorf("%d of %d rows are in the stream, by %d records", len(seen), rows, sent)
	}
}

// TestDeliverPause: what was read is stored, nothing more is read, and the age of what waits grows, also in a process that
// was started during the pause.
func TestDeliverPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.put(shard0, 0, 10)
		d, stop := w.start()
		time.Sleep(2 * time.Second)
		if err := d.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // the interval is 300 s
		w.want(shard0, 0, 10)
		if s := d.Report(); s.State != status.Paused || s.Paused.IsZero() || len(s.Latest) != 1 || s.Latest[0].Records != 10 || !d.Ready() {
			t.Errorf("paused: %+v", s)
		}
		w.put(shard0, 10, 20)
		time.Sleep(time.Hour)
		w.want(shard0, 0, 10)
		if age := d.Report().Freshness; age < 3600 || age > 3700 {
			t.Errorf("after an hour the oldest record may be %v s old", age)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}

		d, stop = w.start()
		time.Sleep(time.Hour)
		w.want(shard0, 0, 10)
		if s := d.Report(); s.State != status.Paused || s.Freshness < 7200 || s.Freshness > 7300 {
			t.Errorf("started while paused: %+v", s)
		}
		// Another process of the half is told; this one hears of it from the store.
		if err := NewDeliver(w.config()).Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(310 * time.Second)
		w.want(shard0, 0, 20)
		if s := d.Report(); s.State != status.Delivering || s.Freshness != 0 {
			t.Errorf("resumed: %+v", s)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPauseWhileTheStreamAnswers: an answer that comes behind the pause is stored soon, too.
func TestPauseWhileTheStreamAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		var armed atomic.Pointer[Deliver]
		w.stream.Fault = func(call, _ string) error {
			if call != "get" {
				return nil
			}
			if d := armed.Swap(nil); d != nil {
				return d.Pause(t.Context())
			}
			return nil
		}
		d, stop := w.start()
		time.Sleep(2 * time.Second)
		w.put(shard0, 0, 10)
		armed.Store(d)
		time.Sleep(5 * time.Second)
		w.want(shard0, 0, 10)
		if s := d.Report(); s.State != status.Paused {
			t.Errorf("%+v", s)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPausesOfSeveralProcesses saves at the same time: the last word counts, for all of them.
func TestPausesOfSeveralProcesses(t *testing.T) {
	var log bytes.Buffer
	store := newMemStore()
	a, b := newPause("deliver", store, slog.New(slog.NewTextHandler(&log, nil))), newPause("deliver", store, slog.New(slog.DiscardHandler))
	for i := range 6 {
		must(t, a.set(t.Context(), i%2 == 0))
		must(t, b.set(t.Context(), i%2 == 0))
		must(t, a.look(t.Context()))
		if a.isPaused() != (i%2 == 0) || b.isPaused() != a.isPaused() {
			t.Errorf("%d: %v and %v", i, a.isPaused(), b.isPaused())
		}
	}
	if n := strings.Count(log.String(), "deliver is paused"); n != 3 {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
	store.docs["deliver/paused"] = []byte(`{"version":9}`)
	if err := a.set(t.Context(), true); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("a newer form: %v", err)
	}
}

var _ kinesisin.Gate = intake{}
