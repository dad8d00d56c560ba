package pipeline

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// exceptionsTable announces the control table that DMS makes when a task begins to capture changes. Consumers of DMS
// streams know to pass over it.
func exceptionsTable() record.Control {
	t := record.ExceptionsTable()
	return record.Control{Operation: record.CreateTable, Schema: t.Schema, Table: t.Name, Definition: t}
}

// eachShard is what puts a record into every shard and waits until all have it.
type eachShard interface {
	EachShard(ctx context.Context, key string, data func(context.Context) ([]byte, error)) error
}

// fence puts a control record of our own term into every shard.
func (e *emitter) fence(ctx context.Context, out eachShard) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.everywhere(ctx, out, exceptionsTable()); err != nil {
		return fmt.Errorf("announce the new writer in every shard: %w", err)
	}
	return nil
}

// everywhere puts a control record into every shard. Called with mu held.
func (e *emitter) everywhere(ctx context.Context, out eachShard, c record.Control) error {
	var numbers []uint64
	err := out.EachShard(ctx, c.PartitionKey(e.records), func(ctx context.Context) ([]byte, error) {
		n, err := e.controlNumber(ctx)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
		c.Time, c.Term, c.Epoch, c.Sequence = time.Now(), e.term, e.epoch, n
		return record.AppendControl(nil, c, e.records), nil
	})
	if err != nil {
		return err
	}
	for _, n := range numbers {
		e.numberAcked(n)
	}
	return nil
}

// announceStart sends what DMS sends when a change capture begins for the first time: create-table for its control
// table and for every selected table. done becomes true when all are acknowledged.
func (e *emitter) announceStart(ctx context.Context, done *atomic.Bool, tables []tableDoc) error {
	controls := []record.Control{exceptionsTable()}
	for _, t := range tables {
		controls = append(controls, record.Control{Operation: record.CreateTable, Schema: t.Schema, Table: t.Table})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.controls(ctx, controls, func() { done.Store(true) })
}

// announceLoad tells readers that a table's load begins, as DMS does: drop-table, then create-table. It returns when both
// are acknowledged. That is before the first chunk is marked: a change that was emitted before drop-table is in the chunk
// as well, and one that takes its row out of the chunk comes behind it.
func (e *emitter) announceLoad(ctx context.Context, t *schema.Table) error {
	done := make(chan struct{})
	controls := []record.Control{
		{Operation: record.DropTable, Schema: t.Schema, Table: t.Name},
		{Operation: record.CreateTable, Schema: t.Schema, Table: t.Name, Definition: t},
	}
	e.mu.Lock()
	err := e.controls(ctx, controls, func() { close(done) })
	e.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// controls puts control records; done is called when all are acknowledged. Called with mu held, which it may give away
// before each.
func (e *emitter) controls(ctx context.Context, all []record.Control, done func()) error {
	ack := &countdown{acked: e.numberAcked, done: done}
	ack.open.Store(int64(len(all)))
	for _, c := range all {
		n, err := e.controlNumber(ctx)
		if err != nil {
			return err
		}
		c.Time, c.Term, c.Epoch, c.Sequence = time.Now(), e.term, e.epoch, n
		e.buf = record.AppendControl(e.buf[:0], c, e.records)
		if err := e.out.Put(ctx, kinesisout.Record{Key: []byte(c.PartitionKey(e.records)), Data: e.buf, Seq: n, Ack: ack, Unplaced: true}); err != nil {
			return err
		}
	}
	return nil
}

// countdown calls done at the last of the acknowledgements that it was made for.
type countdown struct {
	open  atomic.Int64
	acked func(seq uint64) // at each
	done  func()
}

// Acked implements kinesisout.Ack.
func (c *countdown) Acked(seq uint64) {
	c.acked(seq)
	if c.open.Add(-1) == 0 {
		c.done()
	}
}
