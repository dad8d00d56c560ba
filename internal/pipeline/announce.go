package pipeline

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// exceptionsTable announces the control table that DMS makes when a task begins to capture changes. Consumers of DMS
// streams know to pass over it.
func exceptionsTable() record.Control {
	t := record.ExceptionsTable()
	return record.Control{Operation: record.CreateTable, Schema: t.Schema, Table: t.Name, Definition: t}
}

// eachShard is what puts a record into every shard and waits until all have it.
type eachShard interface {
	EachShard(ctx context.Context, data []byte) error
}

// fence puts a control record of our own term into every shard.
func (e *emitter) fence(ctx context.Context, out eachShard) error {
	c := exceptionsTable()
	c.Time, c.Term, c.Epoch = time.Now(), e.term, e.epoch
	if err := out.EachShard(ctx, record.AppendControl(nil, c, e.records)); err != nil {
		return fmt.Errorf("announce the new writer in every shard: %w", err)
	}
	return nil
}

// announceStart sends what DMS sends when a change capture begins for the first time: create-table for its control
// table and for every selected table. done becomes true when all are acknowledged.
func (e *emitter) announceStart(ctx context.Context, done *atomic.Bool, tables []tableDoc) error {
	ack := &startAck{done: done}
	ack.open.Store(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	controls := []record.Control{exceptionsTable()}
	for _, t := range tables {
		controls = append(controls, record.Control{Operation: record.CreateTable, Schema: t.Schema, Table: t.Table})
	}
	for _, c := range controls {
		if err := e.control(ctx, c, ack); err != nil {
			return err
		}
	}
	ack.Acked(0)
	return nil
}

// startAck sets done when the last of its records is acknowledged.
type startAck struct {
	open atomic.Int64
	done *atomic.Bool
}

func (a *startAck) add() { a.open.Add(1) }

// Acked implements kinesisout.Ack.
func (a *startAck) Acked(uint64) {
	if a.open.Add(-1) == 0 {
		a.done.Store(true)
	}
}
