package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// ErrorPolicy says what becomes of a table whose rows cannot be sent: DMS's TableErrorPolicy.
type ErrorPolicy string

// The policies.
const (
	SuspendTable ErrorPolicy = "SUSPEND_TABLE" // nothing more of it is sent until it is loaded again; everything else goes on
	StopTask     ErrorPolicy = "STOP_TASK"
)

// TableFailed implements binlog.Handler.
func (e *emitter) TableFailed(_ context.Context, t *binlog.TableError) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.suspend(tableID{t.Schema, t.Name}, t)
}

// suspend takes a table out of the stream, unless the policy is to stop, which the result says. Called with mu held,
// before the boundary behind the fault is known to the tracker: a checkpoint that stands behind the fault says so.
func (e *emitter) suspend(id tableID, fault error) error {
	if e.policy == StopTask {
		return fault
	}
	if e.suspended[id] {
		return nil
	}
	e.suspended[id] = true
	in := ""
	if e.tx.open {
		in = e.tx.tx.GTID
	}
	e.progress.revise(id, func(d *tableDoc) bool {
		*d = tableDoc{State: StateError, Error: fault.Error(), ErrorIn: in, Rows: d.Rows}
		return true
	})
	if w := e.windows[id]; w != nil {
		w.abandon()
	}
	e.log.Error("table suspended: nothing more of it is sent until it is loaded again; the other tables go on",
		"schema", id.Schema, "table", id.Table, "error", fault)
	return nil
}

// passOver deals with rows of a suspended table. If it was suspended in the very transaction of which a former process has
// done a number of changes, on another server, then some of that number may be its own, and nobody knows how many: what
// follows is sent, again perhaps, rather than passed over. Called with mu held.
func (e *emitter) passOver(id tableID) {
	if !e.skip.counts(e.tx.tx.GTID) || e.progress.table(id, StateError).snapshot().ErrorIn != e.tx.tx.GTID {
		return
	}
	e.log.Warn("a table was suspended in a transaction of which a part was sent before the failover: the rest of it is sent from here on, and some of it perhaps for the second time",
		"schema", id.Schema, "table", id.Table, "gtid", e.tx.tx.GTID)
	if e.skip.forget() {
		e.tracker.Resume(0, changeAt{})
	}
}

// unrenderable finds, in an error about a row, a fault that lies in the table and not in the stream, and names its
// cure. Another attempt would meet it again.
func unrenderable(err error, id tableID) (error, bool) {
	if err == nil { // of nearly every rows event
		return nil, false
	}
	var (
		column   *schema.ColumnError
		mismatch *schema.MismatchError
		plan     *planError
	)
	if errors.As(err, &column) || errors.As(err, &mismatch) || errors.As(err, &plan) {
		if named := (*binlog.TableError)(nil); errors.As(err, &named) {
			return err, true // its cure stands in it
		}
		return fmt.Errorf("%w; mend the value or the column, then run: binlogstreamer reload-table %s.%s", err, id.Schema, id.Table), true
	}
	return nil, false
}

// planError says that the records of a table cannot be built with the present settings.
type planError struct {
	table string
	err   error
}

func (e *planError) Error() string { return fmt.Sprintf("table %s: %v", e.table, e.err) }
func (e *planError) Unwrap() error { return e.err }

// SuspendedError is returned by a full load alone that had to leave tables out.
type SuspendedError struct{ Tables []string }

func (e *SuspendedError) Error() string {
	return fmt.Sprintf("the full load is through, but for %d suspended tables, the first of which is %s; mend what it names and start again",
		len(e.Tables), e.Tables[0])
}
