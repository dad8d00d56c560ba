package binlog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// lookahead knows of every statement between where reading stands and some place further on that changes the definition
// of a selected table. What it has looked through once serves all tables.
type lookahead struct {
	begin, end source.Position // what it has looked through
	of         map[name][]ddlPoint
}

// ddlPoint is a statement that changes a definition.
type ddlPoint struct {
	at        source.Position // where its event begins
	statement string
}

func (d *ddlPoint) String() string {
	return fmt.Sprintf("%s at %s:%d", d.statement, d.at.File, d.at.Offset)
}

// Bounds of what is kept. Where they are reached, the newest statement stands for those that did not fit, and the whole
// schema or every table for the table.
const (
	maxPoints      = 16
	maxTables      = 20_000
	maxPointLength = 200
)

// How far it is worth looking.
const (
	nearby     uint64 = 32 << 20
	everything uint64 = 1 << 63
)

// errFar says that looking ahead would take too long for what it is wanted for.
var errFar = errors.New("its present definition may be newer than its rows here")

// present reads a table's present definition, and finds the first statement between here and there that has changed the
// table; if there is none, the definition is that of the rows here. The definition is read first and then the end of the
// log, so that nothing can be in the one and behind the other.
func (s *stream) present(ctx context.Context, tab *table, reach uint64, fence bool) (*schema.Table, *ddlPoint, error) {
	c := &s.r.catalog
	load := c.table
	if fence {
		load = c.settled
	}
	def, err := load(ctx, tab.schema, tab.name)
	if err != nil {
		return nil, nil, err
	}
	if err := c.logged(ctx, tab.schema, tab.name); err != nil {
		return nil, nil, err
	}
	end, err := c.logEnd(ctx)
	if err != nil {
		return nil, nil, err
	}
	here := source.Position{File: s.cursor.file, Offset: s.cursor.end}
	if !here.Before(end) {
		return def, nil, nil
	}
	if err := s.lookAhead(ctx, here, end, reach); err != nil {
		return nil, nil, err
	}
	return def, s.ahead.first(tab, here, s.tables.fold), nil
}

// lookAhead looks through the log up to a place, as far as that was not done before.
func (s *stream) lookAhead(ctx context.Context, here, to source.Position, reach uint64) error {
	l := s.ahead
	if l.end.Before(here) || here.Before(l.begin) {
		*l = lookahead{begin: here, end: here, of: map[name][]ddlPoint{}}
	}
	if !l.end.Before(to) {
		return nil
	}
	if reach != everything && (l.end.File != to.File || to.Offset-l.end.Offset > reach) {
		return errFar
	}
	return scan(ctx, s, l, to)
}

// first is the first statement at or behind a place that changes a table. What lies before the place is let go.
func (l *lookahead) first(tab *table, here source.Position, fold bool) *ddlPoint {
	var found *ddlPoint
	for n, points := range l.of {
		same := (n.schema == tab.schema || n.schema == "") && (n.table == tab.name || n.table == "")
		if fold {
			same = (n.schema == "" || strings.EqualFold(n.schema, tab.schema)) && (n.table == "" || strings.EqualFold(n.table, tab.name))
		}
		if !same {
			continue
		}
		for len(points) > 0 && points[0].at.Before(here) {
			points = points[1:]
		}
		if l.of[n] = points; len(points) == 0 {
			delete(l.of, n)
			continue
		}
		if found == nil || points[0].at.Before(found.at) {
			found = &points[0]
		}
	}
	return found
}

// add notes a statement about one table, a whole schema (table ""), or everything (schema "").
func (l *lookahead) add(n name, p ddlPoint) {
	if _, known := l.of[n]; !known && len(l.of) >= maxTables && n != (name{}) {
		l.add(name{}, p)
		return
	}
	if len(p.statement) > maxPointLength {
		p.statement = strings.ToValidUTF8(p.statement[:maxPointLength], "") + "..."
	}
	points := l.of[n]
	if len(points) >= maxPoints {
		points[maxPoints-1] = p
		return
	}
	l.of[n] = append(points, p)
}
