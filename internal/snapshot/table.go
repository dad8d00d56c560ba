package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// tableLoad is the load of one table: what the readers of its ranges have in common.
type tableLoad struct {
	l      *Loader
	pool   *pool
	job    Job
	window Window
	log    *slog.Logger

	mu   sync.Mutex // covers everything below; held while a new definition is read
	def  *definition
	open int // ranges that are not through
}

// definition is a table's definition with all that follows from it. It is immutable once made.
type definition struct {
	epoch  int   // how often the load has begun anew before
	at     int64 // the window's moment before it was read
	table  *schema.Table
	layout *schema.TextLayout
	stmt   *statement
	key    bool // chunks can be told apart by the key
}

func newTableLoad(l *Loader, p *pool, o opened) *tableLoad {
	return &tableLoad{
		l: l, pool: p, job: o.job, window: o.window, log: l.cfg.Log.With("schema", o.job.Schema, "table", o.job.Table),
	}
}

// TableError is returned for a table whose load cannot go on.
type TableError struct {
	Schema, Table string
	Err           error
}

func (e *TableError) Error() string {
	return fmt.Sprintf("full load of table %s.%s: %v", e.Schema, e.Table, e.Err)
}

func (e *TableError) Unwrap() error { return e.Err }

func (t *tableLoad) named(err error) error {
	if err == nil {
		return nil
	}
	return &TableError{t.job.Schema, t.job.Table, err}
}

// begin makes the ranges that are left of the table, from its start or from where an earlier run stopped.
func (t *tableLoad) begin(ctx context.Context, rd *reader) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.job.Ranges) == 0 {
		return t.ended(t.anew(ctx, rd, 0))
	}
	def, err := t.awaitDefinition(ctx, rd)
	if err != nil {
		return t.ended(err)
	}
	if !def.key || !def.stmt.fits(t.job.Form) || !t.job.whole(len(def.stmt.keys)) {
		t.log.Warn("the table has another key than when its load began; loading it from the start", "was", t.job.Form, "is", def.stmt.form())
		return t.ended(t.anew(ctx, rd, 0))
	}
	if err := t.window.Begin(ctx, def.table); err != nil {
		return t.ended(err)
	}
	t.def = def
	var ranges []*rangeLoad
	for i, r := range t.job.Ranges {
		ranges = append(ranges, &rangeLoad{t: t, def: def, number: i, after: r.After, to: r.To, limit: firstRows})
	}
	t.add(ranges...)
	return nil
}

// anew begins the load from the start. The caller holds mu.
func (t *tableLoad) anew(ctx context.Context, rd *reader, epoch int) error {
	number := t.window.Restart()
	def, err := t.awaitDefinition(ctx, rd)
	if err != nil {
		return err
	}
	def.epoch = epoch
	t.def = def
	if !def.key {
		t.open++ // for good: a pass closes the window itself
		t.pool.postpone(t)
		return nil
	}
	if err := t.window.Begin(ctx, def.table); err != nil {
		return err
	}
	t.add(&rangeLoad{t: t, def: def, number: number, limit: firstRows})
	return nil
}

// add gives ranges to the readers. The caller holds mu.
func (t *tableLoad) add(ranges ...*rangeLoad) {
	if why := t.def.stmt.costly(); why != "" && t.open == 0 {
		t.log.Warn("the load of this table takes long for its size", "why", why)
	}
	t.open += len(ranges)
	t.pool.add(ranges...)
}

// through says that a range is read, or was given up. The last one closes the window.
func (t *tableLoad) through() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open--; t.open == 0 {
		t.window.Close()
	}
}

// redefine gives the definition that follows the one that turned out to be old. The error is errAbandoned if the load
// began anew, which is the end of all former ranges.
func (t *tableLoad) redefine(ctx context.Context, rd *reader, old *definition) (*definition, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.def == old {
		def, err := t.awaitDefinition(ctx, rd)
		if err != nil {
			return nil, err
		}
		def.epoch = old.epoch
		if !def.key || !def.stmt.fits(old.stmt.form()) {
			t.log.Warn("the table's key changed during its load; loading it from the start", "was", old.stmt.form(), "is", def.stmt.form())
			if err := t.anew(ctx, rd, old.epoch+1); err != nil {
				return nil, err
			}
		} else {
			t.def = def
		}
	}
	if t.def.epoch != old.epoch {
		return nil, errAbandoned
	}
	return t.def, nil
}

// errAbandoned ends the reading of a range that does not exist any more.
var errAbandoned = errors.New("the table's load began anew")

// sourceFails says that the load waits for the source, which the load will begin to read again at the same place.
func (t *tableLoad) sourceFails(err error) { t.l.cfg.Health.PartFailing(t.part(), err) }

// sourceWorks says that the source has answered.
func (t *tableLoad) sourceWorks() { t.l.cfg.Health.PartWorking(t.part()) }

func (t *tableLoad) part() string { return "full load of " + t.job.Schema + "." + t.job.Table }

// awaitDefinition reads the table's definition, waiting for the source as long as needed.
func (t *tableLoad) awaitDefinition(ctx context.Context, rd *reader) (*definition, error) {
	for attempt := 0; ; attempt++ {
		def, err := t.define(ctx, rd)
		if err == nil || final(err) {
			t.sourceWorks()
			return def, err
		}
		if ctx.Err() == nil {
			t.sourceFails(err)
		}
		rd.disconnect()
		if err := pauses.Sleep(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

func (t *tableLoad) define(ctx context.Context, rd *reader) (*definition, error) {
	if err := rd.connect(ctx); err != nil {
		return nil, err
	}
	at := t.window.Now()
	table, err := t.l.cfg.Load(ctx, rd.conn, t.job.Schema, t.job.Table)
	if err != nil {
		return nil, err
	}
	key, err := source.LoadKey(ctx, rd.conn, table)
	if err != nil {
		return nil, err
	}
	layout, err := schema.NewTextLayout(table, t.l.cfg.Rendered)
	if err != nil {
		return nil, &definitionError{err}
	}
	return &definition{
		at: at, table: table, layout: layout, key: pageable(table, key),
		stmt: newStatement(table, key, layout.SelectList()).estimated(t.l.cfg.Server),
	}, nil
}

// ended tells ends of one table's load from those of the whole: a table that is gone, is not wanted any more, or cannot be
// read does not keep the others from being loaded.
func (t *tableLoad) ended(err error) error {
	if err == nil {
		return nil
	}
	switch err = t.gone(err); {
	case errors.Is(err, ErrGivenUp):
		t.log.Info("the table's load was given up")
		err = nil
	case err != nil && permanent(err):
		err = t.window.Fail(err)
	}
	if err == nil {
		t.window.Close()
	}
	return err
}

// gone turns the end of a table into the end of its load: DROP TABLE stands in the binlog, and nothing is left to read.
func (t *tableLoad) gone(err error) error {
	if !source.IsNoTable(err) {
		return err
	}
	t.log.Warn("the table does not exist any more; its load ends here")
	t.window.Gone()
	return nil
}
