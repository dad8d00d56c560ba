package lease

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// take gets the leases that this worker should have: those that are its own already, then those that are free up to
// its fair share, and if there are none, one from whoever has too many.
func (c *Coordinator) take(ctx context.Context) error {
	v := c.survey(time.Now())
	v.total += len(v.left)
	v.mine += len(v.left)
	if err := c.takeAll(ctx, v.left); err != nil {
		return err
	}
	if v.coming > 0 || len(v.left) > 0 {
		c.hurry()
	}
	if want := v.fair() - v.mine; want > 0 && len(v.free) > 0 {
		rand.Shuffle(len(v.free), func(i, j int) { v.free[i], v.free[j] = v.free[j], v.free[i] }) // not all workers the same ones
		return c.takeAll(ctx, v.free[:min(want, len(v.free))])
	}
	if v.coming > 0 || len(v.free) > 0 {
		return nil // what others are about to take counts as theirs only when they have it
	}
	return c.steal(ctx, v)
}

func (c *Coordinator) takeAll(ctx context.Context, leases []sighting) error {
	return each(ctx, leases, func(ctx context.Context, s sighting) error { return c.takeOne(ctx, s) })
}

// takeOne makes a lease this worker's, or gives back one that it has no use for.
func (c *Coordinator) takeOne(ctx context.Context, s sighting) error {
	c.mu.Lock()
	unwanted := c.declined[s.Shard]
	c.mu.Unlock()
	next := s.changed()
	switch {
	case unwanted && s.CheckpointOwner == "":
		next.Owner = ""
	case unwanted || s.CheckpointOwner == c.cfg.Worker: // another worker waits for this one, which does nothing with the shard
		next.CheckpointOwner = ""
	default:
		next.Owner, next.CheckpointOwner = c.cfg.Worker, ""
		next.Switches++
	}
	sent := time.Now()
	err := c.replace(ctx, s.Lease, next, sent.Add(c.cfg.Failover/4))
	switch {
	case errors.Is(err, ErrChanged):
		return nil // another worker was faster, or lives
	case err != nil:
		return err
	case next.Owner != c.cfg.Worker:
		c.replaced(next)
		return nil
	}
	c.grant(next, sent)
	c.cfg.Metrics.Taken.Inc()
	c.cfg.Log.Info("a shard is this worker's now", "shard", s.Shard, "before", s.Owner, "checkpoint", s.Checkpoint)
	return nil
}

// steal asks for one shard of the worker that has the most, if that has too many.
func (c *Coordinator) steal(ctx context.Context, v *view) error {
	name, leases := v.richest()
	if len(leases) < v.mine+c.excess {
		return nil
	}
	settled := slices.DeleteFunc(slices.Clone(leases), func(s sighting) bool { return s.CheckpointOwner != "" })
	if len(settled) == 0 {
		return nil // all of them are on their way to that worker
	}
	s := settled[rand.IntN(len(settled))]
	next := s.changed()
	next.Owner, next.CheckpointOwner = c.cfg.Worker, name
	err := c.replace(ctx, s.Lease, next, time.Now().Add(c.cfg.Failover/4))
	if errors.Is(err, ErrChanged) {
		return nil
	}
	if err != nil {
		return err
	}
	c.replaced(next)
	c.hurry()
	c.cfg.Metrics.Stolen.Inc()
	c.cfg.Log.Info("asking another worker for a shard, as it has more", "shard", s.Shard, "of", name, "has", len(leases), "have", v.mine)
	return nil
}
