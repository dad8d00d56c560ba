package s3sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// Health hears how the destination is doing. Its methods may be called from several goroutines, and again and again.
type Health interface {
	Failing(err error) // an attempt failed and will be made again
	Working()          // an attempt succeeded
}

// CommitterConfig is what a Committer needs.
type CommitterConfig struct {
	Destination Destination
	Health      Health
	Metrics     *Metrics
	Logger      *slog.Logger
	Timeout     time.Duration // of one attempt; 0 means a minute
}

// Committer stores objects and does not give up: an outage of the destination, a missing bucket or a missing
// permission is waited for, as the stream keeps what is not stored.
type Committer struct {
	CommitterConfig
}

// NewCommitter makes a Committer.
func NewCommitter(c CommitterConfig) *Committer {
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Committer{c}
}

// Store stores the object, or finds the one that stands under its key, and returns the sequence number up to which
// the shard is stored by it. If that is not the object's own last one, another writer was here first: its object
// counts and ours was not stored. Store returns an error only when ctx ends.
func (c *Committer) Store(ctx context.Context, o *Object) (last string, err error) {
	start := time.Now()
	err = c.retry(ctx, func(ctx context.Context) error {
		last = o.Meta.Last
		err := c.Destination.Put(ctx, o)
		if !errors.Is(err, ErrExists) {
			return err
		}
		found, err := c.Destination.Head(ctx, o.Key)
		if err != nil {
			return err // ErrNotFound as well: it was deleted between the two calls, so put it again
		}
		last = found.Last
		return found.continues(&o.Meta, o.Key)
	})
	if err != nil {
		return "", err
	}
	if last == o.Meta.Last {
		c.Metrics.stored(o, time.Since(start))
		return last, nil
	}
	c.Metrics.Adopted.Inc()
	c.Logger.Info("an object of another writer was found and is continued", "key", o.Key, "its_last", last, "our_last", o.Meta.Last)
	return last, nil
}

// Find looks for an object under a key and returns up to where it stores the shard, or false.
func (c *Committer) Find(ctx context.Context, key string, want Meta) (last string, ok bool, err error) {
	err = c.retry(ctx, func(ctx context.Context) error {
		found, err := c.Destination.Head(ctx, key)
		if errors.Is(err, ErrNotFound) {
			ok = false
			return nil
		}
		if err != nil {
			return err
		}
		last, ok = found.Last, true
		return found.continues(&want, key)
	})
	return last, ok, err
}

// Probe tries the destination out until it answers. ErrOverwrites ends it.
func (c *Committer) Probe(ctx context.Context, key string) error {
	var fatal error
	err := c.retry(ctx, func(ctx context.Context) error {
		err := c.Destination.Probe(ctx, key)
		if errors.Is(err, ErrOverwrites) {
			fatal = err
			return nil
		}
		return err
	})
	return errors.Join(err, fatal)
}

// continues refuses an object that stands under our key and is not of our chain.
func (m *Meta) continues(want *Meta, key string) error {
	if m.Stream == want.Stream && m.StreamCreated == want.StreamCreated && m.Shard == want.Shard && m.First == want.First {
		return nil
	}
	return &Error{Step: "continue behind object", Key: key, Err: fmt.Errorf("it holds shard %s of stream %s from %s on, expected %s, %s, %s",
		m.Shard, m.Stream, m.First, want.Shard, want.Stream, want.First), Hint: "move it away; nothing was overwritten"}
}

// pauses are those between attempts.
var pauses = backoff.Pauses{First: 200 * time.Millisecond, Longest: 20 * time.Second}

// retry calls f until it succeeds or ctx ends.
func (c *Committer) retry(ctx context.Context, f func(context.Context) error) error {
	for n := 0; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, c.Timeout)
		err := f(attempt)
		cancel()
		if err == nil {
			c.Health.Working()
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.Metrics.Failed.Inc()
		c.Health.Failing(err)
		if err := pauses.Sleep(ctx, n); err != nil {
			return err
		}
	}
}
