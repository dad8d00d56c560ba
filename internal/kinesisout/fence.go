package kinesisout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// EachShard puts a record with this partition key and data into every open shard, by explicit hash keys, and waits until
// all are acknowledged. Shards that are
// split or merged meanwhile are followed: when it returns, every open shard or an ancestor of it has the record. A
// shard may get more than one.
func (w *Writer) EachShard(ctx context.Context, key string, data []byte) error {
	if err := w.awaitReady(ctx); err != nil {
		return err
	}
	has := make(map[string]bool)
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
		lacking := withoutRecord(all, has)
		if len(lacking) == 0 {
			return nil
		}
		if err := w.putInto(ctx, lacking, Record{Key: []byte(key), Data: data}, has); err != nil {
			return fmt.Errorf("put a record into each shard: %w", err)
		}
	}
}

// withoutRecord gives the open shards that neither have the record nor descend from a shard that has it. has gets what
// is learned of descent.
func withoutRecord(all []shard, has map[string]bool) []shard {
	slices.SortFunc(all, func(a, b shard) int { return cmp.Compare(a.id, b.id) }) // parents before children
	var lacking []shard
	for _, s := range all {
		if has[s.id] || has[s.parents[0]] || has[s.parents[1]] {
			has[s.id] = true
		} else if s.open {
			lacking = append(lacking, s)
		}
	}
	return lacking
}

// putInto puts a record at the begin of each shard's hash range, and notes where they were stored.
func (w *Writer) putInto(ctx context.Context, shards []shard, r Record, has map[string]bool) error {
	f := newFence(len(shards))
	for _, s := range shards {
		r.HashKey = s.hashKey
		if err := w.put(ctx, &r, f); err != nil {
			return err
		}
	}
	select {
	case <-f.done:
	case <-w.stopped:
		return w.failure()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for id := range f.in {
		has[id] = true
	}
	return nil
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
