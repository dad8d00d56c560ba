package pipeline

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
)

// The states of a table, in the words of DMS's table statistics.
const (
	StateBeforeLoad = "Before load"
	StateFullLoad   = "Full load"
	StateCompleted  = "Table completed"
	StateGone       = "Table does not exist"
	StateReloading  = "Table is being reloaded"
	StateError      = "Table error"
)

// tableDoc is what is saved of a table's load.
type tableDoc struct {
	Schema   string     `json:"schema"`
	Table    string     `json:"table"`
	State    string     `json:"state"`
	After    []string   `json:"after,omitempty"`      // every row up to this key, as SQL literals, is acknowledged
	Ranges   []rangeDoc `json:"ranges,omitempty"`     // every row outside of them is; instead of After
	AfterKey []string   `json:"after_key,omitempty"`  // the order that these keys are in
	Rows     uint64     `json:"rows"`                 // load records acknowledged
	Error    string     `json:"error,omitempty"`      // why it is suspended, and the cure
	ErrorIn  string     `json:"error_gtid,omitempty"` // the transaction in which it was suspended
}

// progress follows the loads of all tables. It has its own mutex and takes no other inside it.
type progress struct {
	mu       sync.Mutex // covers everything below
	tables   map[tableID]*tableProgress
	revision uint64 // of the states that revise sets
}

// tableProgress follows one table's load.
type tableProgress struct {
	owner   *progress
	doc     tableDoc         // without After and Ranges
	ranges  []*rangeProgress // what is left to load, in key order
	numbers int              // given to ranges so far
	anew    bool             // the load begins from the start, and readers have not been told
	emitted bool             // rows of it may be in the stream since readers were told
	left    bool             // no rule selects it now: it is kept for the day when one does
	pace    loadPace         // of the load that this process does
}

func newProgress(saved []tableDoc) *progress {
	p := &progress{tables: make(map[tableID]*tableProgress)}
	for _, d := range saved {
		p.tables[tableID{d.Schema, d.Table}] = newTableProgress(p, d)
	}
	return p
}

// table gives the progress of a table, and makes it in the given state where there is none.
func (p *progress) table(id tableID, state string) *tableProgress {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tables[id]
	if t == nil {
		t = newTableProgress(p, tableDoc{Schema: id.Schema, Table: id.Table, State: state})
		p.tables[id] = t
	}
	return t
}

// docs is what to save, in a stable order.
func (p *progress) docs() []tableDoc { return p.list(true) }

// shown is what is known of the tables that are replicated.
func (p *progress) shown() []tableDoc { return p.list(false) }

func (p *progress) list(left bool) []tableDoc {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]tableDoc, 0, len(p.tables))
	for _, t := range p.tables {
		if left || !t.left {
			out = append(out, t.saved())
		}
	}
	slices.SortFunc(out, func(a, b tableDoc) int {
		return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Table, b.Table))
	})
	return out
}

// leave deals with tables that were selected once and are not any more. Their changes are not read from now on, so with
// loads, once a rule selects them again, nothing but another load makes them whole. A suspended table waits for one anyway.
func (p *progress) leave(selected func(tableID) bool, loads bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, t := range p.tables {
		if selected(id) {
			continue
		}
		t.left = true
		switch {
		case !loads || t.doc.State == StateError:
		case t.doc.State == StateGone: // readers know, and a table of that name will be a new one
			delete(p.tables, id)
		default:
			t.giveUp()
			t.doc.State, t.doc.Rows = StateReloading, 0
		}
	}
}

// revise changes what is known of a table, which is made where it is not known, unless change says that nothing is to
// change. Chunks of an earlier load that are still on their way count no more.
func (p *progress) revise(id tableID, change func(d *tableDoc) bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tables[id]
	doc := tableDoc{}
	if t != nil {
		doc = t.doc
	}
	if !change(&doc) {
		return false
	}
	if t == nil {
		t = &tableProgress{owner: p}
		p.tables[id] = t
	}
	t.giveUp()
	doc.Schema, doc.Table = id.Schema, id.Table
	t.doc, t.emitted = doc, false
	p.revision++
	return true
}

// tryAgain makes a suspended table one that is not loaded yet: a full load alone has no other way to cure it.
func (p *progress) tryAgain(id tableID) {
	p.revise(id, func(d *tableDoc) bool {
		if d.State != StateError {
			return false
		}
		*d = tableDoc{State: StateBeforeLoad}
		return true
	})
}

// states is how often states were revised. A checkpoint is made of the tables' states and of the stream's position one
// after the other; where this has changed in between, they do not belong together.
func (p *progress) states() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revision
}

// inSchema lists the tables of a schema that are there.
func (p *progress) inSchema(schemaName string) (ids []tableID) {
	for _, d := range p.shown() {
		if d.Schema == schemaName && d.State != StateGone {
			ids = append(ids, tableID{d.Schema, d.Table})
		}
	}
	return ids
}

// find looks a table up by schema.table, either of which may hold dots.
func (p *progress) find(name string) (tableID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var alike []string
	for id, t := range p.tables {
		switch full := id.Schema + "." + id.Table; {
		case t.left:
		case full == name:
			return id, nil
		case strings.EqualFold(full, name), strings.EqualFold(id.Table, name):
			alike = append(alike, full)
		}
	}
	slices.Sort(alike)
	return tableID{}, &UnknownTableError{Name: name, Known: alike}
}

// suspended lists the tables that are, each with the reason.
func (p *progress) suspended() (ids []tableID, reasons []string) {
	for _, d := range p.shown() {
		if d.State == StateError {
			ids = append(ids, tableID{d.Schema, d.Table})
			reasons = append(reasons, d.Schema+"."+d.Table+": "+d.Error)
		}
	}
	return ids, reasons
}

// complete says whether no table is left to load.
func (p *progress) complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tables {
		if !t.left && !t.doc.loaded() {
			return false
		}
	}
	return true
}

// loaded says whether nothing of the table is to be loaded. A suspended table is loaded when somebody asks for it.
func (d tableDoc) loaded() bool {
	return d.State == StateCompleted || d.State == StateGone || d.State == StateError
}

// snapshot is a copy of what is known.
func (t *tableProgress) snapshot() tableDoc {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	return t.saved()
}

// gone ends the load of a table that was dropped.
func (t *tableProgress) gone() {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	if !t.doc.loaded() { // else the stream knows better: it was made again, say
		t.giveUp()
		t.doc.State = StateGone
	}
}

// announcing says how readers are told that a load of the table is about to begin.
type announcing uint8

const (
	announced          announcing = iota // they know, or the load only goes on
	announceOnce                         // as DMS does: nothing of the table can be in the stream but changes, which the load covers
	announceEverywhere                   // in every shard, for rows that were sent may be gone, or would stand twice
)

func (t *tableProgress) announcing(def *schema.Table) announcing {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	switch {
	case def.KeyKind == schema.NoKey:
		return announceEverywhere
	case t.doc.State == StateBeforeLoad:
		return announceOnce
	case t.anew && t.emitted:
		return announceEverywhere
	}
	return announced
}

// announced notes that readers have been told.
func (t *tableProgress) announced() {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	t.anew, t.emitted = false, false
	if t.doc.State == StateBeforeLoad {
		t.doc.State = StateFullLoad
	}
}

// chunkGroup counts what of a chunk is not acknowledged yet.
type chunkGroup struct {
	table   *tableProgress
	part    *rangeProgress
	numbers *checkpoint.Numbers // of its records; nil: they have none
	to      snapshot.Bound
	last    bool
	rows    uint64 // load records
	open    atomic.Int64
	done    bool // covered by the owner's mutex
}

// add announces one more record of the chunk, before it is put.
func (g *chunkGroup) add() { g.open.Add(1) }

// Acked implements kinesisout.Ack. What is no record has the number 0.
func (g *chunkGroup) Acked(seq uint64) {
	if seq != 0 {
		g.numbers.Acked(seq)
	}
	if g.open.Add(-1) == 0 {
		g.table.acknowledged(g)
	}
}

// seal says that all records of the chunk have been put.
func (g *chunkGroup) seal() { g.Acked(0) }

// giveUp says that the rest of the chunk will not come, which may be all of it: the range waits for it no more.
func (g *chunkGroup) giveUp() {
	if g == nil {
		return
	}
	g.table.owner.mu.Lock()
	defer g.table.owner.mu.Unlock()
	g.part.queue = slices.DeleteFunc(g.part.queue, func(other *chunkGroup) bool { return other == g })
}
