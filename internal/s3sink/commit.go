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

// Stored is how far a shard is stored by an object.
type Stored struct {
	Last  string // the last sequence number of the run
	Parts int    // how many objects the run makes, if more than one
}

// Store stores the object, or finds the one that stands under its key, and says up to where the run of that one goes.
// If that is not the object's own end, another writer was here first: its object counts and ours was not stored.
// Only the first object of a run may be found to end elsewhere; those after it are stored once it is settled where
// the run ends. Store returns an error only when ctx ends.
func (c *Committer) Store(ctx context.Context, o *Object) (Stored, error) {
	begin := time.Now()
	var stored Stored
	err := c.retry(ctx, func(ctx context.Context) error {
		stored = Stored{o.Meta.Last, o.Meta.Parts}
		err := c.Destination.Put(ctx, o)
		if !errors.Is(err, ErrExists) {
			return err
		}
		found, err := c.Destination.Head(ctx, o.Key)
		if err != nil {
			return err // ErrNotFound as well: it was deleted between the two calls, so put it again
		}
		stored = Stored{found.Last, found.Parts}
		return found.continues(&o.Meta, o.Key)
	})
	if err != nil {
		return Stored{}, err
	}
	if stored.Last == o.Meta.Last {
		c.Metrics.stored(o, time.Since(begin))
		return stored, nil
	}
	c.Adopted(o.Key, stored.Last, o.Meta.Last)
	return stored, nil
}

// Adopted notes that an object was found whose run ends elsewhere than ours.
func (c *Committer) Adopted(key, itsLast, ourLast string) {
	c.Metrics.Adopted.Inc()
	c.Logger.Info("an object of another writer was found and is continued", "key", key, "its_last", itsLast, "our_last", ourLast)
}

// Find looks for an object of a run under its key and says up to where its run stores the shard, or false. want says
// whose object it must be; for the first object of a run that is stream, shard and first record.
func (c *Committer) Find(ctx context.Context, key string, want Meta) (stored Stored, ok bool, err error) {
	err = c.retry(ctx, func(ctx context.Context) error {
		found, err := c.Destination.Head(ctx, key)
		if errors.Is(err, ErrNotFound) {
			ok = false
			return nil
		}
		if err != nil {
			return err
		}
		stored, ok = Stored{found.Last, found.Parts}, true
		if want.Part <= 1 {
			want.Part = min(found.Part, 1)
		}
		return found.continues(&want, key)
	})
	return stored, ok, err
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
	same := m.Stream == want.Stream && m.StreamCreated == want.StreamCreated && m.Shard == want.Shard && m.First == want.First
	// How many parts a run has depends on where it ends; the number of its first part does not.
	if want.Part <= 1 && same && m.Part <= 1 {
		return nil
	}
	if same && m.Last == want.Last && m.Part == want.Part && m.Parts == want.Parts {
		return nil
	}
	return &Error{Step: "continue behind object", Key: key, Err: fmt.Errorf("it holds %s, expected %s", m.identity(), want.identity()),
		Hint: "move it away; nothing was overwritten"}
}

func (m *Meta) identity() string {
	s := fmt.Sprintf("shard %s of stream %s from %s on", m.Shard, m.Stream, m.First)
	if m.Part > 1 {
		s += fmt.Sprintf(" to %s, part %d of %d", m.Last, m.Part, m.Parts)
	}
	return s
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
