package checkpoint

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// sum is a boundary that remembers how many were folded into it.
type sum struct{ last, count int }

func fold(acc *sum, next sum) { acc.last, acc.count = next.last, acc.count+next.count }

func newTestTracker(span uint64) *Tracker[sum, int] {
	return NewTracker[sum, int](span, sum{last: -1}, fold)
}

func give(t *testing.T, tr *Tracker[sum, int], n int) {
	t.Helper()
	for range n {
		if _, err := tr.Next(t.Context(), 0, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
}

// model is the tracker as one would write it without a thought for speed or memory.
type model struct {
	span    uint64
	start   sum
	before  uint64
	resumed int
	places  []int // of change i+1
	acked   map[uint64]bool
	bounds  []marked[sum]
	saved   uint64
}

func (m *model) frontier() Frontier[sum, int] {
	f := Frontier[sum, int]{Boundary: m.start}
	for f.Seq < uint64(len(m.places)) && m.acked[f.Seq+1] {
		f.Seq++
	}
	before := m.before
	for _, b := range m.bounds {
		if b.seq <= f.Seq {
			fold(&f.Boundary, b.b)
			f.BoundarySeq, before = b.seq, 0
		}
	}
	f.Done = before + f.Seq - f.BoundarySeq
	switch {
	case f.Done == 0:
	case f.Seq == 0:
		f.DonePlace = m.resumed
	default:
		f.DonePlace = m.places[f.Seq-1]
	}
	return f
}

func TestTrackerAgainstModel(t *testing.T) {
	full, stop := context.WithCancelCause(t.Context())
	errFull := errors.New("window is used up")
	stop(errFull)
	rapid.Check(t, func(t *rapid.T) {
		m := &model{span: rapid.Uint64Range(1, 200).Draw(t, "span"), start: sum{last: -1}, acked: map[uint64]bool{}}
		tr := NewTracker[sum, int](m.span, m.start, fold)
		if rapid.Bool().Draw(t, "resumed") {
			m.before, m.resumed = rapid.Uint64Range(1, 1000).Draw(t, "before"), -7
			tr.Resume(m.before, m.resumed)
		}
		clock := 0
		t.Repeat(map[string]func(*rapid.T){
			"next": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "n") {
					clock++
					seq, err := tr.Next(full, clock, time.Unix(int64(clock), 0))
					if uint64(len(m.places)) >= m.saved+m.span {
						if !errors.Is(err, errFull) {
							t.Fatalf("Next beyond the window = %d, %v", seq, err)
						}
						return
					}
					m.places = append(m.places, clock)
					if err != nil || seq != uint64(len(m.places)) {
						t.Fatalf("Next = %d, %v, want %d", seq, err, len(m.places))
					}
				}
			},
			"boundary": func(*rapid.T) {
				clock++
				b := marked[sum]{uint64(len(m.places)), sum{clock, 1}}
				m.bounds = append(m.bounds, b)
				tr.Boundary(b.b)
			},
			"ack": func(t *rapid.T) {
				low := m.frontier().Seq
				from := rapid.Uint64Range(low-min(low, 3), uint64(len(m.places))+2).Draw(t, "from")
				for seq := from; seq < from+rapid.Uint64Range(1, 40).Draw(t, "n"); seq++ {
					tr.Acked(seq)
					if seq <= uint64(len(m.places)) {
						m.acked[seq] = true
					}
				}
			},
			"ack all": func(*rapid.T) {
				for seq := len(m.places); seq > 0; seq-- {
					tr.Acked(uint64(seq))
					m.acked[uint64(seq)] = true
				}
			},
			"save": func(t *rapid.T) {
				f := tr.Frontier()
				m.saved = f.Seq
				tr.Saved(f.Seq)
			},
			"": func(t *rapid.T) {
				if got, want := tr.Frontier(), m.frontier(); got != want {
					t.Fatalf("Frontier = %+v, want %+v", got, want)
				}
				at, any := tr.OldestUnacked()
				if seq := m.frontier().Seq; any != (seq < uint64(len(m.places))) {
					t.Fatalf("OldestUnacked says %v", any)
				} else if any && at.Unix() != int64(m.places[seq]) {
					t.Fatalf("OldestUnacked = %v, want the time of change %d", at, seq+1)
				}
				if len(tr.pending.items)-tr.pending.head > int(m.span) {
					t.Fatalf("%d boundaries are pending", len(tr.pending.items))
				}
			},
		})
	})
}

func TestEmptyBoundariesCostNothing(t *testing.T) {
	tr := newTestTracker(1000)
	give(t, tr, 2) // never acknowledged: everything behind must wait
	tr.Boundary(sum{0, 1})
	allocs := testing.AllocsPerRun(100_000, func() { tr.Boundary(sum{1, 1}) })
	if got := len(tr.pending.items); allocs != 0 || got != 1 {
		t.Errorf("boundaries without changes cost %v allocations each, and %d are pending", allocs, got)
	}
	tr.Acked(1)
	tr.Acked(2)
	if f := tr.Frontier(); f.Boundary.count != 100_002 || f.BoundarySeq != 2 || f.Done != 0 {
		t.Errorf("Frontier = %+v, want 100002 boundaries in one", f)
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	tr := newTestTracker(1024)
	round := func() {
		f := tr.Frontier()
		give(t, tr, 700)
		tr.Boundary(sum{1, 1})
		for i := uint64(700); i > 0; i-- {
			tr.Acked(f.Seq + i)
		}
		tr.Saved(f.Seq + 700)
	}
	round()
	if allocs := testing.AllocsPerRun(100, round); allocs > 0 {
		t.Errorf("%v allocations for 700 changes", allocs)
	}
}

func TestNextWaitsForASave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTestTracker(8)
		give(t, tr, 8)
		got := make(chan uint64)
		go func() {
			seq, _ := tr.Next(t.Context(), 0, time.Time{})
			got <- seq
		}()
		blocked := func(when string) {
			t.Helper()
			synctest.Wait()
			select {
			case seq := <-got:
				t.Fatalf("Next gave %d %s", seq, when)
			default:
			}
		}
		blocked("with 8 changes out")
		for seq := uint64(1); seq <= 8; seq++ {
			tr.Acked(seq)
		}
		blocked("without a save")
		tr.Saved(100) // more than is acknowledged counts for what is
		if seq := <-got; seq != 9 {
			t.Errorf("Next = %d, want 9", seq)
		}
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	tr := newTestTracker(1)
	give(t, tr, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := tr.Next(ctx, 0, time.Time{}); !errors.Is(err, why) {
		t.Errorf("Next = %v, want the context's cause", err)
	}
}

func TestWantedEveryQuarter(t *testing.T) {
	tr := newTestTracker(400)
	wanted := func() bool {
		select {
		case <-tr.Wanted():
			return true
		default:
			return false
		}
	}
	give(t, tr, 400)
	for seq := uint64(2); seq <= 150; seq++ {
		tr.Acked(seq)
	}
	if wanted() {
		t.Error("a save is wanted with nothing to save")
	}
	tr.Acked(1)
	if !wanted() {
		t.Error("no save is wanted after 150 changes of 400")
	}
	tr.Saved(150)
	for seq := uint64(151); seq < 250; seq++ {
		tr.Acked(seq)
	}
	if wanted() {
		t.Error("a save is wanted again before another quarter")
	}
	tr.Acked(250)
	if !wanted() {
		t.Error("no save is wanted 100 changes after the last")
	}
	for seq := uint64(251); seq <= 400; seq++ {
		tr.Acked(seq)
	}
	if !wanted() {
		t.Error("a save that is slow is not asked for again")
	}
	tr.Saved(200) // it was slow: what it saved is long behind
	if !wanted() {
		t.Error("no save is wanted although 200 changes are not saved")
	}
}

// shared is a boundary with memory that its copies share.
type shared struct{ set map[int]bool }

func (s shared) Clone() shared { return shared{maps.Clone(s.set)} }

func TestFrontierGivesAwayClones(t *testing.T) {
	tr := NewTracker[shared, int](0, shared{map[int]bool{}}, func(acc *shared, next shared) { maps.Copy(acc.set, next.set) })
	tr.Boundary(shared{map[int]bool{1: true}})
	f := tr.Frontier()
	tr.Boundary(shared{map[int]bool{2: true}})
	if len(f.Boundary.set) != 1 {
		t.Errorf("a frontier changed after it was given away: %v", f.Boundary.set)
	}
}

// Lanes acknowledge from many goroutines while one feeds and one saves.
func TestTrackerInParallel(t *testing.T) {
	const total, lanes = 50_000, 4
	tr := newTestTracker(512)
	work := make([]chan uint64, lanes)
	var group sync.WaitGroup
	for i := range lanes {
		work[i] = make(chan uint64, 64)
		group.Go(func() {
			for seq := range work[i] {
				tr.Acked(seq)
				if seq%7 == 0 {
					tr.Acked(seq) // told twice
				}
			}
		})
	}
	done := make(chan struct{})
	group.Go(func() {
		for {
			select {
			case <-tr.Wanted():
				tr.Saved(tr.Frontier().Seq)
			case <-done:
				return
			}
		}
	})
	for i := 1; i <= total; i++ {
		seq, err := tr.Next(t.Context(), i, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		work[seq*seq%lanes] <- seq
		if i%3 == 0 {
			tr.Boundary(sum{i, 1})
		}
	}
	for _, w := range work {
		close(w)
	}
	close(done)
	group.Wait()
	want := Frontier[sum, int]{sum{total - total%3, total / 3}, total - total%3, total % 3, total, total}
	if got := tr.Frontier(); got != want {
		t.Errorf("Frontier = %+v, want %+v", got, want)
	}
}

func BenchmarkTracker(b *testing.B) {
	tr := newTestTracker(Span)
	var seq uint64
	for b.Loop() {
		seq, _ = tr.Next(b.Context(), 0, time.Time{})
		tr.Acked(seq)
		if seq%1024 == 0 {
			tr.Boundary(sum{1, 1})
			tr.Saved(seq)
		}
	}
}

func TestSettledWaitsForAllThatWasHandedOut(t *testing.T) {
	tr := newTestTracker(400)
	var told []string
	tell := func(name string) func() { return func() { told = append(told, name) } }
	tr.Settled(tell("nothing was handed out"))
	give(t, tr, 3)
	tr.Settled(tell("three"))
	give(t, tr, 2)
	tr.Settled(tell("five"))
	tr.Settled(tell("five again"))
	for _, step := range []struct {
		seq  uint64
		want int
	}{{2, 1}, {3, 1}, {4, 1}, {1, 2}, {1, 2}, {5, 4}} {
		if tr.Acked(step.seq); len(told) != step.want {
			t.Fatalf("after %d: told %v, want %d", step.seq, told, step.want)
		}
	}
	tr.Settled(tell("all"))
	if want := []string{"nothing was handed out", "three", "five", "five again", "all"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
