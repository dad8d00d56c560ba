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
// Next and Take are called by one goroutine at a time; everything else may be called from any goroutine.
type Numbers struct {
	span uint64

	mu    sync.Mutex // covers everything below
	acks  acks
	freed ctxsync.Cond // enough was acknowledged for those who wait
}

// NewNumbers makes Numbers of this span; 0: Span.
func NewNumbers(span uint64) *Numbers {
	if span == 0 {
		span = Span
	}
	return &Numbers{span: span, acks: newAcks(span)}
}

// Next is the number that the next record has to carry. It says false while the span is used up.
func (n *Numbers) Next() (seq uint64, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.acks.given + 1, n.acks.open() < n.span
}

// Take gives the number away that Next told. It must be acknowledged some time.
func (n *Numbers) Take() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.acks.given++
}

// Acked says that the record with this number is durable in the stream.
func (n *Numbers) Acked(seq uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.acks.ack(seq) && n.roomy() {
		n.freed.Broadcast()
	}
}

// Await waits until a quarter of the span is free, so that whoever waits does not do so for every number.
func (n *Numbers) Await(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for !n.roomy() {
		if err := n.freed.Wait(ctx, &n.mu); err != nil {
			return err
		}
	}
	return nil
}

func (n *Numbers) roomy() bool { return n.span-n.acks.open() >= max(1, n.span/4) }
