package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// tendAll renews what is due and gives back what was released. One lease that fails does not keep the others.
func (c *Coordinator) tendAll(ctx context.Context) error {
	c.mu.Lock()
	grants := make([]*Grant, 0, len(c.grants))
	for _, g := range c.grants {
		grants = append(grants, g)
	}
	c.mu.Unlock()
	failed := make(chan error, len(grants)+1)
	_ = each(ctx, grants, func(_ context.Context, g *Grant) error {
		if err := c.tend(ctx, g); err != nil {
			failed <- err
		}
		return nil
	})
	close(failed)
	return <-failed
}

// tend does what is due for one grant.
func (c *Coordinator) tend(ctx context.Context, g *Grant) error {
	for range 3 { // a lease that was changed meanwhile is looked at again
		released, ended := g.closing()
		if g.isLost() {
			if g.idle() {
				c.drop(g)
			}
			return nil
		}
		if !released && time.Since(g.sent) < c.cfg.Failover/4 {
			return nil
		}
		next := g.lease.changed()
		g.note(&next)
		switch {
		case ended:
			next.Checkpoint, next.Children = ShardEnd, c.children(g.shard)
			next.Owner, next.CheckpointOwner = "", ""
		case released && next.CheckpointOwner != "":
			next.CheckpointOwner = "" // the next owner waits for that
		case released:
			next.Owner = ""
		}
		sent := time.Now()
		err := c.replace(ctx, g.lease, next, sent.Add(c.cfg.Failover/4))
		if errors.Is(err, ErrChanged) {
			if err := c.lookAgain(ctx, g.shard); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		c.replaced(next)
		if released {
			c.drop(g)
			return nil
		}
		c.renewed(g, next, sent)
		return nil
	}
	return fmt.Errorf("lease of %s changes again and again", g.shard)
}

func (c *Coordinator) children(shard string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.graph == nil {
		return nil
	}
	return c.graph.children(shard)
}

// replace stores a lease, and gives up at a time.
func (c *Coordinator) replace(ctx context.Context, old, now Lease, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return c.cfg.Table.Replace(ctx, old, now)
}

// lookAgain reads one lease.
func (c *Coordinator) lookAgain(ctx context.Context, shard string) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Failover/4)
	defer cancel()
	leases, err := c.cfg.Table.Read(ctx, []string{shard})
	if err != nil {
		return err
	}
	c.see(leases)
	if len(leases) == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watched, shard)
		c.complete = false // it will be made again if the shard is there
		if g := c.grants[shard]; g != nil {
			c.lose(g, "its lease was deleted")
		}
	}
	return nil
}

// replaced notes what this worker has stored.
func (c *Coordinator) replaced(l Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched[l.Shard] = sighting{l, time.Now()}
	if l.Ended() {
		poke(c.changes)
		poke(c.woken) // children may begin
	}
}

// renewed makes a grant last longer. One that ran out while the answer was under way stays lost.
func (c *Coordinator) renewed(g *Grant, l Lease, sent time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lease, g.sent = l, sent
	if now := time.Now(); !g.gone && now.Before(g.deadline) {
		g.deadline = sent.Add(c.hold)
		g.timer.Reset(g.deadline.Sub(now))
	}
}

// drop forgets a grant that nobody works with any more.
func (c *Coordinator) drop(g *Grant) {
	g.lose()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.grants, g.shard)
	poke(c.changes)
}

// grant makes a grant of a lease that was stored as this worker's.
func (c *Coordinator) grant(l Lease, sent time.Time) {
	g := &Grant{shard: l.Shard, wake: c.wake, want: make(chan struct{}), lost: make(chan struct{}), lease: l, sent: sent}
	c.mu.Lock()
	defer c.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deadline = sent.Add(c.hold) // it may be over already: then the grant is lost, and taken anew
	g.timer = time.AfterFunc(time.Until(g.deadline), func() { c.lose(g, "it could not be renewed in time") })
	c.grants[l.Shard] = g
	c.watched[l.Shard] = sighting{l, time.Now()}
	poke(c.changes)
}

// view is how the leases are shared, as far as this worker knows.
type view struct {
	total  int                   // leases to be had
	mine   int                   // held, or on the way to this worker
	coming int                   // of these, on the way
	left   []sighting            // this worker's in the table, and not granted: to be granted now, or given back
	free   []sighting            // nobody's, or of one that gives no sign of life
	others map[string][]sighting // by owner
}

// survey sorts the leases.
func (c *Coordinator) survey(now time.Time) *view {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := &view{others: map[string][]sighting{}}
	for _, shard := range c.graph.shards {
		s, ok := c.watched[shard.ID]
		if !ok || s.Ended() || !c.ripe(shard) {
			continue
		}
		me := c.cfg.Worker
		switch silent := now.Sub(s.since) >= c.silence; {
		case c.grants[shard.ID] != nil:
			v.mine++
		case s.holder() == me: // of a request whose answer was lost, or handed over to this worker by now
			v.left = append(v.left, s)
			continue
		case c.declined[shard.ID]:
			continue
		case s.Owner == "" || silent:
			v.free = append(v.free, s)
		case s.Owner == me:
			v.mine++
			v.coming++
		default:
			v.others[s.Owner] = append(v.others[s.Owner], s)
		}
		v.total++
	}
	return v
}

// ripe reports whether all listed parents of a shard were read to their ends.
func (c *Coordinator) ripe(s Shard) bool {
	return !slices.ContainsFunc(s.Parents, func(p string) bool {
		parent, ok := c.watched[p]
		return c.graph.listed[p] && (!ok || !parent.Ended())
	})
}

// fair is how many shards a worker should have at most.
func (v *view) fair() int {
	workers := len(v.others) + 1
	return (v.total + workers - 1) / workers
}

// richest is the other worker that has the most.
func (v *view) richest() (name string, leases []sighting) {
	for n, l := range v.others {
		if len(l) > len(leases) || len(l) == len(leases) && n < name {
			name, leases = n, l
		}
	}
	return name, leases
}

// gauge tells the metrics.
func (c *Coordinator) gauge() {
	c.cfg.Metrics.Held.Set(float64(c.count()))
	c.mu.Lock()
	known := c.graph != nil
	c.mu.Unlock()
	if known {
		c.cfg.Metrics.Unowned.Set(float64(len(c.survey(time.Now()).free)))
	}
}

// count is how many shards this worker has.
func (c *Coordinator) count() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.grants {
		if released, _ := g.closing(); !released && !g.isLost() {
			n++
		}
	}
	return n
}
