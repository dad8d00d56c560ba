package kinesisout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// EachShard puts a record with this partition key into every open shard, by explicit hash keys, and waits until all are
// acknowledged. Shards that are split or merged meanwhile are followed: when it returns, every open shard has a record,
// or all its parents have, so that whoever replays the stream meets one behind all that was acknowledged before the call.
// A shard may get more than one.
//
// data gives the record's data for each round of Puts. Readers that know a record by its number take one that comes to a
// shard for repeated if an ancestor had it, even if the other parent did not; so each round must have another number, and
// a copy counts only where no ancestor may have one of its round.
func (w *Writer) EachShard(ctx context.Context, key string, data func(context.Context) ([]byte, error)) error {
	if err := w.awaitReady(ctx); err != nil {
		return err
	}
	var s spread
	for round := 0; ; round++ {
		if round > 1 { // the listing lags behind: what it calls open took nothing
			sleep(ctx, w.stopped, 250*time.Millisecond)
		}
		var all []shard
		err := w.persist(ctx, stepList, func(ctx context.Context) (err error) {
			if all, err = w.listShards(ctx); err == nil {
				_, err = openShards(all)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("put a record into each shard: %w", err)
		}
		lacking := s.lacking(all)
		if len(lacking) == 0 {
			return nil
		}
		r := Record{Key: []byte(key)}
		if r.Data, err = data(ctx); err == nil {
			s.stored, err = w.putInto(ctx, lacking, r)
		}
		if err != nil {
			return fmt.Errorf("put a record into each shard: %w", err)
		}
	}
}

// spread is which shards have a record that every shard is to have.
type spread struct {
	has    map[string]bool // it, or all its parents
	meant  map[string]bool // for those was that of the last round
	stored map[string]bool // that of the last round came to it
}

// lacking takes the last round into account, and gives the open shards that have no record.
//
// A copy that comes to a child of the shard that it was meant for does not count, even if no ancestor is known to have
// that round's record: one whose answer is lost may lie in the parent, while what we are told of is its repetition.
func (s *spread) lacking(all []shard) (lacking []shard) {
	if s.has == nil {
		s.has = make(map[string]bool)
	}
	slices.SortFunc(all, func(a, b shard) int { return cmp.Compare(a.id, b.id) }) // parents before children
	knows := make(map[string]bool)                                                // an ancestor may have that of the last round
	meant := make(map[string]bool)
	for _, sh := range all {
		inherits := sh.parents[0] != ""
		for _, p := range sh.parents {
			if p != "" {
				inherits = inherits && s.has[p]
				knows[sh.id] = knows[sh.id] || knows[p] || s.meant[p]
			}
		}
		switch {
		case inherits || s.stored[sh.id] && !knows[sh.id]:
			s.has[sh.id] = true
		case sh.open && !s.has[sh.id]:
			lacking = append(lacking, sh)
			meant[sh.id] = true
		}
	}
	s.meant, s.stored = meant, nil
	return lacking
}

// putInto puts a record at the begin of each shard's hash range, and says where they were stored.
func (w *Writer) putInto(ctx context.Context, shards []shard, r Record) (stored map[string]bool, err error) {
	f := newFence(len(shards))
	for _, s := range shards {
		r.HashKey = s.hashKey
		if err := w.put(ctx, &r, f); err != nil {
			return nil, err
		}
	}
	select {
	case <-f.done:
		return f.in, nil
	case <-w.stopped:
		return nil, w.failure()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// fence collects where several records were stored.
type fence struct {
	done chan struct{} // closed when all are; in may be read then

	mu   sync.Mutex // covers everything below
	left int
	in   map[string]bool
}

func newFence(records int) *fence {
	return &fence{left: records, in: make(map[string]bool), done: make(chan struct{})}
}

// stored says that one more record is stored, and where.
func (f *fence) stored(shardID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in[shardID] = true
	if f.left--; f.left == 0 {
		close(f.done)
	}
}
