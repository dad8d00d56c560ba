package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

func TestMotion(t *testing.T) {
	var m motion
	at := time.Unix(1000, 0)
	ask := func(after time.Duration, things ...thing) []string {
		at = at.Add(after)
		return m.stuck(at, things)
	}
	work := func(n uint64, due bool) thing { return thing{name: "work", due: due, at: n, max: time.Minute} }
	for _, step := range []struct {
		after time.Duration
		thing thing
		stuck bool
	}{
		{0, work(1, true), false},
		{time.Minute, work(1, true), false},
		{time.Second, work(1, true), true},
		{time.Second, work(2, true), false},
		{time.Hour, work(2, true), true},
		{time.Second, work(2, false), false}, // it has a reason
		{time.Hour, work(2, true), false},    // and no time has passed without it
		{61 * time.Second, work(2, true), true},
	} {
		if got := ask(step.after, step.thing); (len(got) > 0) != step.stuck {
			t.Errorf("at %v: %q, want stuck = %v", at.Unix(), got, step.stuck)
		}
	}
	if got := ask(0, work(2, true)); !slices.Equal(got, []string{"work has not moved for 1m1s"}) {
		t.Errorf("it says %q", got)
	}
}

// hanging is a destination whose requests have no end, whatever their time limit, until it is let go.
type hanging struct {
	*memBucket
	hang atomic.Bool
	free chan struct{}
}

func (h *hanging) Put(ctx context.Context, o *s3sink.Object) error {
	if h.hang.Load() {
		<-h.free
	}
	return h.memBucket.Put(ctx, o)
}

// TestDeliverNoticesThatItIsStuck has a shard whose object is never stored, and nobody who says why.
func TestDeliverNoticesThatItIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		bucket := &hanging{memBucket: w.bucket, free: make(chan struct{})}
		d, stop := w.start(func(c *DeliverConfig) { c.Destination = bucket })
		watch := func(minutes int) (stuck []string) {
			for range minutes {
				time.Sleep(time.Minute)
				if stuck = d.Stuck(); len(stuck) > 0 {
					return stuck
				}
			}
			return nil
		}
		if got := watch(20); got != nil {
			t.Errorf("idle: %q", got)
		}
		bucket.hang.Store(true)
		w.put(shard0, 0, 10)
		if got := watch(14); got != nil {
			t.Errorf("after less than the interval and ten minutes: %q", got)
		}
		if got := watch(4); len(got) != 1 || !strings.HasPrefix(got[0], "storing objects of "+shard0) {
			t.Errorf("it says %q", got)
		}
		bucket.hang.Store(false)
		close(bucket.free)
		if got := watch(12); got != nil {
			t.Errorf("when it moves again: %q", got)
		}
		w.want(shard0, 0, 10)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestDeliverNoticesThatReadingIsStuck has a request without an end. The worker, which waits for its answer, is not stuck.
func TestDeliverNoticesThatReadingIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		var hang atomic.Bool
		free := make(chan struct{})
		w.stream.Fault = func(call, _ string) error {
			if call == "get" && hang.Load() {
				<-free
			}
			return nil
		}
		d, stop := w.start(func(c *DeliverConfig) { c.SaveEvery = 24 * time.Hour })
		time.Sleep(time.Minute)
		hang.Store(true)
		var stuck []string
		for range 14 {
			time.Sleep(time.Minute)
			stuck = d.Stuck()
			if len(stuck) > 0 && !strings.HasPrefix(stuck[0], "reading "+shard0) {
				t.Fatalf("it says %q", stuck)
			}
		}
		if len(stuck) != 1 {
			t.Errorf("it says %q", stuck)
		}
		hang.Store(false)
		close(free)
		time.Sleep(time.Minute)
		if stuck := d.Stuck(); len(stuck) > 0 {
			t.Errorf("when it moves again: %q", stuck)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// slowStore is a store whose saves have no end while hang is set.
type slowStore struct {
	*memStore
	hang atomic.Bool
}

func (s *slowStore) Save(ctx context.Context, name string, doc []byte, rev checkpoint.Revision) (checkpoint.Revision, error) {
	if s.hang.Load() {
		<-ctx.Done()
		return checkpoint.None, context.Cause(ctx)
	}
	return s.memStore.Save(ctx, name, doc, rev)
}

func TestReplicateNoticesThatItIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{memStore: newMemStore()}
		log := slog.New(slog.DiscardHandler)
		s := &session{tracker: checkpoint.NewTracker[boundary, changeAt](checkpoint.Span, boundary{}, func(*boundary, boundary) {}),
			progress: newProgress(nil), writer: kinesisout.New(kinesisout.Config{StreamName: "s", Logger: log}),
			emitter: &emitter{oversized: newOversizer(OversizedConfig{}, "n", nil, outage.New(log, "oversized"), log)}}
		s.saver = &saver{tracker: s.tracker, progress: s.progress, interval: 500 * time.Millisecond, health: outage.New(log, "checkpoint store"),
			state: &stateFile{store: store}, started: new(atomic.Bool)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.saver.run(ctx) }()

		var r Replicate
		watch := func(minutes int) (stuck []string) {
			for range minutes {
				time.Sleep(time.Minute)
				if stuck = r.Stuck(); len(stuck) > 0 {
					return stuck
				}
			}
			return nil
		}
		r.session.Store(s)
		if got := watch(60); got != nil {
			t.Errorf("idle: %q", got)
		}
		seq, err := s.tracker.Next(ctx, changeAt{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := watch(10); len(got) != 1 || !strings.HasPrefix(got[0], "sending changes") {
			t.Errorf("a change that is not acknowledged: %q", got)
		}
		s.emitter.oversized.store.Failing(errors.New("away"))
		if got := watch(60); got != nil {
			t.Errorf("a change that waits for a store that is away: %q", got)
		}
		s.emitter.oversized.store.Working()
		s.tracker.Acked(seq)
		if got := watch(10); got != nil {
			t.Errorf("after it was acknowledged: %q", got)
		}
		store.hang.Store(true)
		if got := watch(10); len(got) != 1 || !strings.HasPrefix(got[0], "saving checkpoints") {
			t.Errorf("a save without an end: %q", got)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestDeliverHint changes when objects are closed while it runs.
func TestDeliverHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		d, stop := w.start()
		w.put(shard0, 0, 10)
		time.Sleep(10 * time.Second)
		d.Hint(5<<20, 20*time.Second)
		time.Sleep(280 * time.Second)
		if n := w.bucket.count(); n != 0 {
			t.Errorf("%d objects: the interval of an open run was changed", n)
		}
		time.Sleep(20 * time.Second)
		w.want(shard0, 0, 10)
		w.put(shard0, 10, 20)
		time.Sleep(25 * time.Second)
		w.want(shard0, 0, 20)
		d.Hint(1, time.Hour)
		w.put(shard0, 20, 30)
		time.Sleep(5 * time.Second)
		w.want(shard0, 0, 30)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
