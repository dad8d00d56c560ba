package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
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
	if !s.tx.open {
		return fmt.Errorf("%w: rows outside a transaction", ErrCorrupt)
	}
	if m.table.failed {
		return s.passOver()
	}
	h, err := s.readable(ctx, e, m)
	if err == nil && s.tx.xa != nil {
		err = s.tx.xa.hold(m.table, h, s.place(e, m.start), e.rowBase)
	} else if err == nil {
		return s.handOver(ctx, m.table, s.rowsOf(m.table.def, m.table.layout, h, s.place(e, m.start), e.rowBase))
	}
	if e, ok := errors.AsType[*TableError](err); ok {
		return s.unreadable(ctx, m.table, e)
	}
	return err
}

// readable reads the head of a rows event and finds the definition that its rows are written with. What is wrong with
// the rows of this table alone is a *TableError; no other error is.
func (s *stream) readable(ctx context.Context, e *event, m mapped) (rowsHeader, error) {
	place := s.place(e, m.start)
	h, err := s.parseRows(e)
	if errors.Is(err, ErrTooLarge) {
		return h, unfit(m.table, place, hintTooLarge, err)
	}
	if err != nil {
		return h, unfit(m.table, place, "find out what damaged the event or made the program misread it", err)
	}
	if h.partial {
		return h, unfit(m.table, place, "set binlog_row_value_options='' on the server and in every session", ErrPartialJSON)
	}
	if err := s.define(ctx, m.table, place); err != nil {
		return h, err
	}
	if h.columns != len(m.table.def.Columns) {
		err := fmt.Errorf("%w: it has %d columns, its table map has %d", ErrCorrupt, h.columns, len(m.table.def.Columns))
		return h, unfit(m.table, place, "find out what damaged the event or made the program misread it", err)
	}
	return h, nil
}

// unfit is the error of a table whose rows at a place cannot be read; hint is what to do besides loading it again.
func unfit(tab *table, place record.Place, hint string, err error) *TableError {
	return &TableError{Schema: tab.schema, Name: tab.name, Place: place, Err: err, Hint: hint + ", " + reload(tab.schema, tab.name)}
}

// parseRows reads the head of an event that has to be in memory as a whole.
func (s *stream) parseRows(e *event) (rowsHeader, error) {
	if e.cut {
		return rowsHeader{}, tooLarge(e)
	}
	return parseRows(e.kind, e.body, &s.inflater)
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

// heldXA keeps the rows of an XA transaction, in memory, until the log says whether it was committed at once.
type heldXA struct {
	events []heldRows
	size   int
}

type heldRows struct {
	table  *table
	def    *schema.Table
	layout *schema.ImageLayout
	head   rowsHeader
	place  record.Place
	base   uint32
}

// maxHeldXA bounds the rows of one XA transaction that are kept.
const maxHeldXA = 64 << 20

func (x *heldXA) hold(tab *table, h rowsHeader, place record.Place, base uint32) error {
	if x.size+len(h.image) > maxHeldXA {
		x.drop(tab)
		return unfit(tab, place, "make XA transactions smaller", fmt.Errorf("an XA transaction changes more than %d MiB of rows", maxHeldXA>>20))
	}
	x.size += len(h.image)
	h.image = bytes.Clone(h.image)
	h.present[0], h.present[1] = bytes.Clone(h.present[0]), bytes.Clone(h.present[1])
	x.events = append(x.events, heldRows{tab, tab.def, tab.layout, h, place, base})
	return nil
}

// drop lets go of the rows of a table that has failed.
func (x *heldXA) drop(tab *table) {
	x.events = slices.DeleteFunc(x.events, func(h heldRows) bool { return h.table == tab })
	x.size = 0
	for i := range x.events {
		x.size += len(x.events[i].head.image)
	}
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
			if err := s.release(ctx, &held.events[i], onePhase); err != nil {
				return err
			}
		}
	}
	return s.commit(ctx, e)
}

// release deals with a rows event of an XA transaction that has come to its end in the log.
func (s *stream) release(ctx context.Context, h *heldRows, onePhase bool) error {
	switch {
	case h.table.failed:
		return s.passOver()
	case !onePhase:
		return s.unreadable(ctx, h.table, unfit(h.table, h.place,
			"commit XA transactions on this table in one phase (XA COMMIT ... ONE PHASE), or do without them", ErrXA))
	}
	return s.handOver(ctx, h.table, s.rowsOf(h.def, h.layout, h.head, h.place, h.base))
}
