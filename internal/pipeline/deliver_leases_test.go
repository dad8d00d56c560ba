package pipeline

import (
	"context"
	"crypto/md5"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/lease"
	"github.com/binlogstreamer/binlogstreamer/internal/lease/leasetest"
)

// leased makes Delivers share the shards.
func leased(service *leasetest.Service) func(*DeliverConfig) {
	return func(c *DeliverConfig) {
		c.Leases = func(string) lease.Table { return service.Table() }
	}
}

// share is the way of a request about leases: like all others, they have no effect once the process is dead.
func (p *process) share(ctx context.Context, _ string, do func() error) error {
	_, err := attempt(p, ctx, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

func (d *Deliver) works() (shards []string) {
	for _, s := range d.shards() {
		shards = append(shards, s.Shard)
	}
	return shards
}

func TestDeliverSharesShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, service := newWorld(t, 8), leasetest.NewService()
		shards := w.stream.Open()
		fill := func(from, to int) {
			for _, s := range shards {
				w.put(s, from, to)
			}
		}
		all := func(to int) {
			t.Helper()
			for _, s := range shards {
				w.want(s, 0, to)
			}
		}
		fill(0, 10)
		a, stopA := w.start(leased(service))
		time.Sleep(time.Second)
		if got := a.works(); len(got) != 8 {
			t.Fatalf("the only process works on %v", got)
		}
		b, stopB := w.start(leased(service))
		time.Sleep(time.Minute)
		if x, y := a.works(), b.works(); len(x) != 4 || len(y) != 4 {
			t.Errorf("two processes work on %v and %v", x, y)
		}
		here, elsewhere := 0, 0
		for _, s := range a.Report().Shards {
			if s.Here {
				here++
			} else if s.Owner != "" && s.Owner != thisProcess() {
				elsewhere++
			}
		}
		if here != 4 || elsewhere != 4 {
			t.Errorf("the status of one of them: %+v", a.Report().Shards)
		}
		fill(10, 20)
		time.Sleep(time.Second)
		if err := stopA(); err != nil { // what it holds is stored, and the other one has its shards at once
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		if got := b.works(); len(got) != 8 {
			t.Errorf("five seconds after a clean stop the other process works on %v", got)
		}

		p := &process{store: w.store, bucket: w.bucket}
		dying := NewDeliver(w.config(leased(service), func(c *DeliverConfig) {
			c.Store, c.Destination = p, p
			c.Leases = func(string) lease.Table {
				table := service.Table()
				table.Around = p.share
				return table
			}
		}))
		ctx, kill := context.WithCancel(context.WithoutCancel(t.Context()))
		ended := make(chan error, 1)
		go func() { ended <- dying.Run(ctx) }()
		time.Sleep(time.Minute)
		fill(20, 30)
		time.Sleep(time.Second)
		p.dead.Store(true)
		began := time.Now()
		for len(b.works()) < 8 {
			time.Sleep(time.Second)
			if time.Since(began) > time.Minute {
				t.Fatalf("a minute after the other one was killed, it works on %v", b.works())
			}
		}
		if took := time.Since(began); took < 6*time.Second || took > 20*time.Second {
			t.Errorf("shards of a killed process were taken after %v", took)
		}
		kill()
		<-ended
		time.Sleep(time.Hour)
		all(30)
		if err := stopB(); err != nil {
			t.Error(err)
		}
		for _, l := range service.All() {
			if l.Owner != "" || l.Checkpoint == lease.TrimHorizon {
				t.Errorf("a lease is left that says %+v", l)
			}
		}
	})
}

// Children begin when the leases of all parents are at their ends, wherever these were read.
func TestDeliverSharesReshards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, service := newWorld(t, 2), leasetest.NewService()
		_, stopA := w.start(leased(service))
		_, stopB := w.start(leased(service))
		time.Sleep(time.Minute)
		w.put(shard0, 0, 10)
		w.put(shard1, 0, 20)
		child := w.stream.Merge(shard0, shard1)
		w.put(child, 0, 30)
		a, b := w.stream.Split(child)
		w.put(a, 0, 40)
		w.put(b, 0, 50)
		time.Sleep(10 * time.Minute)
		for shard, n := range map[string]int{shard0: 10, shard1: 20, child: 30, a: 40, b: 50} {
			w.want(shard, 0, n)
		}
		for _, stop := range []func() error{stopA, stopB} {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
		for _, l := range service.All() {
			if l.Ended() != (l.Shard != a && l.Shard != b) || !l.Ended() && len(l.Children) > 0 { // an end may come before the children are listed
				t.Errorf("lease %+v", l)
			}
		}
	})
}

// A worker whose save is refused has lost its shard: the process goes on, and looks at the shard anew.
func TestDeliverLosesAShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, service := newWorld(t, 2), leasetest.NewService()
		d, stop := w.start(leased(service), func(c *DeliverConfig) { c.Interval = 20 * time.Second })
		w.put(shard0, 0, 10)
		w.put(shard1, 0, 10)
		time.Sleep(time.Minute)
		name := "deliver/s/" + fmt.Sprint(w.stream.Created.Unix()) + "/shards/" + shard0
		doc, rev, err := w.store.Load(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Save(t.Context(), name, append(doc, '\n'), rev); err != nil { // as by one that had the shard before
			t.Fatal(err)
		}
		w.put(shard0, 10, 20)
		w.put(shard1, 10, 20)
		time.Sleep(2 * time.Minute)
		w.put(shard0, 20, 30)
		w.put(shard1, 20, 30)
		time.Sleep(2 * time.Minute)
		w.want(shard0, 0, 30)
		w.want(shard1, 0, 30)
		if used := d.budget.inUse(); used != 0 {
			t.Errorf("%d bytes of memory are still booked", used)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Processes that are to end by themselves do, alone, together, and beside one that goes on; and then everything is stored.
func TestDeliverDrainsTogether(t *testing.T) {
	once := func(c *DeliverConfig) { c.Once = true }
	for name, others := range map[string]int{"alone": 0, "together": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, service := newWorld(t, 6), leasetest.NewService()
				shards := w.stream.Open()
				for _, s := range shards {
					w.put(s, 0, 3000)
				}
				ended := make(chan error, others+1)
				for range others + 1 {
					d := NewDeliver(w.config(leased(service), once))
					go func() { ended <- d.Run(t.Context()) }()
				}
				for range others + 1 {
					if err := <-ended; err != nil {
						t.Error(err)
					}
					for _, s := range shards { // the first that ends knows it of all
						w.want(s, 0, 3000)
					}
				}
			})
		})
	}
	t.Run("beside one that goes on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, service := newWorld(t, 3), leasetest.NewService()
			_, stop := w.start(leased(service))
			time.Sleep(time.Minute)
			shards := w.stream.Open()
			for _, s := range shards[:2] { // the third one is idle
				w.put(s, 0, 100)
			}
			began := time.Now()
			w.drain(leased(service))
			if took := time.Since(began); took > 6*time.Minute { // the interval of the other one, or of its saves
				t.Errorf("it took %v", took)
			}
			for _, s := range shards[:2] {
				w.want(s, 0, 100)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
}

// When leases are lost, what the documents say counts: shards that are at their ends get leases that say so, and their
// children begin, also in a process that only drains.
func TestDeliverDrainsWithoutLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		_, stop := w.start(leased(leasetest.NewService()))
		w.put(shard0, 0, 10)
		w.put(shard1, 0, 20)
		child := w.stream.Merge(shard0, shard1)
		time.Sleep(10 * time.Minute)
		w.want(shard0, 0, 10)
		w.want(shard1, 0, 20)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		w.put(child, 0, 30)
		w.drain(leased(leasetest.NewService()))
		w.want(child, 0, 30)
	})
}

// A process with an older layout must not go on where one with a newer one has been.
func TestDeliverRefusesAnOlderLayout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, service := newWorld(t, 1), leasetest.NewService()
		old := NewDeliver(w.config(leased(service)))
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { ended <- old.Run(ctx) }()
		time.Sleep(time.Minute)
		service.Put(lease.Lease{Shard: shard0, Checkpoint: lease.TrimHorizon, Owner: "somebody", Counter: 1000}) // and silent soon
		w.put(shard0, 0, 10)
		doc := "deliver/s/" + fmt.Sprint(w.stream.Created.Unix()) + "/shards/" + shard0
		time.Sleep(2 * time.Second)
		raw, rev, err := w.store.Load(t.Context(), doc)
		if err != nil {
			raw, rev = []byte(`{"version":1,"origin":{"kind":"TRIM_HORIZON"},"layout":1}`), ""
		}
		raw = []byte(strings.Replace(string(raw), `"layout":1`, `"layout":2`, 1))
		if _, err := w.store.Save(t.Context(), doc, raw, rev); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "layout version 2") || !strings.Contains(err.Error(), "same configuration") {
			t.Errorf("Run = %v", err)
		}
	})
}

// A lease that says more than the document is not waited for.
func TestDeliverDrainsWithoutADocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, service := newWorld(t, 2), leasetest.NewService()
		service.Put(lease.Lease{Shard: shard0, Checkpoint: lease.ShardEnd})
		err := NewDeliver(w.config(leased(service), func(c *DeliverConfig) { c.Once = true })).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "the lease of "+shard0+" says SHARD_END") {
			t.Errorf("Run = %v", err)
		}
	})
}

// kplAggregate is a record of the producer library that holds one record of a partition key.
func kplAggregate(key, data string) []byte {
	rec := append([]byte{0x08, 0, 0x1a, byte(len(data))}, data...)
	body := append([]byte{0x0a, byte(len(key))}, key...)
	body = append(append(body, 0x1a, byte(len(rec))), rec...)
	sum := md5.Sum(body)
	return append(append([]byte("\xf3\x89\x9a\xc2"), body...), sum[:]...)
}

func TestDeliverHashRangeFilter(t *testing.T) {
	for _, filter := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.stream.Hashes(shard0, "0", "170141183460469231731687303715884105727") // "a" is in the lower half, "b" is not
			for i, key := range []string{"a", "b", "a"} {
				w.stream.Put(shard0, kplAggregate(key, fmt.Sprintf("%d\n", i)))
			}
			set := func(c *DeliverConfig) { c.HashRangeFilter = filter }
			w.drain(set)
			want := "0 1 2"
			if filter {
				want = "0 2"
			}
			if got := strings.Join(w.bucket.lines(t)[shard0], " "); got != want {
				t.Errorf("with the filter %v stored are %q, want %q", filter, got, want)
			}
			w.stream.Auto = true
			err := NewDeliver(w.config(set, func(c *DeliverConfig) { c.Once = true })).Run(t.Context())
			if refused := err != nil && strings.Contains(err.Error(), "kpl_hash_range_filter"); refused != filter {
				t.Errorf("with the filter %v on a stream that ignores keys Run = %v", filter, err)
			}
		})
	}
}
