package binlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// written is a table map that rows are to be read with.
type written struct {
	tab   *table
	place record.Place
	m     *tableMap
	sets  charsets
}

// define finds the definition that a table's rows are written with, unless it has it: the one that is known to have been
// in force since the table's last change; else the server's present one, if no change of the table lies between here and
// what it shows; else what the table map itself says, if it says all. There is no guess behind these.
func (s *stream) define(ctx context.Context, tab *table, place record.Place) error {
	if tab.layout != nil && !tab.stale {
		return nil
	}
	if s.decoder == nil {
		return fmt.Errorf("%w: it came before the format description", ErrCorrupt)
	}
	m, err := s.decoder.decode(tab.raw)
	if err != nil {
		return unfit(tab, place, "find out what damaged the table map or made the program misread it", err)
	}
	w := &written{tab: tab, place: place, m: m}
	if w.sets, err = s.r.catalog.charsets(ctx); err != nil {
		return err
	}
	if tab.known != nil {
		if l, err := s.layout(w, tab.known); err == nil {
			return s.adopt(ctx, w, tab.known, l)
		}
		// It was changed without that being logged, somewhere between its last change that was and here.
		s.tables.redefined(tab, s.lastBoundary(), nil)
	}
	return s.prove(ctx, w)
}

// layout prepares reading rows with a definition, if everything that the table map says agrees with it.
func (s *stream) layout(w *written, t *schema.Table) (*schema.ImageLayout, error) {
	if err := fits(w.m, t, w.sets); err != nil {
		return nil, err
	}
	l, err := schema.NewImageLayout(t, w.m.ColumnType, w.m.ColumnMeta, s.r.cfg.Options)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrDefinition, err)
	}
	return l, err
}

// prove takes the server's present definition, or what the table map says, if that is certain to be right here.
func (s *stream) prove(ctx context.Context, w *written) error {
	reach := everything
	if s.selfContained(w.m) {
		reach = nearby // the table map will do, where looking ahead takes long
	}
	def, ahead, err := s.present(ctx, w.tab, reach, s.inOpenTransaction(w.tab.since))
	if reach == nearby && isA[*EventError](err) {
		err = errFar // what is damaged there is told when reading comes to it
	}
	if err != nil && !errors.Is(err, errFar) {
		return loadFailed(w.tab, w.place, err)
	}
	mismatch := fmt.Errorf("%w: the table is not there any more", ErrDefinition)
	switch {
	case err != nil:
		mismatch = err
	case ahead != nil:
		mismatch = fmt.Errorf("%w: it is not known what it was here, since it was changed later: %s", ErrDefinition, ahead)
	case def != nil:
		var l *schema.ImageLayout
		if l, mismatch = s.layout(w, def); mismatch == nil {
			s.tables.learn(w.tab, def)
			return s.adopt(ctx, w, def, l)
		}
	}
	if full(w.m) {
		return s.fromLog(ctx, w, def)
	}
	e := unfit(w.tab, w.place, "rows do not describe themselves here: set binlog_row_metadata=FULL on the server so that later ones do", mismatch)
	if def != nil {
		e.Expected = describeColumns(def)
	}
	e.Found = describeMap(w.m, w.sets)
	return e
}

// inOpenTransaction reports whether a boundary lies within the transaction that is being read, as behind the first half of
// CREATE TABLE ... SELECT: such a table may not be there yet.
func (s *stream) inOpenTransaction(at source.Position) bool {
	return at.File == s.cursor.file && at.Offset > s.tx.first
}

// selfContained reports whether a table map tells everything that the records depend on. Where there is no primary key,
// MariaDB tells the unique one that stands in for it, and MySQL does not.
func (s *stream) selfContained(m *tableMap) bool {
	if s.mariadb {
		return full(m) && !hasHiddenTypes(m)
	}
	return full(m) && len(m.PrimaryKey) > 0
}

// fromLog makes the definition out of a table map with full metadata.
func (s *stream) fromLog(ctx context.Context, w *written, base *schema.Table) error {
	if s.mariadb && hasHiddenTypes(w.m) {
		e := unfit(w.tab, w.place, "", fmt.Errorf("%w: it has BINARY columns that may as well be UUID, INET4 or INET6, and the log does not tell which", ErrDefinition))
		e.Hint = reload(w.tab.schema, w.tab.name)
		e.Found = describeMap(w.m, w.sets)
		return e
	}
	t, err := fromTableMap(w.m, base, w.sets)
	var l *schema.ImageLayout
	if err == nil {
		l, err = schema.NewImageLayout(t, w.m.ColumnType, w.m.ColumnMeta, s.r.cfg.Options)
	}
	if err != nil {
		e := unfit(w.tab, w.place, "change the column's type or leave the column out", err)
		e.Found = describeMap(w.m, w.sets)
		return e
	}
	if t.KeyKind == schema.NoKey && !s.mariadb {
		s.r.cfg.Logger.Warn("the log does not tell whether a table without a primary key has a unique one, and its present definition may be newer: "+
			"its rows are taken to have no key", "schema", w.tab.schema, "table", w.tab.name, "file", w.place.File, "offset", w.place.EventStart)
	}
	s.tables.learn(w.tab, t)
	return s.adopt(ctx, w, t, l)
}

// loadFailed tells faults that another attempt may cure from those it will not: only the former are left as they are.
func loadFailed(tab *table, place record.Place, err error) error {
	if source.Refused(err) && !source.AtTheDoor(err) { // at the door it may be a password that is just being changed
		return unfit(tab, place, "without its definition its rows have no names: give the user the right to see it", err)
	}
	for _, as := range []func(error) bool{isA[*source.Error], isA[*PositionError]} {
		if as(err) {
			return err
		}
	}
	return &source.Error{Step: fmt.Sprintf("load the definition of %s.%s", tab.schema, tab.name), Err: err}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// adopt makes a definition the one for the rows that follow and tells the Handler if it differs from the one before.
func (s *stream) adopt(ctx context.Context, w *written, t *schema.Table, l *schema.ImageLayout) error {
	tab := w.tab
	old := tab.def
	if sameDefinition(old, t) {
		t = old // callers may tell versions apart by the pointer
	} else {
		c := SchemaChange{
			Kind: Definition, Schema: tab.schema, Name: tab.name, Old: old, New: t, Place: w.place, GTID: s.tx.gtid, Time: s.tx.time,
		}
		if err := handled(s.h.Schema(ctx, c)); err != nil {
			return err
		}
	}
	tab.def, tab.layout, tab.stale = t, l, false
	return nil
}
