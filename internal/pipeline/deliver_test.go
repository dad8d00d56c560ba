package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin/kinesistest"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

const shard0, shard1 = "shardId-000000000000", "shardId-000000000001"

// world is a stream, a bucket and a checkpoint store, which outlive the processes that deliver between them.
type world struct {
	t      *testing.T
	stream *kinesistest.Stream
	store  *memStore
	bucket *memBucket
}

func newWorld(t *testing.T, shards int) *world {
	return &world{t: t, stream: kinesistest.New("s", shards), store: newMemStore(), bucket: newMemBucket()}
}

func (w *world) config(change ...func(*DeliverConfig)) DeliverConfig {
	c := DeliverConfig{
		Stream:      kinesisin.Config{API: w.stream, Stream: "s"},
		Destination: w.bucket,
		Layout:      s3sink.LayoutConfig{Name: "n", Compression: s3sink.GZIP, Deduplicate: true},
		Store:       w.store,
		Interval:    300 * time.Second,
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

// start runs a Deliver until stop is called, which gives its error.
func (w *world) start(change ...func(*DeliverConfig)) (d *Deliver, stop func() error) {
	d = NewDeliver(w.config(change...))
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return d, func() error {
		cancel()
		return <-ended
	}
}

// drain runs a Deliver until everything is stored.
func (w *world) drain(change ...func(*DeliverConfig)) {
	w.t.Helper()
	if err := NewDeliver(w.config(append(change, func(c *DeliverConfig) { c.Once = true })...)).Run(w.t.Context()); err != nil {
		w.t.Fatalf("Run = %v", err)
	}
}

func (w *world) put(shard string, from, to int) {
	for i := from; i < to; i++ {
		w.stream.Put(shard, fmt.Appendf(nil, "%d\n", i))
	}
}

// want checks what is stored of a shard.
func (w *world) want(shard string, from, to int) {
	w.t.Helper()
	var want []string
	for i := from; i < to; i++ {
		want = append(want, fmt.Sprint(i))
	}
	if got := w.bucket.lines(w.t)[shard]; !slices.Equal(got, want) {
		w.t.Fatalf("%s: %d records are stored, want %d: %.200s", shard, len(got), len(want), got)
	}
}

func TestDeliverClosesObjects(t *testing.T) {
	t.Run("by time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.put(shard0, 0, 10)
			_, stop := w.start()
			time.Sleep(299 * time.Second)
			if n := w.bucket.count(); n != 0 {
				t.Errorf("%d objects before the interval is over", n)
			}
			time.Sleep(3 * time.Second)
			w.want(shard0, 0, 10)
			w.put(shard0, 10, 20)
			time.Sleep(302 * time.Second)
			w.want(shard0, 0, 20)
			if n := w.bucket.count(); n != 2 {
				t.Errorf("%d objects, want 2", n)
			}
			time.Sleep(time.Hour)
			if n := w.bucket.count(); n != 2 {
				t.Errorf("%d objects after an idle hour, want 2", n)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("by size", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			for range 20 {
				w.stream.Put(shard0, bytes.Repeat([]byte("x"), 10_000))
			}
			_, stop := w.start(func(c *DeliverConfig) { c.Size = 50_000 })
			time.Sleep(10 * time.Second)
			if n := w.bucket.count(); n != 4 {
				t.Errorf("%d objects, want 4", n)
			}
			for _, key := range w.bucket.order {
				if m := w.bucket.objects[key].Meta; m.Bytes != 50_000 || m.Records != 5 {
					t.Errorf("%s holds %d records, %d bytes", key, m.Records, m.Bytes)
				}
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("without an interval", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			_, stop := w.start(func(c *DeliverConfig) { c.Interval = 0 })
			for i := range 5 {
				w.put(shard0, i, i+1)
				time.Sleep(1500 * time.Millisecond)
				w.want(shard0, 0, i+1)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("at a clean stop", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 2)
			w.put(shard0, 0, 10)
			w.put(shard1, 0, 5)
			_, stop := w.start()
			time.Sleep(5 * time.Second)
			if err := stop(); err != nil {
				t.Error(err)
			}
			w.want(shard0, 0, 10)
			w.want(shard1, 0, 5)
			w.put(shard0, 10, 12)
			w.drain()
			w.want(shard0, 0, 12)
		})
	})
}

// Parents are stored to their ends before their children begin, whatever is discovered when.
func TestDeliverFollowsReshards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.put(shard0, 0, 10)
		a, b := w.stream.Split(shard0)
		w.put(a, 0, 10)
		w.put(shard1, 0, 10)
		c := w.stream.Merge(b, shard1)
		w.put(c, 0, 10)
		_, stop := w.start()
		time.Sleep(10 * time.Minute)
		d, e := w.stream.Split(c)
		w.put(d, 0, 3)
		w.put(e, 0, 4)
		time.Sleep(10 * time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		for shard, n := range map[string]int{shard0: 10, shard1: 10, a: 10, b: 0, c: 10, d: 3, e: 4} {
			w.want(shard, 0, n)
		}
		position := map[string]int{}
		for i, key := range w.bucket.order {
			position[w.bucket.objects[key].Meta.Shard] = i
		}
		for _, rel := range [][2]string{{shard0, a}, {shard1, c}, {c, d}, {c, e}} {
			if position[rel[0]] > position[rel[1]] {
				t.Errorf("%s was stored after its child %s", rel[0], rel[1])
			}
		}
		calls := w.stream.Calls("get " + shard0)
		w.drain()
		if again := w.stream.Calls("get " + shard0); again != calls {
			t.Errorf("a finished shard was read again")
		}
	})
}

func TestDeliverDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.put(shard0, 0, 5000)
		a, _ := w.stream.Split(shard0)
		w.put(a, 0, 7)
		w.drain()
		w.want(shard0, 0, 5000)
		w.want(a, 0, 7)
		w.want(shard1, 0, 0)

		d := NewDeliver(w.config())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(t.Context()) }()
		time.Sleep(time.Minute)
		w.put(a, 7, 30)
		d.Drain()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		w.want(a, 0, 30)
	})
}

// TestDeliverDrainsBehindAnEmptyAnswer drains a stream whose closed shards give empty answers before they say that they are
// at their ends. What is in their children is there, too.
func TestDeliverDrainsBehindAnEmptyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.stream.EmptyBeforeEnd = 2
		a, b := w.stream.Split(shard0)
		w.put(a, 0, 7)
		w.put(b, 7, 11)
		w.drain()
		w.want(a, 0, 7)
		w.want(b, 7, 11)
	})
}

func TestDeliverStart(t *testing.T) {
	for name, tc := range map[string]struct {
		start DeliverStart
		from  int
	}{
		"oldest": {DeliverStart{}, 0},
		"latest": {DeliverStart{Latest: true}, 20},
		"time":   {DeliverStart{Time: time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC)}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the bubble begins at 2000-01-01
				w := newWorld(t, 1)
				w.put(shard0, 0, 10)
				time.Sleep(time.Hour)
				w.put(shard0, 10, 20)
				time.Sleep(time.Hour)
				begin := func(c *DeliverConfig) { c.Start = tc.start }
				// The first start reads nothing; what comes before the second one belongs to it.
				w.stream.Fault = func(call, _ string) error {
					if call == "get" {
						return errFlaky
					}
					return nil
				}
				_, stop := w.start(begin)
				time.Sleep(time.Second)
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				w.stream.Fault = nil
				time.Sleep(time.Hour)
				w.put(shard0, 20, 30)
				w.drain(begin)
				w.want(shard0, tc.from, 30)
			})
		})
	}
}

// A destination that is away for long is waited for: nothing is lost or doubled, memory stays bounded, the trouble is
// announced once, and so is the recovery.
func TestDeliverOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		shards := w.stream.Open()
		var log bytes.Buffer
		p := &process{store: w.store, bucket: w.bucket}
		reg := prometheus.NewPedanticRegistry()
		const limit = 1 << 20
		d, stop := w.start(func(c *DeliverConfig) {
			c.Destination, c.MaxBytes, c.Size, c.Registerer = p, limit, 200_000, reg
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
		time.Sleep(time.Second)
		if !d.Ready() {
			t.Error("not ready")
		}
		p.dead.Store(true)
		for _, s := range shards {
			for i := range 2000 {
				w.stream.Put(s, fmt.Appendf(nil, "%01000d\n", i))
			}
		}
		for range 120 {
			time.Sleep(time.Minute)
			if m := d.Status().Memory; m > limit*3/2 {
				t.Fatalf("%d bytes are held, the limit is %d", m, limit)
			}
			if stuck := d.Stuck(); len(stuck) > 0 {
				t.Fatalf("an outage is taken for a fault of ours: %q", stuck)
			}
		}
		if d.Ready() {
			t.Error("ready without a destination")
		}
		if age := d.Status().Freshness; age < 2*time.Hour || age > 2*time.Hour+time.Minute {
			t.Errorf("freshness is %s", age)
		}
		p.dead.Store(false)
		time.Sleep(10 * time.Minute)
		if !d.Ready() {
			t.Errorf("not ready after the outage: %v", d.Status().Trouble)
		}
		if age := d.Status().Freshness; age != 0 {
			t.Errorf("freshness is %s with nothing left", age)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		for _, s := range shards {
			if n := len(w.bucket.lines(t)[s]); n != 2000 {
				t.Errorf("%s: %d records", s, n)
			}
		}
		if m := d.Status().Memory; m != 0 {
			t.Errorf("%d bytes are held at the end", m)
		}
		for text, want := range map[string]int{"level=WARN": 1, "works again": 1} {
			if n := strings.Count(log.String(), text); n != want {
				t.Errorf("%q is logged %d times:\n%s", text, n, log.String())
			}
		}
		metrics, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := promlint.NewWithMetricFamilies(metrics).Lint(); err != nil || len(problems) > 0 {
			t.Errorf("metrics: %v, %v", problems, err)
		}
	})
}

// Many shards that hold a little each must not stop each other when they use up the budget together.
func TestDeliverManyShardsShareTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20)
		for i := range 100 {
			for _, s := range w.stream.Open() {
				w.stream.Put(s, fmt.Appendf(nil, "%01000d\n", i))
			}
		}
		_, stop := w.start(func(c *DeliverConfig) { c.MaxBytes = 512 << 10; c.Interval = 24 * time.Hour })
		time.Sleep(5 * time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		for _, s := range w.stream.Open() {
			if n := len(w.bucket.lines(t)[s]); n != 100 {
				t.Errorf("%s: %d records", s, n)
			}
		}
	})
}

func TestDeliverGraceIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.put(shard0, 0, 10)
		p := &process{store: w.store, bucket: w.bucket}
		_, stop := w.start(func(c *DeliverConfig) { c.Destination = p })
		time.Sleep(5 * time.Second)
		p.dead.Store(true)
		begin := time.Now()
		left, ok := errors.AsType[*UnstoredError](stop())
		if !ok || left.Records != 10 {
			t.Errorf("Run = %v", left)
		}
		if took := time.Since(begin); took != 25*time.Second {
			t.Errorf("stopping took %s", took)
		}
		w.drain()
		w.want(shard0, 0, 10)
	})
}

func TestDeliverFailures(t *testing.T) {
	t.Run("a second process", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.store.locks = true
			_, stop := w.start()
			time.Sleep(time.Second)
			once := w.config()
			once.Once = true
			if _, ok := errors.AsType[*checkpoint.LockedError](NewDeliver(once).Run(t.Context())); !ok {
				t.Error("a second process is let in")
			}
			drained := NewDeliver(w.config()) // it stands by, until there is nothing to stand by for
			time.AfterFunc(time.Hour, drained.Drain)
			if _, ok := errors.AsType[*checkpoint.LockedError](drained.Run(t.Context())); !ok {
				t.Error("a second process is let in after Drain")
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("lock lost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.store.locks = true
			w.put(shard0, 0, 10)
			d, stop := w.start()
			time.Sleep(10 * time.Second) // the records are held: the interval is longer
			w.store.rob(deliverLock)
			time.Sleep(time.Millisecond)
			w.drain() // the other process stores what was held
			w.put(shard0, 10, 20)
			time.Sleep(time.Hour) // and the first one goes on when that is gone
			if !d.Ready() {
				t.Error("the process that lost the lock has not taken over again")
			}
			if used := d.budget.inUse(); used != 0 {
				t.Errorf("%d bytes of memory are still booked", used)
			}
			w.want(shard0, 0, 20)
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("taken over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.put(shard0, 0, 10)
			d := NewDeliver(w.config())
			ended := make(chan error, 1)
			go func() { ended <- d.Run(t.Context()) }()
			time.Sleep(10 * time.Second)
			w.drain()
			w.put(shard0, 10, 20)
			if err := <-ended; !errors.Is(err, checkpoint.ErrConflict) {
				t.Errorf("Run = %v", err)
			}
			w.drain()
			w.want(shard0, 0, 20)
		})
	})
	t.Run("expired", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.put(shard0, 0, 10)
			w.drain()
			w.put(shard0, 10, 20)
			time.Sleep(30 * time.Hour)
			w.put(shard0, 20, 30)
			err := NewDeliver(w.config()).Run(t.Context())
			if _, ok := errors.AsType[*kinesisin.ExpiredError](err); !ok {
				t.Errorf("Run = %v", err)
			}
			w.drain(func(c *DeliverConfig) { c.AcceptLoss = true })
			if got := w.bucket.lines(t)[shard0]; len(got) != 20 || got[10] != "20" {
				t.Errorf("stored are %v", got)
			}
		})
	})
	t.Run("idle for long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.put(shard0, 0, 10)
			_, stop := w.start()
			time.Sleep(72 * time.Hour)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Hour)
			w.put(shard0, 10, 20)
			w.drain()
			w.want(shard0, 0, 20)
		})
	})
	t.Run("the stream is made anew", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.put(shard0, 0, 10)
			d := NewDeliver(w.config())
			ended := make(chan error, 1)
			go func() { ended <- d.Run(t.Context()) }()
			time.Sleep(10 * time.Minute)
			w.stream = kinesistest.New("s", 1)
			w.stream.Created = w.stream.Created.Add(time.Second)
			w.put(shard0, 10, 15)
			old := d.cfg.Stream.API.(*kinesistest.Stream)
			old.MadeAnew(w.stream.Created)
			if _, ok := errors.AsType[*kinesisin.ReplacedError](<-ended); !ok {
				t.Error("the end of the stream went unnoticed")
			}
			w.drain()
			if got := w.bucket.lines(t)[shard0]; len(got) != 15 {
				t.Errorf("stored are %v", got)
			}
		})
	})
}

// A configuration change between storing an object and saving that it is stored must not store its records again
// under the new key.
func TestDeliverLayoutChange(t *testing.T) {
	change := map[string]func(*s3sink.LayoutConfig){
		"prefix":      func(l *s3sink.LayoutConfig) { l.Prefix = "other/" },
		"zone":        func(l *s3sink.LayoutConfig) { l.TimeZone = "Asia/Tokyo" },
		"compression": func(l *s3sink.LayoutConfig) { l.Compression = s3sink.Uncompressed },
		"name":        func(l *s3sink.LayoutConfig) { l.Name = "m" },
		"duplicates":  func(l *s3sink.LayoutConfig) { l.Deduplicate = false },
	}
	for name, f := range change {
		for _, objects := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s %d objects behind", name, objects), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 1)
					w.put(shard0, 0, 10)
					w.drain()
					before, _, _ := w.store.Load(t.Context(), "deliver/s/"+fmt.Sprint(w.stream.Created.Unix())+"/shards/"+shard0)
					for i := range objects { // objects are stored, and the saved position stays behind
						w.put(shard0, 10+10*i, 20+10*i)
						w.drain()
					}
					w.store.docs["deliver/s/"+fmt.Sprint(w.stream.Created.Unix())+"/shards/"+shard0] = before
					w.put(shard0, 10+10*objects, 50)
					alter := func(c *DeliverConfig) { f(&c.Layout) }
					w.drain(alter)
					w.want(shard0, 0, 50)
					last := w.bucket.order[len(w.bucket.order)-1]
					if !strings.Contains(last, "-2-2000-") && name != "zone" {
						t.Errorf("the new object is %s, want version 2", last)
					}
					w.put(shard0, 50, 60)
					w.drain(alter)
					w.drain() // and back: version 3
					w.want(shard0, 0, 60)
				})
			})
		}
	}
}

// The saved position may be lost altogether: the objects say what is stored.
func TestDeliverWithoutCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		for i := range 5 {
			w.put(shard0, 10*i, 10*i+10)
			w.drain()
		}
		w.store.forget("deliver/")
		w.put(shard0, 50, 60)
		w.drain()
		w.want(shard0, 0, 60)
		if n := w.bucket.count(); n != 6 {
			t.Errorf("%d objects", n)
		}
	})
}

func TestDeliverWarnsOfSpreadRecords(t *testing.T) {
	for _, auto := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.stream.Auto = auto
			var log bytes.Buffer
			w.drain(func(c *DeliverConfig) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			if warned := strings.Contains(log.String(), "USER_PARTITION_KEY"); warned != auto {
				t.Errorf("distribution AUTO is %v, warned %v", auto, warned)
			}
		})
	}
}
