package pipeline

import (
	"context"
	"sync"
)

// budget bounds the bytes of records that all shards hold together. Who wants to read waits; when someone has to, the
// shard that holds the most in an open buffer is told to store it.
type budget struct {
	limit int64

	mu      sync.Mutex // covers what follows
	used    int64
	waiting []*reservation
	holders map[*holder]struct{}
}

type reservation struct {
	bytes   int64
	granted chan struct{}
}

// holder is a buffer that can be emptied by storing it.
type holder struct {
	open  int64 // bytes in it; under the budget's mutex
	flush chan<- struct{}
}

func newBudget(limit int64) *budget {
	return &budget{limit: limit, holders: map[*holder]struct{}{}}
}

// Reserve waits until n bytes are free, in the order of the calls. No more than the whole budget is waited for.
func (b *budget) Reserve(ctx context.Context, n int64) error {
	b.mu.Lock()
	if len(b.waiting) == 0 && b.fits(n) {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	r := &reservation{n, make(chan struct{})}
	b.waiting = append(b.waiting, r)
	b.press()
	b.mu.Unlock()
	select {
	case <-r.granted:
		return nil
	case <-ctx.Done():
		b.cancel(r)
		return context.Cause(ctx)
	}
}

func (b *budget) fits(n int64) bool { return b.used+min(n, b.limit) <= b.limit }

func (b *budget) cancel(r *reservation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range b.waiting {
		if w == r {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.grant()
			return
		}
	}
	b.used -= r.bytes // granted in the same moment
	b.grant()
}

// Add takes n bytes without waiting, or gives them back if n is negative.
func (b *budget) Add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
	if n < 0 {
		b.grant()
	}
}

func (b *budget) grant() {
	for len(b.waiting) > 0 && b.fits(b.waiting[0].bytes) {
		r := b.waiting[0]
		b.waiting = b.waiting[1:]
		b.used += r.bytes
		close(r.granted)
	}
	if len(b.waiting) > 0 {
		b.press()
	}
}

// press asks the holder of the largest open buffer to store it.
func (b *budget) press() {
	var largest *holder
	for h := range b.holders {
		if h.open > 0 && (largest == nil || h.open > largest.open) {
			largest = h
		}
	}
	if largest == nil {
		return // what is in use is being read or stored, and comes back by itself
	}
	select {
	case largest.flush <- struct{}{}:
	default:
	}
}

// join makes a buffer known.
func (b *budget) join(flush chan<- struct{}) *holder {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := &holder{flush: flush}
	b.holders[h] = struct{}{}
	return h
}

func (b *budget) leave(h *holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.holders, h)
}

// hold books how many bytes are in a buffer now.
func (b *budget) hold(h *holder, open int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h.open = open
	if open > 0 && len(b.waiting) > 0 {
		b.press()
	}
}

// clear forgets what was held by workers that have ended.
func (b *budget) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used, b.waiting = 0, nil
	clear(b.holders)
}

func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
