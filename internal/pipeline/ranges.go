package pipeline

import (
	"slices"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
)

// rangeDoc is a range of a table that is left to load: the rows behind After, up to and with To.
type rangeDoc struct {
	After []string `json:"after,omitempty"` // empty: from the first row
	To    []string `json:"to,omitempty"`    // empty: to the last row
}

// rangeProgress follows the load of one range of a table: chunks are acknowledged in any order and count in theirs.
// Covered by the owner's mutex, as everything below.
type rangeProgress struct {
	rangeDoc
	number int
	queue  []*chunkGroup
	void   bool // the load began anew; what is acknowledged of it does not count
}

func newTableProgress(p *progress, d tableDoc) *tableProgress {
	t := &tableProgress{owner: p}
	saved := d.Ranges
	if len(saved) == 0 {
		saved = []rangeDoc{{After: d.After}}
	}
	if d.loaded() {
		saved = nil
	}
	d.After, d.Ranges = nil, nil
	t.doc, t.emitted = d, d.State == StateFullLoad || d.State == StateReloading
	for _, r := range saved {
		t.ranges = append(t.ranges, &rangeProgress{rangeDoc: r, number: t.number()})
	}
	return t
}

func (t *tableProgress) number() int {
	t.numbers++
	return t.numbers - 1
}

// saved is what to save. The rest of a table in one piece is saved as it always was.
func (t *tableProgress) saved() tableDoc {
	d := t.doc
	if len(t.ranges) == 1 && len(t.ranges[0].To) == 0 {
		d.After = t.ranges[0].After
		return d
	}
	for _, r := range t.ranges {
		d.Ranges = append(d.Ranges, r.rangeDoc)
	}
	return d
}

// job is what the loader has to do for a table that was saved like this.
func (d tableDoc) job() snapshot.Job {
	j := snapshot.Job{Schema: d.Schema, Table: d.Table, Form: d.AfterKey}
	for _, r := range d.Ranges {
		j.Ranges = append(j.Ranges, snapshot.Range{After: r.After, To: r.To})
	}
	if len(d.After) > 0 {
		j.Ranges = []snapshot.Range{{After: d.After}}
	}
	return j
}

// split cuts a range in two. The number of a range that is none any more is answered with one that is none either.
func (t *tableProgress) split(number int, at snapshot.Bound, form []string) int {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	second := &rangeProgress{rangeDoc: rangeDoc{After: at}, number: t.number()}
	i := slices.IndexFunc(t.ranges, func(r *rangeProgress) bool { return r.number == number })
	if i < 0 {
		return second.number
	}
	first := t.ranges[i]
	first.To, second.To = at, first.To
	t.ranges = slices.Insert(t.ranges, i+1, second)
	t.doc.AfterKey = form
	return second.number
}

// restart forgets what was loaded, and gives the number of the range that is the whole table.
func (t *tableProgress) restart() int {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	rows := t.pace.rows
	t.giveUp()
	if rows > 0 { // else it is asked when the load begins
		t.pace = loadPace{began: time.Now(), rows: rows}
	}
	t.doc.Rows, t.anew = 0, true
	r := &rangeProgress{number: t.number()}
	t.ranges = []*rangeProgress{r}
	return r.number
}

// giveUp leaves nothing to load.
func (t *tableProgress) giveUp() {
	for _, r := range t.ranges {
		r.void = true
	}
	t.ranges, t.doc.AfterKey, t.pace = nil, nil, loadPace{}
}

// chunk begins the acknowledgements of one chunk's records.
func (t *tableProgress) chunk(c *snapshot.Chunk) *chunkGroup {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	g := &chunkGroup{table: t, last: c.Last, to: c.To}
	g.open.Store(1) // held by the emitter until all records are put
	i := slices.IndexFunc(t.ranges, func(r *rangeProgress) bool { return r.number == c.Range })
	if i < 0 { // the table is gone
		g.part = &rangeProgress{void: true}
		return g
	}
	g.part = t.ranges[i]
	g.part.queue = append(g.part.queue, g)
	t.doc.AfterKey, t.emitted = c.Form, true
	return g
}

// acknowledged moves a range's progress over all chunks that are through without a gap.
func (t *tableProgress) acknowledged(g *chunkGroup) {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	g.done = true
	r := g.part
	if r.void {
		return
	}
	for len(r.queue) > 0 && r.queue[0].done {
		head := r.queue[0]
		r.queue = r.queue[1:]
		t.doc.Rows += head.rows
		r.After = head.to
		if head.last {
			t.finish(r)
		}
	}
}

// finish takes a range out of what is left.
func (t *tableProgress) finish(r *rangeProgress) {
	t.ranges = slices.DeleteFunc(t.ranges, func(other *rangeProgress) bool { return other == r })
	if len(t.ranges) == 0 {
		t.doc.State, t.doc.AfterKey = StateCompleted, nil
	}
}
