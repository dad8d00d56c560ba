package pipeline_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
)

// moment is a saved checkpoint, and what the stream held when it was about to be saved.
type moment struct {
	doc    []byte
	length int   // records
	clock  int64 // records with a lower one were acknowledged
}

// savedDoc is what the test reads in a checkpoint.
type savedDoc struct {
	Position struct {
		File    string
		Offset  uint64
		GTIDSet string `json:"gtid_set"`
	}
	Through *struct {
		File       string
		EventStart uint64 `json:"event_start"`
		Row        uint32
		Half       uint8
	}
	Tables []struct {
		Table, State string
		Ranges       []struct{}
	}
}

func (m *moment) parse(t *testing.T) savedDoc {
	t.Helper()
	var d savedDoc
	must(t, json.Unmarshal(m.doc, &d))
	return d
}

// place is up to where the checkpoint says that everything is acknowledged. It is zero where only the GTID set tells.
func (d *savedDoc) place(t *testing.T) coord {
	t.Helper()
	if d.Position.File == "" {
		return coord{}
	}
	if d.Through != nil {
		return coord{fileNumber(t, d.Through.File), d.Through.EventStart, d.Through.Row, d.Through.Half}
	}
	return coord{file: fileNumber(t, d.Position.File), start: d.Position.Offset}
}

func (d *savedDoc) completed(tables []*randomTable) bool {
	if len(d.Tables) < len(tables) {
		return false
	}
	for _, t := range d.Tables {
		if t.State != "Table completed" {
			return false
		}
	}
	return true
}

// line is a data record as a reader without our code sees it.
type line struct {
	op, table, position string
	term, epoch, number uint64
	data, before        map[string]any
}

func parseLine(t *testing.T, raw string) (l line, ok bool) {
	t.Helper()
	var doc struct {
		Data     map[string]any
		Before   map[string]any `json:"before-image"`
		Metadata struct {
			RecordType string `json:"record-type"`
			Operation  string
			Table      string `json:"table-name"`
			Position   string `json:"stream-position"`
			Term       uint64 `json:"writer-term"`
			Epoch      uint64 `json:"source-epoch"`
			Number     uint64 `json:"writer-sequence"`
		}
	}
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	must(t, d.Decode(&doc))
	m := doc.Metadata
	return line{op: m.Operation, table: m.Table, position: m.Position, term: m.Term, epoch: m.Epoch, number: m.Number, data: doc.Data, before: doc.Before}, m.RecordType == "data"
}

// place is where a change record says that it comes from.
func (l *line) place(t *testing.T) coord {
	t.Helper()
	p := strings.Split(l.position, ":")
	if len(p) != 7 {
		t.Fatalf("stream-position %q", l.position)
	}
	start, err := strconv.ParseUint(p[1], 10, 64)
	must(t, err)
	row, err := strconv.ParseUint(p[2], 10, 32)
	must(t, err)
	return coord{file: fileNumber(t, p[0]), start: start, row: uint32(row)}
}

// shardReader drops what readers drop: records of a lower term than one before, and changes and numbers that were there
// before.
type shardReader struct {
	theirs *dedupe.Filter // the product's own; it must say the same
	term   uint64
	seen   map[string]bool
}

// newest is the newest record that a reader has of a key.
type newest struct {
	*fact
	load  bool
	shard uint64
}

// figures count what a check has seen.
type figures struct {
	schedules, kills, cuts, reloads, moments, loading, ranges, rows, loads, changes, repeated, oldTerms, refused, lost, delayed, packed, commits int
}

func (f *figures) add(o figures) {
	f.schedules += o.schedules
	f.kills += o.kills
	f.cuts += o.cuts
	f.reloads += o.reloads
	f.moments += o.moments
	f.loading += o.loading
	f.ranges += o.ranges
	f.rows += o.rows
	f.loads += o.loads
	f.changes += o.changes
	f.repeated += o.repeated
	f.oldTerms += o.oldTerms
	f.refused += o.refused
	f.lost += o.lost
	f.delayed += o.delayed
	f.packed += o.packed
	f.commits += o.commits
}

func (f figures) String() string {
	return fmt.Sprintf("%d schedules, %d commits, %d kills, %d times all connections cut, %d tables loaded again; stream: %d load records and %d changes kept, "+
		"%d repeated and %d of old terms dropped, %d entries refused, %d stored without an answer, %d sent that came late, %d in aggregates; %d checkpoints checked (%d in the middle of a table's load, %d of these with ranges), %d rows compared",
		f.schedules, f.commits, f.kills, f.cuts, f.reloads, f.loads, f.changes, f.repeated, f.oldTerms, f.refused, f.lost, f.delayed, f.packed, f.moments, f.loading, f.ranges, f.rows)
}

// checker replays a stream up to each checkpoint and holds it against the truth.
type checker struct {
	t      *testing.T
	truth  *truth
	tables map[string]*randomTable
	log    []stored
	read   int
	facts  map[coord]*fact
	acked  map[string]int64 // by identity of a record: when it was first acknowledged

	readers map[uint64]*shardReader
	rows    map[string]map[string]newest
	bags    map[string]*bag // of tables without a key
	kept    map[coord]bool
	flavor  string
	before  mysql.GTIDSet // of the position that reading began at
	through coord
	checked int // facts up to this index were looked for
	figures figures
	faults  []string
}

func newChecker(t *testing.T, tr *truth, tables []*randomTable, log []stored, flavor string) *checker {
	c := &checker{t: t, truth: tr, log: log, flavor: flavor, tables: map[string]*randomTable{}, facts: map[coord]*fact{},
		acked: map[string]int64{}, rows: map[string]map[string]newest{}, bags: map[string]*bag{}, readers: map[uint64]*shardReader{}, kept: map[coord]bool{}}
	for _, table := range tables {
		c.tables[table.name] = table
		c.rows[table.name] = map[string]newest{}
		if table.keyless() {
			c.bags[table.name] = newBag(tr, table.name)
		}
	}
	for _, f := range tr.facts {
		c.facts[f.at] = f
	}
	for _, rec := range log {
		l, ok := parseLine(t, rec.data)
		if !ok || rec.acked == 0 {
			continue
		}
		if f := c.meant(&l); f != nil {
			if id := identity(f, l.op == "load"); c.acked[id] == 0 || rec.acked < c.acked[id] {
				c.acked[id] = rec.acked
			}
		}
	}
	return c
}

// old says whether a change lies before the position that reading began at.
func (c *checker) old(f *fact) bool {
	set, err := mysql.ParseGTIDSet(c.flavor, f.gtid)
	must(c.t, err)
	return c.before.Contain(set)
}

func identity(f *fact, load bool) string { return fmt.Sprint(load, f.at) }

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// meant finds the fact that a record tells of: by its place, or, for a load record, by key and version. nil: there is
// none.
func (c *checker) meant(l *line) *fact {
	table := c.tables[l.table]
	if table == nil {
		return nil
	}
	values, ok := table.fromRecord(l.data)
	if !ok {
		return nil
	}
	if l.op == "load" {
		for _, f := range c.truth.keys[l.table][table.keyOf(values)] {
			if !f.deleted && f.values[table.version] == values[table.version] {
				return same(f, values)
			}
		}
		return nil
	}
	at := l.place(c.t)
	f := c.facts[at]
	if f == nil || f.op != l.op { // the second half of a change of key has its place with the first
		at.half = 1
		f = c.facts[at]
	}
	if f == nil || f.op != l.op || f.table != l.table {
		return nil
	}
	if f.before != nil {
		if before, ok := table.fromRecord(l.before); !ok || !slices.Equal(before, f.before) {
			return nil
		}
	}
	return same(f, values)
}

func same(f *fact, values []string) *fact {
	if !slices.Equal(f.values, values) {
		return nil
	}
	return f
}

func (t *randomTable) fromRecord(data map[string]any) ([]string, bool) {
	out := make([]string, len(t.columns))
	for i, c := range t.columns {
		s, ok := c.fromJSON(data[c.name])
		if !ok {
			return nil, false
		}
		out[i] = s
	}
	for name := range data {
		if !slices.ContainsFunc(t.columns, func(c tableColumn) bool { return c.name == name }) {
			return nil, false
		}
	}
	return out, true
}

// moment checks one checkpoint. They come in the order in which they were saved.
func (c *checker) moment(m moment) {
	d := m.parse(c.t)
	if d.Position.File == "" && d.Position.GTIDSet == "" {
		return // only a term was taken
	}
	if c.before == nil {
		var err error
		c.before, err = mysql.ParseGTIDSet(c.flavor, d.Position.GTIDSet)
		must(c.t, err)
	}
	c.readTo(m.length)
	place := d.place(c.t)
	if place.compare(c.through) < 0 {
		c.fault("a checkpoint at %v follows one at %v", place, c.through)
		return
	}
	c.through = place
	c.figures.moments++
	for ; c.checked < len(c.truth.facts) && c.truth.facts[c.checked].at.compare(place) <= 0; c.checked++ {
		f := c.truth.facts[c.checked]
		if c.old(f) {
			continue
		}
		if at := c.acked[identity(f, false)]; at == 0 || at >= m.clock {
			c.fault("the checkpoint at %v covers the %s of %q at %v, which is not acknowledged", place, f.op, f.key, f.at)
		} else if !c.kept[f.at] {
			c.fault("the checkpoint at %v covers the %s of %q at %v, which readers drop", place, f.op, f.key, f.at)
		}
	}
	for _, t := range d.Tables {
		if t.State == "Full load" {
			c.figures.loading++
			c.figures.ranges += min(len(t.Ranges), 1)
		}
		switch t.State {
		case "Before load", "Full load", "Table is being reloaded", "Table completed":
			c.table(t.Table, t.State == "Table completed", place, m.clock)
		default:
			c.fault("table %s is in state %q", t.Table, t.State)
		}
	}
}

// table compares the newest record of every key with the table at a place.
func (c *checker) table(name string, completed bool, place coord, clock int64) {
	if bag := c.bags[name]; bag != nil {
		if completed {
			c.figures.rows += len(bag.rows)
			if d := bag.compare(place); d != "" {
				c.fault("at %v table %s, which has no key: %s", place, name, d)
			}
		}
		return
	}
	for key := range c.truth.keys[name] {
		want := c.truth.at(name, key, place)
		got, ok := c.rows[name][key]
		switch {
		case ok && got.at.compare(place) > 0: // ahead, and equal to the truth there: readTo saw to that
		case ok && got.at != want.at:
			c.fault("at %v the newest record of %s %q is of %v, but the table has what %v made of it", place, name, key, got.at, want.at)
		case ok && got.load && completed && (c.acked[identity(got.fact, true)] == 0 || c.acked[identity(got.fact, true)] >= clock):
			c.fault("at %v %s is complete, but the load record of %q is not acknowledged", place, name, key)
		case !ok && want.present() && completed:
			c.fault("at %v %s is complete without a record of %q", place, name, key)
		}
		c.figures.rows++
	}
}

// readTo reads the stream up to a number of records.
func (c *checker) readTo(n int) {
	for ; c.read < n; c.read++ {
		rec := &c.log[c.read]
		r := c.readers[rec.shard]
		if r == nil {
			r = &shardReader{theirs: dedupe.New(), seen: map[string]bool{}}
			c.readers[rec.shard] = r
		}
		l, isData := parseLine(c.t, rec.data)
		old := l.term < r.term
		keep := r.keeps(&l)
		if theirs := r.theirs.Check([]byte(rec.data)) == dedupe.Keep; theirs != keep {
			c.fault("a reader by the rules keeps it: %v; internal/dedupe: %v: %.300s", keep, theirs, rec.data)
		}
		bag := c.bags[l.table]
		switch {
		case old:
			c.figures.oldTerms++
		case !keep:
			c.figures.repeated++
		case isData:
			c.record(rec, &l)
		case bag != nil && l.op == "drop-table":
			clear(bag.rows) // the load begins
		}
	}
}

func (r *shardReader) keeps(l *line) bool {
	if l.term < r.term {
		return false
	}
	r.term = l.term
	id := fmt.Sprint(l.epoch, l.position, l.op)
	switch {
	case l.position == "" && l.number == 0:
		return true
	case l.position == "":
		id = fmt.Sprint(l.term, "/", l.number)
	}
	first := !r.seen[id]
	r.seen[id] = true
	return first
}

// record takes a kept record as the newest of its key.
func (c *checker) record(rec *stored, l *line) {
	load, bag, shard, raw := l.op == "load", c.bags[l.table], rec.shard, rec.data
	if load {
		c.figures.loads++
		if bag != nil {
			values, _ := c.tables[l.table].fromRecord(l.data)
			bag.rows[bagKey(values)]++
			return
		}
	}
	f := c.meant(l)
	if f == nil {
		c.fault("a record that the binlog knows nothing of: %.600s", raw)
		return
	}
	if !load {
		c.change(f, raw)
	}
	if bag != nil {
		if f.at.compare(bag.last) <= 0 {
			c.fault("%s goes back from %v to %v: %.300s", f.table, bag.last, f.at, raw)
		}
		bag.last = f.at
		f.apply(bag.rows)
		return
	}
	if old, ok := c.rows[f.table][f.key]; ok {
		if old.shard != shard {
			c.fault("%s %q is in shards %d and %d", f.table, f.key, old.shard, shard)
		}
		if n := f.at.compare(old.at); n < 0 || n == 0 && !load {
			c.fault("%s %q goes back from %v to %v: %.300s", f.table, f.key, old.at, f.at, raw)
			return
		}
	}
	c.rows[f.table][f.key] = newest{f, load, shard}
}

// change takes note of a change that a reader keeps.
func (c *checker) change(f *fact, raw string) {
	c.figures.changes++
	if c.old(f) {
		c.fault("a change of before the start: %.300s", raw)
	}
	if c.kept[f.at] {
		c.fault("a change is there twice: %.300s", raw)
	}
	c.kept[f.at] = true
}

// end compares what all records together give with the tables, value by value.
func (c *checker) end(table *randomTable, rows map[string][]string, n map[string]int) {
	if bag := c.bags[table.name]; bag != nil {
		if d := difference(bag.rows, n); d != "" {
			c.fault("at the end the stream and table %s, which has no key, differ: %s", table.name, d)
		}
		return
	}
	for key, facts := range c.truth.keys[table.name] {
		got, ok := c.rows[table.name][key]
		values, exists := rows[key]
		last := facts[len(facts)-1]
		switch {
		case last.deleted == exists:
			c.fault("the binlog says of %s %q deleted=%v, but SELECT finds it: %v", table.name, key, last.deleted, exists)
		case exists && (!ok || got.deleted || !slices.Equal(got.values, values)):
			c.fault("at the end %s has %q, the stream %+v", table.name, values, got.fact)
		case !exists && ok && !got.deleted:
			c.fault("at the end %s has no %q, the stream has", table.name, key)
		}
	}
	for key := range rows {
		if len(c.truth.keys[table.name][key]) == 0 {
			c.fault("%s has %q, of which the binlog knows nothing", table.name, key)
		}
	}
}
