package s3sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// faulty is a destination in memory whose calls fail, or succeed and say that they failed.
type faulty struct {
	mu      sync.Mutex
	objects map[string]*Object
	answer  func(call int) string // "", "fail", "lost", "hang"
	calls   int
}

var errUnavailable = errors.New("503 slow down")

func (d *faulty) next() string {
	d.calls++
	if d.answer == nil {
		return ""
	}
	return d.answer(d.calls)
}

func (d *faulty) Put(ctx context.Context, o *Object) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	what := d.next()
	switch what {
	case "fail":
		return errUnavailable
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	}
	if _, ok := d.objects[o.Key]; ok {
		return ErrExists
	}
	if d.objects == nil {
		d.objects = map[string]*Object{}
	}
	kept := *o
	kept.Body = bytes.Clone(o.Body)
	d.objects[o.Key] = &kept
	if what == "lost" {
		return errUnavailable
	}
	return nil
}

func (d *faulty) Head(_ context.Context, key string) (Meta, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if what := d.next(); what != "" && what != "lost" {
		return Meta{}, errUnavailable
	}
	o, ok := d.objects[key]
	if !ok {
		return Meta{}, ErrNotFound
	}
	return o.Meta, nil
}

func (d *faulty) Probe(context.Context, string) error {
	if d.next() != "" {
		return errUnavailable
	}
	return nil
}

func (d *faulty) String() string { return "memory" }

type healthLog struct {
	failing []error
	working int
}

func (h *healthLog) Failing(err error) { h.failing = append(h.failing, err) }
func (h *healthLog) Working()          { h.working++ }

func gzipLayout(t *testing.T) *Layout {
	t.Helper()
	return mustLayout(LayoutConfig{Name: "n", Compression: GZIP})
}

func mustLayout(c LayoutConfig) *Layout {
	l, err := NewLayout(c)
	if err != nil {
		panic(err)
	}
	return l
}

func numbered(from, to int) *Run {
	r := NewRun(mustLayout(LayoutConfig{Name: "n", Compression: GZIP}), 1, nil)
	for i := from; i <= to; i++ {
		r.Add(fmt.Sprint(i), testArrival, fmt.Appendf(nil, "%d\n", i))
	}
	return r
}

func objectOf(t *testing.T, r *Run) *Object {
	t.Helper()
	o, err := r.Object(t.Context(), testChain, &r.Groups(testChain)[0], new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestStoreGoesOnForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		health := &healthLog{}
		d := &faulty{answer: func(call int) string {
			switch {
			case call == 3:
				return "hang"
			case call == 20:
				return "lost"
			case call < 20:
				return "fail"
			}
			return ""
		}}
		c := NewCommitter(CommitterConfig{Destination: d, Health: health})
		start := time.Now()
		stored, err := c.Store(t.Context(), objectOf(t, numbered(10, 20)))
		if err != nil || stored.Last != "20" {
			t.Fatalf("Store = %v, %v", stored, err)
		}
		if len(health.failing) != 20 || health.working != 1 {
			t.Errorf("%d failures were told, %d successes", len(health.failing), health.working)
		}
		if took := time.Since(start); took < time.Minute || took > 10*time.Minute {
			t.Errorf("20 failed attempts took %s", took)
		}
	})
}

func TestStoreAdopts(t *testing.T) {
	for _, tc := range []struct{ theirs, ours int }{{15, 20}, {20, 20}, {30, 20}} {
		d := &faulty{}
		c := NewCommitter(CommitterConfig{Destination: d, Health: &healthLog{}})
		if _, err := c.Store(t.Context(), objectOf(t, numbered(10, tc.theirs))); err != nil {
			t.Fatal(err)
		}
		stored, err := c.Store(t.Context(), objectOf(t, numbered(10, tc.ours)))
		if err != nil || stored.Last != fmt.Sprint(tc.theirs) {
			t.Errorf("theirs ends at %d: Store = %v, %v", tc.theirs, stored, err)
		}
	}
}

func TestStoreRefusesAForeignObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		health := &healthLog{}
		d := &faulty{}
		c := NewCommitter(CommitterConfig{Destination: d, Health: health})
		o := objectOf(t, numbered(10, 20))
		foreign := *o
		foreign.Meta.Shard = "another"
		if err := d.Put(t.Context(), &foreign); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.Store(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Store = %v", err)
		}
		if _, ok := errors.AsType[*Error](health.failing[0]); !ok {
			t.Errorf("the trouble is told as %v", health.failing[0])
		}
	})
}

// TestChain lets workers that crash, hang, lose answers and regress to old checkpoints store one shard. However they
// are mixed, the objects hold every record once.
func TestChain(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		d := &faulty{}
		d.answer = func(int) string { return [...]string{"", "", "", "lost", "fail"}[r.IntN(5)] }
		const records = 200
		checkpoint := 0
		layout, buf := gzipLayout(t), new(bytes.Buffer)
		type worker struct {
			next int // the first record that is not accounted for
			run  *Run
			end  int
		}
		fresh := func() *worker { return &worker{next: checkpoint + 1, run: NewRun(layout, 1, nil), end: checkpoint} }
		workers := []*worker{fresh(), fresh(), fresh()}
		step := func(w *worker, attempts int) {
			if w.run.Empty() {
				return
			}
			o, err := w.run.Object(t.Context(), testChain, &w.run.Groups(testChain)[0], buf)
			if err != nil {
				t.Fatal(err)
			}
			for range attempts {
				last := o.Meta.Last
				err := d.Put(t.Context(), o)
				if errors.Is(err, ErrExists) {
					var m Meta
					if m, err = d.Head(t.Context(), o.Key); err == nil {
						last = m.Last
					}
				}
				if err != nil {
					continue
				}
				w.run.DropThrough(last)
				fmt.Sscan(last, &w.next)
				w.next++
				w.end = max(w.end, w.next-1)
				if r.IntN(5) > 0 {
					checkpoint = w.next - 1 // by any worker: it may go back
				}
				return
			}
		}
		fill := func(w *worker, n int) {
			for range n {
				if w.end < records {
					w.end++
					w.run.Add(fmt.Sprint(w.end), testArrival, fmt.Appendf(nil, "%d\n", w.end))
				}
			}
		}
		for range 1500 {
			i := r.IntN(len(workers))
			switch r.IntN(10) {
			case 0:
				workers[i] = fresh()
			case 1, 2:
				step(workers[i], 1)
			default:
				fill(workers[i], r.IntN(7))
			}
		}
		last := fresh()
		for last.next <= records {
			fill(last, 1+r.IntN(7))
			step(last, 50)
		}
		count := make([]int, records+1)
		for _, o := range d.objects {
			for _, line := range bytes.Fields(expand(t, GZIP, o.Body)) {
				n := 0
				fmt.Sscan(string(line), &n)
				count[n]++
			}
		}
		for n := 1; n <= records; n++ {
			if count[n] != 1 {
				t.Fatalf("seed %d: record %d is stored %d times", seed, n, count[n])
			}
		}
	}
}
