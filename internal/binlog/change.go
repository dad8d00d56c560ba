package binlog

import (
	"context"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// behind is the boundary at the end of the statement of an event.
func (s *stream) behind(e *event) source.Position {
	at := source.Position{File: s.cursor.file, Offset: e.end, ServerUUID: s.progress.server.UUID}
	if s.progress.set != nil {
		set := s.progress.set.Clone()
		if err := set.Add(s.tx.gtid); err == nil { // else the boundary will say so
			at.GTIDSet = set.String()
		}
	}
	return at
}

// lastBoundary is the one in front of the open transaction.
func (s *stream) lastBoundary() source.Position {
	at := s.progress.position()
	at.ServerUUID = s.progress.server.UUID
	return at
}

// ddl takes note of what a statement does to the tables that it names, and tells the Handler of selected ones.
func (s *stream) ddl(ctx context.Context, e *event, text string, effects []effect) error {
	at := s.behind(e)
	for i := range effects {
		effects[i] = s.asStored(effects[i])
	}
	carried := map[name]*schema.Table{} // definitions on their way from name to name
	for i, f := range effects {
		change := SchemaChange{
			Kind: f.kind, Schema: f.schema, Name: f.name, NewSchema: f.newSchema, NewName: f.new, Statement: text, RowsChanged: f.rows,
			Swap: swaps(effects, i), Conditional: f.conditional, Whole: f.whole,
			Old: s.tables.definition(f.schema, f.name), Place: s.place(e, e.start), GTID: s.tx.gtid, Time: s.tx.time,
		}
		if f.whole {
			if err := s.dropAll(ctx, change, at); err != nil {
				return err
			}
			continue
		}
		s.redefine(f, at, carried)
		if err := s.tell(ctx, change); err != nil {
			return err
		}
	}
	return s.learnAtOnce(ctx, effects)
}

// tell passes a change on if it is about a selected table.
func (s *stream) tell(ctx context.Context, c SchemaChange) error {
	selected := s.r.cfg.Selected(c.Schema, c.Name)
	if c.Kind == Renamed && s.r.cfg.Selected(c.NewSchema, c.NewName) {
		c.RowsChanged = c.RowsChanged || !selected
		selected = true
	}
	if !selected && !c.Whole {
		return nil
	}
	return handled(s.h.Schema(ctx, c))
}

// redefine brings what is known of a table's definition up to date with one effect of a statement.
func (s *stream) redefine(f effect, at source.Position, carried map[name]*schema.Table) {
	from := name{f.schema, f.name}
	switch {
	case f.kind == Renamed:
		def := carried[from]
		if def == nil {
			def = s.tables.known(f.schema, f.name)
		}
		if !f.same {
			def = nil
		}
		if def != nil {
			moved := *def
			moved.Schema, moved.Name = f.newSchema, f.new
			def = &moved
		}
		carried[name{f.newSchema, f.new}] = def
		delete(carried, from)
		s.tables.redefine(f.schema, f.name, at, nil)
		s.tables.redefine(f.newSchema, f.new, at, def)
		s.tables.gone(f.schema, f.name)
	case f.same, f.conditional: // whoever knew the definition knows it still
		s.tables.look(f.schema, f.name)
	default:
		s.tables.redefine(f.schema, f.name, at, nil)
		if f.kind == Dropped {
			s.tables.gone(f.schema, f.name)
		}
	}
}

// swaps reports whether a rename is one half of an exchange of tables under one name.
func swaps(effects []effect, i int) bool {
	f := effects[i]
	if f.kind != Renamed {
		return false
	}
	for j, g := range effects {
		if j != i && g.kind == Renamed && (g.newSchema == f.schema && g.new == f.name || g.schema == f.newSchema && g.name == f.new) {
			return true
		}
	}
	return false
}

// cameBack are the names that a statement takes from tables and gives to the same ones again.
func cameBack(effects []effect) map[name]bool {
	origin := map[name]name{} // of the tables under new names
	for _, f := range effects {
		from, to := name{f.schema, f.name}, name{f.newSchema, f.new}
		if f.kind != Renamed || !f.same {
			return nil
		}
		first, moved := origin[from]
		if !moved {
			first = from
		}
		delete(origin, from)
		origin[to] = first
	}
	back := map[name]bool{}
	for n, first := range origin {
		if n == first {
			back[n] = true
		}
	}
	return back
}

// dropAll tells of every table of a schema that was seen as if it had been dropped by itself, and then of the schema.
func (s *stream) dropAll(ctx context.Context, c SchemaChange, at source.Position) error {
	seen := s.tables.matching(c.Schema, "")
	s.tables.redefineAll(c.Schema, at)
	s.tables.gone(c.Schema, "")
	for _, tab := range seen {
		one := c
		one.Whole, one.Name, one.Old = false, tab.name, tab.def
		if err := s.tell(ctx, one); err != nil {
			return err
		}
	}
	return s.tell(ctx, c)
}

// learnAtOnce reads the definitions of changed tables while they are still what the statement made them: later on, when
// the first rows come, they may have been changed again. It is of no consequence if that does not work.
func (s *stream) learnAtOnce(ctx context.Context, effects []effect) error {
	if s.tx.explicit { // a part of a longer transaction, which has not been committed yet
		return nil
	}
	for _, f := range effects {
		if f.kind == Renamed {
			f.schema, f.name = f.newSchema, f.new
		}
		if f.whole || f.kind == Dropped || f.same && f.kind != Renamed || !s.r.cfg.Selected(f.schema, f.name) {
			continue
		}
		tab := s.tables.named(f.schema, f.name)
		if tab.known != nil {
			continue
		}
		def, ahead, err := s.present(ctx, tab, nearby, true)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil && ahead == nil && def != nil {
			s.tables.learn(tab, def)
		}
	}
	return nil
}
