package binlog

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// History keeps, over restarts, which definitions the tables had at which positions. The Reader's goroutine calls it.
type History interface {
	// Load gives what was saved last. It must belong to the same line of positions that Run goes on with.
	Load(ctx context.Context) ([]Version, error)

	// Save keeps all versions, in place of those before. When it returns they are safe: only then the boundary behind the
	// newest of them is announced.
	Save(ctx context.Context, all []Version) error

	// Oldest is a position before which no later Run will start; what is of use before it only is let go.
	Oldest() source.Position
}

// Version is the definition that a table has from a boundary on, up to that of the table's next version.
type Version struct {
	Schema, Name string
	Since        source.Position
	Table        *schema.Table // nil: not known
}

// reached reports whether reading from a position comes after since. Coordinates count on the server they belong to, GTID
// sets everywhere; what cannot be told is not reached.
func reached(since, from source.Position, set *GTIDSet) bool {
	inSet := false
	if set != nil && since.GTIDSet != "" {
		ok, err := set.Contains(since.GTIDSet)
		if inSet = ok && err == nil; !inSet {
			return false
		}
	}
	if since.ServerUUID == from.ServerUUID && from.File != "" {
		return !from.Before(since)
	}
	return inSet
}

// samePlace reports whether two boundaries are the same one.
func samePlace(a, b source.Position) bool {
	if a.ServerUUID == b.ServerUUID {
		return a.File == b.File && a.Offset == b.Offset
	}
	return a.GTIDSet != "" && a.GTIDSet == b.GTIDSet
}

// name is a table's name as the server stores it.
type name struct{ schema, table string }

func sortedNames[V any](m map[name]V) []name {
	return slices.SortedFunc(maps.Keys(m), func(a, b name) int {
		return cmp.Or(strings.Compare(a.schema, b.schema), strings.Compare(a.table, b.table))
	})
}

// versions are all that is known of the tables' definitions, by table and in the order of the log.
type versions struct {
	of    map[name][]Version
	start source.Position // where Run began
	set   *GTIDSet        // and its GTID set, if positions are found by it
	keep  bool            // old versions are of use: they are saved
	dirty bool            // there is something to save
}

func newVersions(saved []Version, start source.Position, set *GTIDSet, keep bool) *versions {
	v := &versions{of: map[name][]Version{}, start: start, keep: keep}
	if set != nil {
		v.set = set.Clone()
	}
	for _, s := range saved {
		key := name{s.Schema, s.Name}
		v.of[key] = append(v.of[key], s)
	}
	return v
}

// atStart is the version that is in force where Run began.
func (v *versions) atStart(n name) Version {
	at := Version{Schema: n.schema, Name: n.table, Since: v.start}
	for _, known := range v.of[n] {
		if reached(known.Since, v.start, v.set) {
			at = known
		}
	}
	return at
}

// begin notes that a table's definition changed at a boundary, and gives the new version: a former Run may have found out
// what it is.
func (v *versions) begin(n name, since source.Position, def *schema.Table) Version {
	for _, known := range v.of[n] {
		if samePlace(known.Since, since) {
			if known.Table == nil && def != nil {
				known.Table = def
				v.put(known)
			}
			return known
		}
	}
	next := Version{Schema: n.schema, Name: n.table, Since: since, Table: def}
	v.put(next)
	return next
}

// put adds a version, or what has become known of one.
func (v *versions) put(one Version) {
	n := name{one.Schema, one.Name}
	v.dirty = true
	for i, known := range v.of[n] {
		if samePlace(known.Since, one.Since) {
			v.of[n][i] = one
			return
		}
	}
	if !v.keep {
		v.of[n] = v.of[n][:0]
	}
	v.of[n] = append(v.of[n], one)
}

// prune lets go of what is of no use to a Run that starts at oldest or later.
func (v *versions) prune(oldest source.Position, set *GTIDSet) {
	for n, list := range v.of {
		first := 0
		for i := range list {
			if reached(list[i].Since, oldest, set) {
				first = i
			}
		}
		for first < len(list) && list[first].Table == nil { // knowing nothing is the same as not being there
			first++
		}
		if first == len(list) {
			delete(v.of, n)
		} else {
			v.of[n] = slices.Clone(list[first:])
		}
	}
}

// all are the versions to save.
func (v *versions) all() []Version {
	var out []Version
	for _, n := range sortedNames(v.of) {
		out = append(out, v.of[n]...)
	}
	return out
}

// recall begins with what a former Run knew, and finds out what it did not while it can be found out: once a table has been
// changed again, its rows from before can only be read with a definition that was known in time.
func (s *stream) recall(ctx context.Context) error {
	h := s.r.cfg.History
	if s.tables.recalled {
		return nil
	}
	start := s.progress.position()
	var saved []Version
	if h != nil {
		var err error
		if saved, err = h.Load(ctx); err != nil {
			return handled(err)
		}
	}
	all := len(saved)
	saved = slices.DeleteFunc(saved, func(v Version) bool { return !s.r.cfg.Selected(v.Schema, v.Name) })
	s.tables.versions = newVersions(saved, start, s.progress.set, h != nil)
	s.tables.versions.dirty = len(saved) < all // nobody watches over the others: they must not come back with another selection
	s.tables.versions.prune(start, s.progress.set)
	s.tables.recalled = true
	s.tables.unlearned = h != nil
	if start.File == "" {
		return nil // the first transaction or heartbeat will tell the place
	}
	return s.learnAll(ctx, start)
}

// learnAll learns the definitions of all selected tables that are not known at a place of the log, once. It is of no
// consequence if that does not work: then it is tried for each table when its rows come.
func (s *stream) learnAll(ctx context.Context, here source.Position) error {
	if !s.tables.unlearned {
		return nil
	}
	s.tables.unlearned = false
	err := s.tryLearnAll(ctx, here)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		s.r.cfg.Logger.Warn("the definitions of tables could not be read ahead of their rows", "error", err)
	}
	return s.remember(ctx) // before a row is handed over: the next Run may begin in front of it, when the table is another one
}

func (s *stream) tryLearnAll(ctx context.Context, here source.Position) error {
	unknown, err := s.unknown(ctx)
	if err != nil || len(unknown) == 0 {
		return err
	}
	defs := make([]*schema.Table, len(unknown))
	for i, tab := range unknown {
		defs[i], err = s.r.catalog.settled(ctx, tab.schema, tab.name)
		if err == nil {
			err = s.r.catalog.logged(ctx, tab.schema, tab.name)
		}
		if isA[*mysql.MyError](err) { // the server refuses just this one, or it is locked
			defs[i], err = nil, nil
		}
		if err != nil {
			return err
		}
	}
	end, err := s.r.catalog.logEnd(ctx)
	if err != nil {
		return err
	}
	if here.Before(end) {
		reach := everything
		if s.progress.server.RowMetadata == "FULL" {
			reach = nearby
		}
		if err := s.lookAhead(ctx, here, end, reach); err != nil {
			return err
		}
	}
	for i, tab := range unknown {
		if defs[i] != nil && s.ahead.first(tab, here, s.tables.fold) == nil {
			s.tables.learn(tab, defs[i])
		}
	}
	return nil
}

// unknown are the selected tables of the server whose definitions are not known.
func (s *stream) unknown(ctx context.Context) ([]*table, error) {
	names, err := s.r.catalog.tables(ctx)
	var out []*table
	for _, n := range names {
		if n.View || !s.r.cfg.Selected(n.Schema, n.Name) {
			continue
		}
		if tab := s.tables.named(n.Schema, n.Name); tab.known == nil {
			out = append(out, tab)
		}
	}
	return out, err
}

// remember saves what has become known, before the boundary behind it is announced.
func (s *stream) remember(ctx context.Context) error {
	h, v := s.r.cfg.History, s.tables.versions
	if h == nil || !v.dirty {
		return nil
	}
	v.prune(h.Oldest(), nil)
	v.dirty = false
	return handled(h.Save(ctx, v.all()))
}
