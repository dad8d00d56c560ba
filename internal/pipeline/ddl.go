package pipeline

import (
	"context"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// Schema implements binlog.Handler. What a statement means for a table's readers is carried out by the Commit behind
// it; here it is decided, and the tables' states are changed, so that no checkpoint behind the statement is without them.
func (e *emitter) Schema(ctx context.Context, c binlog.SchemaChange) error {
	if c.Kind == binlog.Definition && c.Old == nil {
		return nil // the first rows of a table since the start: nothing changed
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.held(ctx); err != nil {
		return err
	}
	if !e.tx.open && e.stopped(c.Time) {
		return errStopPosition
	}
	for _, id := range []tableID{{c.Schema, c.Name}, {c.NewSchema, c.NewName}} {
		if w := e.windows[id]; w != nil {
			w.void(e.now())
		}
	}
	e.log.Info("table definition changed", "schema", c.Schema, "table", c.Name, "kind", c.Kind, "statement", c.Statement,
		"file", c.Place.File, "offset", c.Place.EventStart)
	if c.Kind != binlog.Definition && c.Name != "" {
		e.metrics.ddls.WithLabelValues(c.Schema, c.Name).Inc()
	}
	id := tableID{c.Schema, c.Name}
	switch c.Kind {
	case binlog.Created:
		e.born(id)
	case binlog.Dropped:
		if !c.Whole {
			e.vanished(id)
			break
		}
		for _, id := range e.progress.inSchema(c.Schema) {
			e.vanished(id)
		}
	case binlog.Truncated:
		e.pending.add(id, record.DropTable, record.CreateTable)
	case binlog.Renamed:
		if e.rules.Selected(c.Schema, c.Name) {
			e.vanished(id)
		}
		if e.rules.Selected(c.NewSchema, c.NewName) {
			e.unknownRows(tableID{c.NewSchema, c.NewName}, c)
		}
	default:
		if c.RowsChanged {
			e.unknownRows(id, c)
		}
	}
	return nil
}

// born begins a table that all of whose rows will be in the binlog. CREATE TABLE IF NOT EXISTS is logged of a table
// that exists, too: then nothing changes.
func (e *emitter) born(id tableID) {
	if e.progress.revise(id, func(d *tableDoc) bool {
		if d.State != "" && d.State != StateGone {
			return false
		}
		*d = tableDoc{State: StateCompleted}
		return true
	}) {
		e.pending.add(id, record.CreateTable)
	}
}

// vanished ends a table, and with it whatever was wrong with it: if it is made again, all of its rows are in the binlog.
// Its load, if one is under way, finds that out by itself.
func (e *emitter) vanished(id tableID) {
	delete(e.suspended, id)
	e.metrics.dropped(id)
	e.progress.revise(id, func(d *tableDoc) bool {
		*d = tableDoc{State: StateGone, Rows: d.Rows}
		return true
	})
	e.pending.add(id, record.DropTable)
}

// unknownRows deals with a table whose rows came, went or were exchanged without being logged. Where tables are loaded
// at all, it is loaded again; where only changes are wanted, there is nothing to be done but to say so.
func (e *emitter) unknownRows(id tableID, c binlog.SchemaChange) {
	if !e.reloads {
		e.metrics.unlogged.WithLabelValues(id.Schema, id.Table).Inc()
		e.log.Error("a statement changed rows of a table without logging them; a task of migration type cdc cannot send them: "+
			"readers of the stream have other rows than the table now", "severity", "DATALOSS",
			"schema", id.Schema, "table", id.Table, "statement", c.Statement, "file", c.Place.File, "offset", c.Place.EventStart)
		e.progress.table(id, StateCompleted)
		return
	}
	e.log.Warn("a statement changed rows of a table without logging them; loading the table again",
		"schema", id.Schema, "table", id.Table, "statement", c.Statement, "file", c.Place.File, "offset", c.Place.EventStart)
	e.reload(id, &e.pending)
}
