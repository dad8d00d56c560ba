package lease_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/binlogstreamer/binlogstreamer/internal/lease"
	"github.com/binlogstreamer/binlogstreamer/internal/lease/leasetest"
)

// start runs a coordinator that knows some shards; stop waits for its end.
func start(t *testing.T, table lease.Table, shards []string, change ...func(*lease.Config)) (c *lease.Coordinator, stop func()) {
	t.Helper()
	cfg := lease.Config{Table: table, Failover: failover}
	for _, f := range change {
		f(&cfg)
	}
	c = lease.New(cfg)
	var list []lease.Shard
	for _, s := range shards {
		list = append(list, lease.Shard{ID: s})
	}
	c.Sync(list)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return c, func() {
		cancel()
		<-ended
	}
}

// A worker that stops gives its shards to the next one at once; one that is killed keeps them for the failover time.
func TestReleaseHandsOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := leasetest.NewService()
		a, stopA := start(t, service.Table(), []string{"1", "2", "3"})
		time.Sleep(time.Second)
		held := a.Held()
		if len(held) != 3 {
			t.Fatalf("the only worker has %d shards of 3", len(held))
		}
		held["1"].Release()
		held["2"].Release()
		a.Decline("1")
		a.Decline("2")
		time.Sleep(time.Millisecond)
		b, stopB := start(t, service.Table(), []string{"1", "2", "3"})
		time.Sleep(time.Second)
		if got := b.Held(); got["1"] == nil && got["2"] == nil {
			t.Errorf("nothing of what was released is taken within a second: %v", service.All())
		}
		stopA() // without a Release of the third one, as if it had been killed
		select {
		case <-held["3"].Lost():
		default:
			t.Error("a grant outlives its coordinator")
		}
		time.Sleep(failover - 2*time.Second)
		if b.Held()["3"] != nil {
			t.Error("a shard is taken before its worker has been silent for the failover time")
		}
		time.Sleep(failover)
		if got := b.Held(); len(got) != 3 {
			t.Errorf("%d shards of 3 are taken", len(got))
		}
		for _, g := range b.Held() {
			g.Release()
		}
		stopB()
		for _, l := range service.All() {
			if l.Owner != "" {
				t.Errorf("a lease is left: %+v", l)
			}
		}
	})
}

// A worker that is asked for a shard keeps it as long as it takes to store what it holds.
func TestHandOverWaitsForTheFormerOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := leasetest.NewService()
		a, stopA := start(t, service.Table(), []string{"1", "2"})
		time.Sleep(time.Second)
		held := a.Held()
		b, stopB := start(t, service.Table(), []string{"1", "2"})
		var g *lease.Grant
		select {
		case <-held["1"].Wanted():
			g = held["1"]
		case <-held["2"].Wanted():
			g = held["2"]
		case <-time.After(failover):
			t.Fatal("nothing is asked for")
		}
		g.Progress("77")
		time.Sleep(3 * failover) // it takes long to store
		select {
		case <-g.Lost():
			t.Fatal("the shard is lost while it is handed over")
		default:
		}
		if len(b.Held()) > 0 {
			t.Fatal("the shard is worked on before it was handed over")
		}
		g.Release()
		time.Sleep(time.Second)
		if got := b.Held(); got[g.Shard()] == nil || len(got) != 1 {
			t.Errorf("the thief has %v a second after the hand-over", got)
		}
		for _, l := range service.All() {
			if l.Shard == g.Shard() && l.Checkpoint != "77" {
				t.Errorf("the lease does not say how far the shard is stored: %+v", l)
			}
		}
		for _, c := range []*lease.Coordinator{a, b} {
			for _, g := range c.Held() {
				g.Release()
			}
		}
		stopA()
		stopB()
	})
}

// Leases of shards that have left the stream go when their children have begun, and not before.
func TestLeasesOfExpiredShardsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := leasetest.NewService()
		service.Put(lease.Lease{Shard: "old", Checkpoint: lease.ShardEnd})
		service.Put(lease.Lease{Shard: "lost", Checkpoint: "12"})
		service.Put(lease.Lease{Shard: "waited for", Checkpoint: lease.ShardEnd})
		service.Put(lease.Lease{Shard: "busy", Checkpoint: "5", Owner: "x"})
		service.Put(lease.Lease{Shard: "2", Checkpoint: lease.TrimHorizon, Parents: []string{"waited for", "1"}})
		service.Put(lease.Lease{Shard: "1", Checkpoint: "3"})
		var log bytes.Buffer
		registry := prometheus.NewRegistry()
		c := lease.New(lease.Config{Table: service.Table(), Failover: failover, Metrics: lease.NewMetrics(registry), Log: slog.New(slog.NewTextHandler(&log, nil))})
		c.Sync([]lease.Shard{{ID: "1"}, {ID: "2", Parents: []string{"waited for", "1"}}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = c.Run(ctx)
		}()
		time.Sleep(time.Second)
		shards := func() (ids []string) {
			for _, l := range service.All() {
				ids = append(ids, l.Shard)
			}
			return ids
		}
		if got, want := shards(), []string{"1", "2", "busy", "waited for"}; !slices.Equal(got, want) {
			t.Errorf("there are leases of %q, want %q", got, want)
		}
		if !strings.Contains(log.String(), "severity=DATALOSS shard=lost") || strings.Count(log.String(), "DATALOSS") != 1 {
			t.Errorf("the log says\n%s", &log)
		}
		c.Held()["1"].End()
		time.Sleep(time.Second)
		if c.Held()["2"] == nil {
			t.Fatal("the child has not begun")
		}
		families, err := registry.Gather()
		if err != nil || len(families) != 5 {
			t.Errorf("%d metrics, %v", len(families), err)
		}
		if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
			t.Errorf("%v %v", problems, err)
		}
		c.Sync([]lease.Shard{{ID: "2", Parents: []string{"waited for", "1"}}}) // the first one is gone, too
		time.Sleep(failover)
		if got, want := shards(), []string{"2", "busy"}; !slices.Equal(got, want) {
			t.Errorf("there are leases of %q, want %q", got, want)
		}
		c.Held()["2"].Release()
		cancel()
		<-ended
	})
}
