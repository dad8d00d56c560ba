package kinesisout

import (
	"context"
	"sync"
)

// budget bounds the bytes that are queued or in flight, and counts their records.
type budget struct {
	max     int
	stopped <-chan struct{} // closed when nothing will be given back any more

	mu      sync.Mutex // covers everything below
	bytes   int
	records int
	change  chan struct{} // closed at the next release; nil while nobody waits
}

// take blocks until n bytes fit. More than the bound fits when there is nothing else. It says false once stopped.
func (b *budget) take(ctx context.Context, n int) (ok bool, err error) {
	return b.await(ctx, func() bool {
		if b.bytes > 0 && b.bytes+n > b.max {
			return false
		}
		b.bytes += n
		b.records++
		return true
	})
}

// drained blocks until there is no record. It says false once stopped.
func (b *budget) drained(ctx context.Context) (ok bool, err error) {
	return b.await(ctx, func() bool { return b.records == 0 })
}

// await calls try, with the mutex held, until it says true.
func (b *budget) await(ctx context.Context, try func() bool) (ok bool, err error) {
	for {
		b.mu.Lock()
		if try() {
			b.mu.Unlock()
			return true, nil
		}
		if b.change == nil {
			b.change = make(chan struct{})
		}
		change := b.change
		b.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-b.stopped:
			return false, nil
		}
	}
}

// give gives back what settled records took.
func (b *budget) give(bytes, records int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= bytes
	b.records -= records
	if b.change != nil {
		close(b.change)
		b.change = nil
	}
}

// used is the bytes that are taken.
func (b *budget) used() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}
