package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// rowsEvent handles a rows event of any kind. Those of tables that are not selected cost no more than finding that out.
func (s *stream) rowsEvent(ctx context.Context, e *event) error {
	id, err := tableIDOf(e.body)
	if err != nil {
		return err
	}
	m, known := s.tables.find(id)
	if !known {
		if id == dummyTable {
			return nil
		}
		return fmt.Errorf("%w: no table map came for its table id %d", ErrCorrupt, id)
	}
	if !m.table.selected {
		return nil
	}
	h, err := parseRows(e.kind, e.body, &s.inflater)
	if err != nil {
		return err
	}
	place := s.place(e, m.start)
	if h.partial {
		return &TableError{
			Schema: m.table.schema, Name: m.table.name, Place: place, Err: ErrPartialJSON,
			Hint: "set binlog_row_value_options='' on the server and in every session; to go on, " + hintReload,
		}
	}
	if !s.tx.open {
		return fmt.Errorf("%w: rows outside a transaction", ErrCorrupt)
	}
	if err := s.define(ctx, m.table, place); err != nil {
		return err
	}
	if h.columns != len(m.table.def.Columns) {
		return fmt.Errorf("%w: it has %d columns, its table map has %d", ErrCorrupt, h.columns, len(m.table.def.Columns))
	}
	if s.tx.xa != nil {
		return s.tx.xa.hold(m.table, h, place, e.rowBase)
	}
	return s.handOver(ctx, s.rowsOf(m.table.def, m.table.layout, h, place, e.rowBase))
}

// rowsOf fills the one Rows that is used for all events.
func (s *stream) rowsOf(t *schema.Table, l *schema.ImageLayout, h rowsHeader, place record.Place, base uint32) *Rows {
	s.rows = Rows{
		Table: t, Layout: l, Op: h.op, Time: s.tx.time, Place: place, rowBase: base,
		image: h.image, present: h.present, before: s.rows.before, after: s.rows.after,
	}
	s.rows.Place.Row = base
	return &s.rows
}

// define finds the definition that a table's rows are written with, unless it is known: the server's present one if it
// fits everything that the table map says, else the table map's own if it is complete, else none.
func (s *stream) define(ctx context.Context, tab *table, place record.Place) error {
	if tab.layout != nil && !tab.stale {
		return nil
	}
	if s.decoder == nil {
		return fmt.Errorf("%w: it came before the format description", ErrCorrupt)
	}
	m, err := s.decoder.decode(tab.raw)
	if err != nil {
		return &TableError{Schema: tab.schema, Name: tab.name, Place: place, Hint: hintReload, Err: err}
	}
	sets, err := s.r.catalog.charsets(ctx)
	if err != nil {
		return err
	}
	var mismatch error
	for fresh := false; ; {
		if tab.base == nil {
			if tab.base, err = s.r.catalog.table(ctx, tab.schema, tab.name); err != nil {
				return loadFailed(tab, place, err)
			}
			fresh = true
		}
		mismatch = fmt.Errorf("%w: the table is not there any more", ErrDefinition)
		if tab.base != nil {
			if mismatch = fits(m, tab.base, sets); mismatch == nil {
				var l *schema.ImageLayout
				if l, mismatch = schema.NewImageLayout(tab.base, m.ColumnType, m.ColumnMeta, s.r.cfg.Options); mismatch == nil {
					return s.adopt(ctx, tab, tab.base, l, place)
				}
			}
		}
		if fresh {
			break
		}
		tab.base = nil // it was read before this table map came
	}
	if full(m) {
		t, err := fromTableMap(m, tab.base, sets)
		if err == nil {
			var l *schema.ImageLayout
			if l, err = schema.NewImageLayout(t, m.ColumnType, m.ColumnMeta, s.r.cfg.Options); err == nil {
				return s.adopt(ctx, tab, t, l, place)
			}
		}
		return &TableError{Schema: tab.schema, Name: tab.name, Place: place, Hint: hintReload, Err: err}
	}
	return &TableError{
		Schema: tab.schema, Name: tab.name, Place: place, Err: mismatch,
		Hint: "it was changed after these rows were written, and they do not describe themselves; " + hintReload +
			"; with binlog_row_metadata=FULL on the server, rows written from then on do",
	}
}

// loadFailed tells faults that another attempt may cure from those it will not: only the former are left as they are.
func loadFailed(tab *table, place record.Place, err error) error {
	if source.Refused(err) {
		return &TableError{Schema: tab.schema, Name: tab.name, Place: place, Err: err, Hint: "without its definition, its rows have no names"}
	}
	if _, ok := errors.AsType[*source.Error](err); ok {
		return err
	}
	return &source.Error{Step: fmt.Sprintf("load the definition of %s.%s", tab.schema, tab.name), Err: err}
}

// adopt makes a definition the one for the rows that follow and tells the Handler if it differs from the one before.
func (s *stream) adopt(ctx context.Context, tab *table, t *schema.Table, l *schema.ImageLayout, place record.Place) error {
	old := tab.def
	if sameDefinition(old, t) {
		t = old // callers may tell versions apart by the pointer
	} else {
		c := SchemaChange{
			Kind: Definition, Schema: tab.schema, Name: tab.name, Old: old, New: t, Place: place, GTID: s.tx.gtid, Time: s.tx.time,
		}
		if err := handled(s.h.Schema(ctx, c)); err != nil {
			return err
		}
	}
	tab.def, tab.layout, tab.stale = t, l, false
	return nil
}

// heldXA keeps the rows of an XA transaction, in memory, until the log says whether it was committed at once.
type heldXA struct {
	events []heldRows
	size   int
}

type heldRows struct {
	table  *schema.Table
	layout *schema.ImageLayout
	head   rowsHeader
	place  record.Place
	base   uint32
}

// maxHeldXA bounds the rows of one XA transaction that are kept.
const maxHeldXA = 64 << 20

func (x *heldXA) hold(tab *table, h rowsHeader, place record.Place, base uint32) error {
	x.size += len(h.image)
	if x.size > maxHeldXA {
		return &TableError{
			Schema: tab.schema, Name: tab.name, Place: place, Err: fmt.Errorf("an XA transaction changes more than %d MiB of rows", maxHeldXA>>20),
			Hint: "make XA transactions smaller; to go on, " + hintReload,
		}
	}
	h.image = bytes.Clone(h.image)
	h.present[0], h.present[1] = bytes.Clone(h.present[0]), bytes.Clone(h.present[1])
	x.events = append(x.events, heldRows{tab.def, tab.layout, h, place, base})
	return nil
}

// xaPrepare ends an XA transaction that was either committed in one phase or only prepared. A prepared one may be rolled
// back long after, or committed behind many boundaries: its rows can be neither handed over nor kept.
func (s *stream) xaPrepare(ctx context.Context, e *event) error {
	if len(e.body) < 1 {
		return fmt.Errorf("%w: it is empty", ErrCorrupt)
	}
	held := s.tx.xa
	s.tx.xa = nil
	onePhase := e.body[0] != 0
	if held != nil {
		for i := range held.events {
			h := &held.events[i]
			if !onePhase {
				return &TableError{
					Schema: h.table.Schema, Name: h.table.Name, Place: h.place, Err: ErrXA,
					Hint: "commit XA transactions on this table in one phase (XA COMMIT ... ONE PHASE), or do without them; to go on, " + hintReload,
				}
			}
			if err := s.handOver(ctx, s.rowsOf(h.table, h.layout, h.head, h.place, h.base)); err != nil {
				return err
			}
		}
	}
	return s.commit(ctx, e)
}
