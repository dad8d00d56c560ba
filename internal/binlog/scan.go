package binlog

import (
	"bytes"
	"context"
	"errors"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// lookout reads the log on a connection of its own for the statements in it, and passes everything else over.
type lookout struct {
	nobody
	s     *stream // that looks ahead
	ahead *lookahead
	read  *stream // of the lookout itself; nothing is selected in it
	file  uint64  // number of the file that ahead ends in
}

// scan looks through the log from where it was looked through up to a place, or its end if that comes first: what is not
// to be had by a replica yet can be in no definition that was read before.
func scan(ctx context.Context, s *stream, ahead *lookahead, to source.Position) error {
	conn, err := s.r.catalog.connect(ctx)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()

	from := ahead.end
	packets, err := dumpLog(ctx, conn, s.progress.server, from.File, from.Offset)
	if err != nil {
		return err
	}
	c := newLookout(s, ahead, packets)
	defer c.read.r.catalog.close()
	if err := c.run(ctx, to); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &source.Error{Step: "look ahead in the binary log for changes of definitions", Err: err}
	}
	s.r.cfg.Logger.Debug("looked ahead in the binary log for changes of definitions",
		"from_file", from.File, "from_offset", from.Offset, "file", ahead.end.File, "offset", ahead.end.Offset)
	return nil
}

// newLookout makes a lookout that goes on where the log was looked through to.
func newLookout(s *stream, ahead *lookahead, packets *source.Packets) *lookout {
	c := &lookout{s: s, ahead: ahead}
	c.file, _ = source.FileNumber(ahead.end.File)
	r := New(Config{Source: s.r.cfg.Source, Handler: c, Selected: func(string, string) bool { return false }})
	r.silence = s.r.silence
	c.read = newStream(r, &progress{server: s.progress.server, boundary: ahead.end}, newTables(r.cfg.Selected), packets)
	c.read.statement = c.statement
	return c
}

func (c *lookout) run(ctx context.Context, to source.Position) error {
	c.read.packets.SetTimeout(searchTimeout)
	last, _ := source.FileNumber(to.File)
	for first := true; !c.through(last, to.Offset); first = false {
		before := c.read.cursor
		err := c.read.next(ctx, func() {
			if first {
				c.read.packets.SetTimeout(c.read.r.silence)
			}
		})
		switch {
		case errors.Is(err, errEnded):
			return nil
		case errors.Is(err, ErrTooLarge): // nobody writes such a definition, but nobody can tell
			c.ahead.add(name{}, ddlPoint{at: source.Position{File: c.read.cursor.file, Offset: c.read.cursor.end}, statement: "a statement too large to be read"})
		case err != nil && !harmless(err):
			return err
		}
		if now := c.read.cursor; now.file == before.file && now.end > before.end {
			c.s.r.metrics.ahead.Add(float64(now.end - before.end))
		}
		c.looked()
	}
	return nil
}

// through says whether the log was looked through up to a place.
func (c *lookout) through(file, offset uint64) bool {
	return c.file > file || c.file == file && c.ahead.end.Offset >= offset
}

// looked notes how far the log was looked through. It is called for every event.
func (c *lookout) looked() {
	read, end := &c.read.cursor, &c.ahead.end
	if c.read.skipTo > 0 && read.end < c.read.skipTo {
		return
	}
	if end.File != read.file {
		end.File, c.file = read.file, read.number
	}
	end.Offset = read.end
}

// harmless tells what a reader of rows must not pass over, but one of other things may.
func harmless(err error) bool {
	return errors.Is(err, ErrIncident) || errors.Is(err, ErrUnknownEvent) || errors.Is(err, ErrNotRowFormat)
}

// statement notes a statement that changes the definition of a selected table.
func (c *lookout) statement(ctx context.Context, e *event, q query) error {
	if bytes.Equal(q.text, beginText) { // nearly all are
		return nil
	}
	text, kind, effects, err := q.read(func() (charsets, error) { return c.s.r.catalog.charsets(ctx) })
	if err != nil {
		return err
	}
	p := ddlPoint{at: source.Position{File: c.read.cursor.file, Offset: e.start}, statement: text}
	switch kind {
	case stmtUnclear:
		c.ahead.add(name{}, p)
	case stmtDDL:
		for i := range effects {
			effects[i] = c.s.asStored(effects[i])
		}
		back := cameBack(effects)
		for _, f := range effects {
			c.effect(f, p, back)
		}
	}
	return nil
}

// effect notes what a statement does to one table. IF NOT EXISTS does nothing to a table that has rows, unless it was
// dropped or renamed before, and that is noted.
func (c *lookout) effect(f effect, p ddlPoint, back map[name]bool) {
	selected := func(schemaName, table string) bool {
		return c.s.r.cfg.Selected(schemaName, table) && !back[name{schemaName, table}]
	}
	switch {
	case f.whole:
		c.ahead.add(name{f.schema, ""}, p)
		return
	case f.kind == Renamed:
		if selected(f.newSchema, f.new) {
			c.ahead.add(name{f.newSchema, f.new}, p)
		}
	case f.same, f.conditional:
		return
	}
	if selected(f.schema, f.name) {
		c.ahead.add(name{f.schema, f.name}, p)
	}
}

// nobody is a Handler that wants nothing, for streams in which nothing is selected.
type nobody struct{}

// Begin implements Handler.
func (nobody) Begin(context.Context, *record.Transaction) error { return nil }

// Rows implements Handler.
func (nobody) Rows(context.Context, *Rows) error { return nil }

// Commit implements Handler.
func (nobody) Commit(context.Context, Boundary) error { return nil }

// Schema implements Handler.
func (nobody) Schema(context.Context, SchemaChange) error { return nil }

// TableFailed implements Handler.
func (nobody) TableFailed(context.Context, *TableError) error { return nil }
