package checkpoint

import (
	"context"
	"sync"

	"github.com/binlogstreamer/binlogstreamer/internal/ctxsync"
)

// Numbers counts the records that have no place in the source: from 1 upwards, and never span or more beyond the lowest
// number that is not acknowledged. Readers of the stream remember as many to drop what comes twice, so the span is part
// of the format, as that of the Tracker is. Which checkpoint is saved does not matter: no restart sends them again.
//
// Next, NextOfMany and Take are called by one goroutine at a time; everything else may be called from any goroutine.
type Numbers struct {
	span uint64

	mu    sync.Mutex // covers everything below
	acks  acks
	freed ctxsync.Cond // there are more than before
}

// NewNumbers makes Numbers of this span; 0: Span.
func NewNumbers(span uint64) *Numbers {
	if span == 0 {
		span = Span
	}
	return &Numbers{span: span, acks: newAcks(span)}
}

// Next is the number that the next record has to carry. It says false while the span is used up.
func (n *Numbers) Next() (seq uint64, ok bool) { return n.next(0) }

// NextOfMany is Next for records that come by the thousand. It leaves a sixteenth of the span to others, which therefore
// do not wait in line with these.
func (n *Numbers) NextOfMany() (seq uint64, ok bool) { return n.next(n.span / 16) }

// next says false unless more than so many numbers are free.
func (n *Numbers) next(others uint64) (seq uint64, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.acks.given + 1, n.free() > others
}

// Take gives the number away that Next or NextOfMany told. It must be acknowledged some time.
func (n *Numbers) Take() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.acks.given++
}

// Acked says that the record with this number is durable in the stream.
func (n *Numbers) Acked(seq uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.acks.ack(seq) {
		n.freed.Broadcast()
	}
}

// Await waits until Next has a number.
func (n *Numbers) Await(ctx context.Context) error { return n.await(ctx, 1) }

// AwaitMany waits until NextOfMany has a good part of the span.
func (n *Numbers) AwaitMany(ctx context.Context) error { return n.await(ctx, max(1, n.span/4)) }

func (n *Numbers) await(ctx context.Context, free uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.free() < free {
		if err := n.freed.Wait(ctx, &n.mu); err != nil {
			return err
		}
	}
	return nil
}

// free is how many numbers may be given away now.
func (n *Numbers) free() uint64 { return n.span - n.acks.open() }
