package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
)

// starving is a chunk of six rows with old versions, of which the stream has taken two: no more may be on their way.
func starving(t *testing.T) (s *simulation, w snapshot.Window, c *snapshot.Chunk, done <-chan error) {
	t.Helper()
	s = newSimulation(t, 1)
	s.slow(2)
	for i := range s.log {
		s.log[i] = 3 // of that row are all changes
	}
	w, err := s.e.Open("shop", "ticket", 0)
	must(t, err)
	c = rowsFrom(s, w.Restart(), 6)
	time.Sleep(time.Microsecond) // in a test's bubble the chunk would be of the very moment of the restart, and void
	mark, _ := w.Mark(w.Now())
	done = w.Deliver(t.Context(), mark, c)
	if len(s.out.records) != 2 || len(done) != 0 {
		t.Fatalf("with two numbers %d rows are sent, and %d answers are there", len(s.out.records), len(done))
	}
	return s, w, c, done
}

func rowsFrom(s *simulation, number, rows int) *snapshot.Chunk {
	c := &snapshot.Chunk{Table: versioned, Layout: s.layout, Range: number, Last: true}
	for k := range rows {
		c.Add([][]byte{fmt.Append(nil, k), []byte("0")})
	}
	return c
}

func (s *simulation) loads() (keys []string) {
	for _, r := range s.out.records {
		if r.op == "load" {
			keys = append(keys, r.key)
		}
	}
	return keys
}

// TestChangesGoOnWhileAChunkWaitsForNumbers lets a row change whose load record has no number yet: the change is sent, and
// the row is not any more.
func TestChangesGoOnWhileAChunkWaitsForNumbers(t *testing.T) {
	s, _, _, done := starving(t)
	s.follow(t)
	for s.acknowledge(t) {
	}
	must(t, <-done)
	if got, want := s.loads(), []string{"0", "1", "2", "4", "5"}; !slices.Equal(got, want) {
		t.Errorf("rows %v are sent, want %v", got, want)
	}
	if got := s.e.progress.table(tableID{"shop", "ticket"}, "").snapshot(); got.State != StateCompleted || got.Rows != 5 {
		t.Errorf("the table is %+v", got)
	}
}

// TestTheRestOfAChunkMayBeVoid lets a table's definition change in the middle of a chunk: the chunk is read again, and its
// range goes on with that.
func TestTheRestOfAChunkMayBeVoid(t *testing.T) {
	s, w, c, done := starving(t)
	must(t, s.e.Schema(t.Context(), binlog.SchemaChange{Kind: binlog.Altered, Schema: "shop", Name: "ticket"}))
	if err := <-done; !errors.Is(err, snapshot.ErrVoid) {
		t.Fatalf("the chunk's answer is %v", err)
	}
	for s.acknowledge(t) {
	}
	mark, _ := w.Mark(w.Now())
	again := w.Deliver(t.Context(), mark, rowsFrom(s, c.Range, 6))
	for s.acknowledge(t) {
	}
	must(t, <-again)
	if got, want := s.loads(), []string{"0", "1", "0", "1", "2", "3", "4", "5"}; !slices.Equal(got, want) {
		t.Errorf("rows %v are sent, want %v", got, want)
	}
	if got := s.e.progress.table(tableID{"shop", "ticket"}, "").snapshot(); got.State != StateCompleted || got.Rows != 6 {
		t.Errorf("the table is %+v", got)
	}
}

// TestFeed emits the rest of a chunk without a change that would remind of it, and ends with what it is beside.
func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _, done := starving(t)
		must(t, s.e.fed(t.Context(), func(ctx context.Context) error {
			for range 6 {
				synctest.Wait()
				s.e.mu.Lock()
				s.out.acknowledge(0)
				s.e.mu.Unlock()
			}
			return <-done
		}))
		if got := len(s.loads()); got != 6 {
			t.Errorf("%d rows are sent", got)
		}
		broken := errors.New("broken")
		if err := s.e.fed(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("err = %v", err)
		}
	})
}

// TestAControlRecordWaitsForANumberAndHoldsNothingUp announces a load while as many rows of another are on their way as may
// be: the changes go on meanwhile.
func TestAControlRecordWaitsForANumberAndHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _, _ := starving(t)
		told := make(chan error, 1)
		other := *versioned
		other.Name = "venue"
		go func() { told <- s.e.announceLoad(t.Context(), &other) }()
		synctest.Wait()
		s.follow(t)
		for range 2 {
			s.e.mu.Lock()
			s.out.acknowledge(0)
			s.e.mu.Unlock()
			synctest.Wait()
		}
		if len(s.out.open) != 2 || len(told) != 0 {
			t.Fatalf("%d control records are on their way, and %d answers are there", len(s.out.open), len(told))
		}
		s.out.acknowledge(1)
		s.out.acknowledge(0)
		must(t, <-told)
	})
}

// TestAControlRecordDoesNotWaitInLineWithLoads announces a load while rows wait for numbers.
func TestAControlRecordDoesNotWaitInLineWithLoads(t *testing.T) {
	s := newSimulation(t, 1)
	s.slow(64)
	w, err := s.e.Open("shop", "ticket", 0)
	must(t, err)
	c := rowsFrom(s, w.Restart(), 100)
	mark, _ := w.Mark(w.Now())
	w.Deliver(t.Context(), mark, c)
	if got := len(s.out.open); got != 60 {
		t.Fatalf("%d rows are on their way", got)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	drop := []record.Control{{Operation: record.DropTable, Schema: "shop", Table: "venue"}}
	for range 4 {
		must(t, s.e.controls(t.Context(), drop, func() {}))
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.e.controls(stopped, drop, func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a fifth one does not wait: %v", err)
	}
}

// copies is a barrier that counts what is put into every shard.
type copies struct {
	t    *testing.T
	e    *emitter
	seen []uint64
}

func (b *copies) Flush(context.Context) error { return nil }

func (b *copies) EachShard(ctx context.Context, _ string, data func(context.Context) ([]byte, error)) error {
	for range 2 {
		made, err := data(ctx)
		must(b.t, err)
		h, err := record.Parse(made)
		must(b.t, err)
		if next, ok := b.e.numbers.Next(); !ok || next != h.Sequence+1 {
			b.t.Errorf("while %d is put, the next number is %d, %t", h.Sequence, next, ok)
		}
		b.seen = append(b.seen, h.Sequence)
	}
	return nil
}

// TestRecordsInEachShardHaveNumbers: one for each round, whatever the number of shards, which are acknowledged when all
// shards have the record.
func TestRecordsInEachShardHaveNumbers(t *testing.T) {
	s := newSimulation(t, 1)
	s.slow(4)
	b := &copies{t: t, e: s.e}
	s.e.barrier, s.e.persist = b, func(context.Context) error { return nil }
	must(t, s.e.fence(t.Context(), b))
	var a announcement
	a.add(tableID{"shop", "ticket"}, record.DropTable, record.CreateTable)
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	must(t, s.e.announce(t.Context(), &a))
	if !slices.Equal(b.seen, []uint64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("numbers %v", b.seen)
	}
	if n, ok := s.e.numbers.Next(); n != 7 || !ok {
		t.Errorf("the next number is %d, %t", n, ok)
	}
}
