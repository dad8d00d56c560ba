package pipeline

import (
	"bytes"
	"context"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// maxWaiting is how many full runs of a shard wait behind the one that is being stored: one that is compressed meanwhile,
// and one more, so that reading goes on when an object takes longer. What they take is the budget's, and an outage of the
// destination needs no more: then the stream is the buffer.
const maxWaiting = 2

// ahead is the first object of a run that waits, made while the runs before it are stored. It is worth nothing once the
// run is changed.
type ahead struct {
	done   chan struct{}  // closed when it is made, or given up
	object *s3sink.Object // nil: it was given up
	buf    *bytes.Buffer  // of the object
}

// room is how many other runs may be closed and not stored when the open one is closed. A run that is not full had
// better go on growing until they are stored, and one that is to end where another writer's does is closed once it is
// known how far the shard is stored.
func (w *shardWorker) room() int {
	if w.finishing != nil || w.run.Bytes() < w.size() {
		return 0
	}
	return maxWaiting
}

// closed is how many runs are closed and not stored.
func (w *shardWorker) closed() int {
	if w.storing == nil {
		return 0
	}
	return 1 + len(w.waiting)
}

// enqueue stores a closed run when those before it are stored.
func (w *shardWorker) enqueue(ctx context.Context, c *closedRun) {
	w.waiting = append(w.waiting, c)
	if w.storing == nil {
		w.storeNext(ctx)
	} else {
		w.makeAhead(ctx, c)
	}
}

// storeNext begins to store the next run that waits.
func (w *shardWorker) storeNext(ctx context.Context) {
	if len(w.waiting) == 0 {
		return
	}
	c := w.waiting[0]
	w.storing, w.waiting = c, w.waiting[1:]
	go func() { w.uploaded <- w.store(ctx, c) }()
}

// makeAhead begins to make the first object of a run that waits, unless that would have to wait for something else than
// its turn, or the object may be there already.
func (w *shardWorker) makeAhead(ctx context.Context, c *closedRun) {
	if c.finishing != nil || c.run.Spilled() || w.follows.Load() {
		return
	}
	a := &ahead{done: make(chan struct{})}
	c.ahead = a
	go func() {
		defer close(a.done)
		buf := bodies.Get().(*bytes.Buffer)
		o, err := w.makeObject(ctx, c.run, &c.run.Groups(w.chain)[0], buf)
		if err != nil {
			bodies.Put(buf)
			return // who wants to store it comes upon the same error
		}
		w.budget.Add(int64(buf.Cap()))
		a.object, a.buf = o, buf
	}()
}

// take gives the object if there is one. Its buffer is the caller's then, and counted.
func (c *closedRun) take() (*s3sink.Object, *bytes.Buffer) {
	a := c.ahead
	if a == nil {
		return nil, nil
	}
	c.ahead = nil
	<-a.done
	return a.object, a.buf
}

// withdraw lets go of what was made of a run ahead, and ends the making of it.
func (w *shardWorker) withdraw(c *closedRun) {
	if _, buf := c.take(); buf != nil {
		w.release(buf)
	}
}

// release gives the memory of an object back.
func (w *shardWorker) release(buf *bytes.Buffer) {
	w.budget.Add(-int64(buf.Cap()))
	bodies.Put(buf)
}

// recall takes all runs that wait back. They are the caller's then, and not counted.
func (w *shardWorker) recall() []*closedRun {
	waiting := w.waiting
	w.waiting = nil
	for _, c := range waiting {
		w.withdraw(c)
		w.budget.Add(-c.memory)
	}
	return waiting
}

// dropStored takes the records that another writer has stored out of a run that waits. The run stays in the queue even if
// nothing is left of it: how far the shard is, is saved behind it.
func (w *shardWorker) dropStored(c *closedRun, through string) {
	if s3sink.CompareSequence(through, c.through) > 0 {
		c.through = through
	}
	if c.run.Empty() {
		return
	}
	if first, _ := c.run.First(); s3sink.CompareSequence(first, through) > 0 {
		return
	}
	w.withdraw(c)
	c.run.DropThrough(through)
	left := c.run.Memory()
	w.budget.Add(left - c.memory)
	c.memory = left
}
