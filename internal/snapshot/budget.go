package snapshot

import (
	"context"
	"sync"

	"github.com/binlogstreamer/binlogstreamer/internal/ctxsync"
)

// Budget bounds the memory of the chunks of all Loaders that share it, from before they are read until they are
// emitted. One row at a time may take more than is left: a row that is larger than the whole budget must pass as well.
//
// Nobody waits for a budget while somebody waits for him: a reader reserves a chunk's usual size before it begins,
// and asks for more only for a large row. Whoever is refused that waits for chunks that the stream is about to emit.
type Budget struct {
	total int

	mu      sync.Mutex // covers everything below, and what reservations hold
	used    int
	peak    int
	over    bool         // somebody holds more than there was
	changed ctxsync.Cond // something was given back
}

// NewBudget makes a budget of total bytes.
func NewBudget(total int) *Budget { return &Budget{total: total} }

// InUse is how many bytes are reserved.
func (b *Budget) InUse() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// reservation is a part of a budget. A nil one holds nothing.
type reservation struct {
	budget *Budget
	bytes  int
	over   bool
	urgent bool // others wait for its holder, so it never waits itself
}

// reserve waits for n bytes, or for as many as there are in all.
func (b *Budget) reserve(ctx context.Context, n int) (*reservation, error) {
	n = min(n, b.total)
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.used+n > b.total {
		if err := b.changed.Wait(ctx, &b.mu); err != nil {
			return nil, err
		}
	}
	b.take(n)
	return &reservation{budget: b, bytes: n}, nil
}

// grow makes the reservation n bytes large, if it is smaller. Where the budget has not as much left, one
// reservation at a time may take it all the same.
func (r *reservation) grow(ctx context.Context, n int) error {
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	for n > r.bytes {
		more := n - r.bytes
		switch {
		case b.used+more <= b.total || r.over || r.urgent:
		case !b.over:
			b.over, r.over = true, true
		default:
			if err := b.changed.Wait(ctx, &b.mu); err != nil {
				return err
			}
			continue
		}
		b.take(more)
		r.bytes = n
	}
	return nil
}

// shrink gives back what is above n bytes.
func (r *reservation) shrink(n int) {
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < r.bytes {
		b.used -= r.bytes - n
		r.bytes = n
		b.changed.Broadcast()
	}
}

// release gives everything back. It may be called again.
func (r *reservation) release() {
	if r == nil {
		return
	}
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= r.bytes
	if r.over {
		b.over = false
	}
	r.bytes, r.over = 0, false
	b.changed.Broadcast()
}

func (b *Budget) take(n int) {
	b.used += n
	b.peak = max(b.peak, b.used)
}
