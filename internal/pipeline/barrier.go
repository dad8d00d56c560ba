package pipeline

import (
	"context"
	"fmt"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// barrier is what parts a table's records into those before and those after a moment of its life.
type barrier interface {
	eachShard
	// Flush waits until everything put before is acknowledged.
	Flush(ctx context.Context) error
}

// announcement collects the control records that a statement, or a reload, puts between two transactions.
type announcement struct{ controls []record.Control }

// add appends an operation on a table, unless it stands at the end already: one statement may name a table twice.
func (a *announcement) add(id tableID, operations ...record.ControlOperation) {
	for _, op := range operations {
		c := record.Control{Operation: op, Schema: id.Schema, Table: id.Table}
		if n := len(a.controls); n > 0 && a.controls[n-1].Operation == op && a.controls[n-1].Schema == id.Schema && a.controls[n-1].Table == id.Table {
			continue
		}
		a.controls = append(a.controls, c)
	}
}

// announce puts what was collected into every shard, between all that was emitted before and all that will be emitted
// later, and saves a checkpoint behind it before it returns. Called with mu held.
//
// Every shard gets its own copy, so that whoever replays a shard in its order knows which of the shard's rows are gone.
// The checkpoint matters as much as the order: after a crash everything behind the last checkpoint is sent again, and
// readers pass over what they have seen already. If a second drop-table could come behind rows that were sent before
// the crash, it would take them away, and nobody would send them again.
//
// For the same reason it must be certain that a process that comes after a crash in the middle announces again, and
// does whatever the announcement is for. It does where the announcement is about a statement, which it reads again.
// Where it is about a load, it does only if it knows of the load: see announceNew.
func (e *emitter) announce(ctx context.Context, a *announcement) error {
	if len(a.controls) == 0 {
		return nil
	}
	if err := e.barrier.Flush(ctx); err != nil {
		return err
	}
	for _, c := range a.controls {
		if err := e.everywhere(ctx, e.barrier, c); err != nil {
			return fmt.Errorf("announce %s of %s.%s: %w", c.Operation, c.Schema, c.Table, err)
		}
	}
	a.controls = nil
	return e.persist(ctx)
}

// announceNew announces what no statement in the binlog has brought about. The tables' states, which have been changed,
// are saved first.
func (e *emitter) announceNew(ctx context.Context, a *announcement) error {
	if len(a.controls) == 0 {
		return nil
	}
	if err := e.persist(ctx); err != nil {
		return err
	}
	return e.announce(ctx, a)
}
