package pipeline

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

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
	Schema   string   `json:"schema"`
	Table    string   `json:"table"`
	State    string   `json:"state"`
	After    []string `json:"after,omitempty"`     // every row up to this key, as SQL literals, is acknowledged
	AfterKey []string `json:"after_key,omitempty"` // the key's columns
	Rows     uint64   `json:"rows"`                // load records acknowledged
	Error    string   `json:"error,omitempty"`     // why it is suspended, and the cure
}

// progress follows the loads of all tables. It has its own mutex and takes no other inside it.
type progress struct {
	mu       sync.Mutex // covers everything below
	tables   map[tableID]*tableProgress
	revision uint64 // of the states that revise sets
}

// tableProgress follows one table's load: chunks are acknowledged in any order and count in theirs.
type tableProgress struct {
	owner *progress
	doc   tableDoc
	queue []*chunkGroup
}

func newProgress(saved []tableDoc) *progress {
	p := &progress{tables: make(map[tableID]*tableProgress)}
	for _, d := range saved {
		p.tables[tableID{d.Schema, d.Table}] = &tableProgress{owner: p, doc: d}
	}
	return p
}

// table gives the progress of a table, and makes it in the given state where there is none.
func (p *progress) table(id tableID, state string) *tableProgress {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tables[id]
	if t == nil {
		t = &tableProgress{owner: p, doc: tableDoc{Schema: id.Schema, Table: id.Table, State: state}}
		p.tables[id] = t
	}
	return t
}

// docs is what to save, in a stable order.
func (p *progress) docs() []tableDoc {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]tableDoc, 0, len(p.tables))
	for _, t := range p.tables {
		out = append(out, t.doc)
	}
	slices.SortFunc(out, func(a, b tableDoc) int {
		return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Table, b.Table))
	})
	return out
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
	doc.Schema, doc.Table = id.Schema, id.Table
	t.doc, t.queue = doc, nil
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

// find looks a table up by schema.table, either of which may hold dots.
func (p *progress) find(name string) (tableID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var alike []string
	for id := range p.tables {
		switch full := id.Schema + "." + id.Table; {
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
	for _, d := range p.docs() {
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
		if !t.doc.loaded() {
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
	return t.doc
}

// gone ends the load of a table that was dropped.
func (t *tableProgress) gone() {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	if t.doc.State == StateError {
		return
	}
	t.doc.State, t.doc.After, t.doc.AfterKey = StateGone, nil, nil
}

// chunk begins the acknowledgements of one chunk's records.
func (t *tableProgress) chunk(c *snapshot.Chunk) *chunkGroup {
	g := &chunkGroup{table: t, last: c.Last, to: c.To}
	for _, k := range c.Table.Key {
		g.key = append(g.key, c.Table.Columns[k].Name)
	}
	g.open.Store(1) // held by the emitter until all records are put
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	t.queue = append(t.queue, g)
	return g
}

// chunkGroup counts what of a chunk is not acknowledged yet.
type chunkGroup struct {
	table *tableProgress
	key   []string
	to    snapshot.Bound
	last  bool
	rows  uint64
	open  atomic.Int64
	done  bool // covered by the owner's mutex
}

// add announces one more record of the chunk, before it is put.
func (g *chunkGroup) add() { g.open.Add(1) }

// Acked implements kinesisout.Ack.
func (g *chunkGroup) Acked(uint64) {
	if g.open.Add(-1) == 0 {
		g.table.acknowledged(g)
	}
}

// seal says that all records of the chunk have been put, rows of them load records.
func (g *chunkGroup) seal(rows uint64) {
	g.rows = rows
	g.Acked(0)
}

// acknowledged moves the table's progress over all chunks that are through without a gap.
func (t *tableProgress) acknowledged(g *chunkGroup) {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	g.done = true
	for len(t.queue) > 0 && t.queue[0].done {
		head := t.queue[0]
		t.queue = t.queue[1:]
		t.doc.Rows += head.rows
		t.doc.After, t.doc.AfterKey = head.to, head.key
		if head.last {
			t.doc.State, t.doc.After, t.doc.AfterKey = StateCompleted, nil, nil
		}
	}
}
