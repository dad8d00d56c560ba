package lease

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// defaultFailover is the KCL's.
const defaultFailover = 10 * time.Second

// Health hears how the table is doing. Its methods may be called again and again.
type Health interface {
	Failing(err error) // a call failed and will be made again
	Working()          // a call succeeded
}

// Config is what a Coordinator needs.
type Config struct {
	Table    Table
	Worker   string        // unique among all that ever ran; "": one is made up
	Failover time.Duration // how long a worker may be silent before its shards are given to others; 0 means 10 s
	Health   Health        // may be nil
	Metrics  *Metrics      // may be nil
	Log      *slog.Logger  // may be nil
}

// Coordinator is one worker's part in sharing the shards.
//
// One goroutine, that of Run, makes all changes to the table, so it always knows the order of its own. What it knows of
// the others is what it reads every third of the failover time, and by when it has seen that last change.
type Coordinator struct {
	cfg     Config
	hold    time.Duration // how long a grant lasts after a renewal was sent
	silence time.Duration // how long a lease must not have changed before it is taken from its owner
	excess  int           // how many more shards than this worker another one must have for one to be stolen
	woken   chan struct{}
	changes chan struct{}

	mu       sync.Mutex // covers what follows
	graph    *graph     // nil until the shards were listed
	complete bool       // each shard of it has a lease
	swept    bool       // leases without a shard were looked for since it changed
	grants   map[string]*Grant
	declined map[string]bool
	retired  bool // nothing is taken any more
	watched  map[string]sighting
	brisk    time.Time // until then a hand-over may be under way: look often
}

// sighting is a lease and when this worker saw that it had become so.
type sighting struct {
	Lease

	since time.Time
}

// New makes a Coordinator. Nothing is called before Run.
func New(cfg Config) *Coordinator {
	cfg.Failover = cmp.Or(cfg.Failover, defaultFailover)
	if cfg.Worker == "" {
		cfg.Worker = madeUpName()
	}
	if cfg.Health == nil {
		cfg.Health = silent{}
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Coordinator{
		// The holder gives up a tenth before anybody else may count its lease as abandoned.
		cfg: cfg, hold: cfg.Failover - cfg.Failover/10, silence: cfg.Failover, excess: 2,
		woken: make(chan struct{}, 1), changes: make(chan struct{}, 1),
		grants: map[string]*Grant{}, declined: map[string]bool{}, watched: map[string]sighting{},
	}
}

type silent struct{}

func (silent) Failing(error) {}
func (silent) Working()      {}

// madeUpName says where the worker runs, for people, and is never the same again.
func madeUpName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d:%s", host, os.Getpid(), rand.Text()[:12])
}

// Worker is the name in the leases.
func (c *Coordinator) Worker() string { return c.cfg.Worker }

// Sync tells which shards the stream lists. Leases that are missing are made, and those that nothing needs any more go.
func (c *Coordinator) Sync(shards []Shard) {
	g := newGraph(shards)
	c.mu.Lock()
	if c.graph == nil || !maps.Equal(c.graph.listed, g.listed) {
		c.swept = false
	}
	c.graph, c.complete = g, false
	maps.DeleteFunc(c.watched, func(id string, _ sighting) bool { return !g.listed[id] })
	c.mu.Unlock()
	c.wake()
}

// Decline says that this worker wants a shard no more; it should Release it, if it has it.
func (c *Coordinator) Decline(shard string) {
	c.mu.Lock()
	c.declined[shard] = true
	c.mu.Unlock()
	c.wake()
}

// Retire says that this worker wants no more shards at all. Those that it has it should Release, sooner or later.
func (c *Coordinator) Retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
}

func (c *Coordinator) isRetired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.retired
}

// Changes has something when Held gives other grants than before, or a shard was read to its end.
func (c *Coordinator) Changes() <-chan struct{} { return c.changes }

// Held gives the grants that are neither lost nor released, by shard. Whoever got one must Release or End it.
func (c *Coordinator) Held() map[string]*Grant {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := make(map[string]*Grant, len(c.grants))
	for id, g := range c.grants {
		if g.hand() {
			held[id] = g
		}
	}
	return held
}

// Owner says which other worker has a shard, as far as is known; "" if none has.
func (c *Coordinator) Owner(shard string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.watched[shard]
	if !ok || s.holder() == c.cfg.Worker || time.Since(s.since) >= c.silence {
		return ""
	}
	return s.holder()
}

// Ended says whether a shard's lease is known to be at its end.
func (c *Coordinator) Ended(shard string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.watched[shard]
	return ok && s.Ended()
}

func (c *Coordinator) wake() { poke(c.woken) }

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run keeps the leases until ctx ends; then it gives back those that were released. All grants must be released by
// then: what is not runs out by itself.
func (c *Coordinator) Run(ctx context.Context) error {
	c.hurry() // others may start at the same time
	timer := time.NewTimer(c.round(ctx))
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-timer.C:
		case <-c.woken:
		case <-ctx.Done():
			continue
		}
		timer.Reset(c.round(ctx))
	}
	c.leave()
	return nil
}

// leave gives back what was released or never given out, and what others were asked for, and stops the rest.
func (c *Coordinator) leave() {
	c.Retire()
	c.mu.Lock()
	for _, g := range c.grants {
		if g.idle() {
			g.Release()
		}
	}
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Failover/2)
	defer cancel()
	for range 3 {
		known, err := c.look(ctx)
		if err == nil {
			err = c.tendAll(ctx)
		}
		if err == nil && known {
			err = each(ctx, c.claims(), c.giveBack)
		}
		if err == nil {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.grants {
		g.lose()
	}
}

// claims are the leases that have this worker's name without a grant.
func (c *Coordinator) claims() (claims []Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.watched {
		if c.grants[id] == nil && (s.Owner == c.cfg.Worker || s.CheckpointOwner == c.cfg.Worker) {
			claims = append(claims, s.Lease)
		}
	}
	return claims
}

// giveBack takes this worker's name out of a lease with which it does nothing. A former owner that is about to hand it over
// has it again.
func (c *Coordinator) giveBack(ctx context.Context, l Lease) error {
	next := l.changed()
	if l.Owner == c.cfg.Worker {
		next.Owner = l.CheckpointOwner
	}
	next.CheckpointOwner = ""
	if err := c.cfg.Table.Replace(ctx, l, next); err != nil && !errors.Is(err, ErrChanged) {
		return err
	}
	return nil
}

// round looks at the leases, does what is due, and says when to look again.
func (c *Coordinator) round(ctx context.Context) time.Duration {
	often := c.cfg.Failover / 20
	limit, cancel := context.WithTimeout(ctx, c.cfg.Failover/3)
	defer cancel()
	known, err := c.look(limit)
	// Renewing needs no look, and must not wait for one that fails.
	if tended := c.tendAll(ctx); err == nil {
		err = tended
	}
	if err == nil && known && !c.isRetired() {
		err = c.take(limit)
	}
	if err == nil && known {
		err = c.sweepOnce(ctx)
	}
	c.gauge()
	switch {
	case ctx.Err() != nil:
		return often
	case err != nil:
		c.cfg.Health.Failing(fmt.Errorf("share the shards: %w", err))
		return c.cfg.Failover / 10
	}
	c.cfg.Health.Working()
	if c.isBrisk() {
		return often
	}
	third := c.cfg.Failover / 3
	return third - mathrand.N(third/10+1) // not all workers at once
}

func (c *Coordinator) isBrisk() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.brisk)
}

// hurry makes this worker look often for a while.
func (c *Coordinator) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brisk = time.Now().Add(c.cfg.Failover)
}

// look reads the leases of all listed shards, and makes those that are missing. known is false while nothing is known of
// the shards.
func (c *Coordinator) look(ctx context.Context) (known bool, err error) {
	c.mu.Lock()
	g, complete := c.graph, c.complete
	c.mu.Unlock()
	if g == nil {
		return false, nil
	}
	leases, err := c.cfg.Table.Read(ctx, g.ids())
	if err != nil {
		return false, err
	}
	c.see(leases)
	if complete {
		return true, nil
	}
	if err := c.create(ctx, g, leases); err != nil {
		return false, err
	}
	c.mu.Lock()
	c.complete = c.graph == g
	c.mu.Unlock()
	return true, nil
}

// see notes leases as they were read.
func (c *Coordinator) see(leases []Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, l := range leases {
		before, ok := c.watched[l.Shard]
		if ok && before.same(&l) {
			continue
		}
		if l.Ended() && (!ok || !before.Ended()) {
			poke(c.changes)
		}
		c.watched[l.Shard] = sighting{l, now}
		if g := c.grants[l.Shard]; g != nil {
			c.compare(g, l)
		}
	}
}

// compare holds a grant against the lease in the table.
func (c *Coordinator) compare(g *Grant, l Lease) {
	g.lease = l
	switch me := c.cfg.Worker; {
	case l.holder() == me && l.Owner == me:
	case l.holder() == me:
		g.ask()
		c.brisk = time.Now().Add(c.cfg.Failover)
	default:
		c.lose(g, "another worker has its lease")
	}
}

func (c *Coordinator) lose(g *Grant, why string) {
	if g.lose() {
		c.cfg.Metrics.Lost.Inc()
		c.cfg.Log.Warn("a shard is lost; its records are read again by whoever has it", "shard", g.shard, "why", why)
		poke(c.changes)
	}
}

// create makes the leases that are missing.
func (c *Coordinator) create(ctx context.Context, g *graph, leases []Lease) error {
	have := make(map[string]bool, len(leases))
	for i := range leases {
		have[leases[i].Shard] = true
	}
	return each(ctx, g.shards, func(ctx context.Context, s Shard) error {
		if have[s.ID] {
			return nil
		}
		l := Lease{Shard: s.ID, Checkpoint: TrimHorizon, Parents: s.Parents, StartHash: s.StartHash, EndHash: s.EndHash}
		err := c.cfg.Table.Create(ctx, l)
		if errors.Is(err, ErrChanged) {
			return nil // another worker was faster; the next look finds it
		}
		if err == nil {
			c.see([]Lease{l})
		}
		return err
	})
}

// sweepOnce looks for leases without a shard once after the shards have changed. All of the table is read for it.
func (c *Coordinator) sweepOnce(ctx context.Context) error {
	c.mu.Lock()
	g, swept := c.graph, c.swept
	c.swept = true // also if it fails: the next change does it
	c.mu.Unlock()
	if swept {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Failover/3)
	defer cancel()
	return c.sweep(ctx, g)
}

// sweep deletes leases of shards that have left the stream once their children have begun, or left it, too.
func (c *Coordinator) sweep(ctx context.Context, g *graph) error {
	all, err := c.cfg.Table.Scan(ctx)
	if err != nil {
		return err
	}
	for _, l := range abandoned(g, all) {
		if !l.Ended() {
			c.cfg.Log.Error("a shard has left the stream before it was read to its end: records may have expired unread", "severity", "DATALOSS",
				"shard", l.Shard, "checkpoint", l.Checkpoint)
		}
		if err := c.cfg.Table.Delete(ctx, l); err != nil && !errors.Is(err, ErrChanged) {
			return err
		}
	}
	return nil
}

// abandoned picks the leases that nothing needs any more.
func abandoned(g *graph, all []Lease) (gone []Lease) {
	waiting := map[string]bool{} // parents of shards that have not begun
	for i := range all {
		if l := &all[i]; g.listed[l.Shard] && l.Checkpoint == TrimHorizon && l.Owner == "" {
			for _, p := range l.Parents {
				waiting[p] = true
			}
		}
	}
	for _, l := range all {
		if !g.listed[l.Shard] && !waiting[l.Shard] && l.Owner == "" {
			gone = append(gone, l)
		}
	}
	return gone
}

// each calls f for all items, some at a time, and returns the first error.
func each[T any](ctx context.Context, items []T, f func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, item := range items {
		group.Go(func() error { return f(ctx, item) })
	}
	return group.Wait()
}
