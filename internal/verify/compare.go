package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// comparison is what is compared so far.
type comparison struct {
	mu     sync.RWMutex // held for reading while a chunk is compared, and for writing while the replay goes on
	tables map[uint32]*progress

	state    sync.Mutex // covers everything below, and the tables' progress
	done     int64      // rows
	suspects int64      // that are not settled
}

// progress is how far the comparison of a table is. It is stored with what it says.
type progress struct {
	TableReport
	Ranges   []snapshot.Range `json:"ranges"`
	Form     []string         `json:"form"`
	Begun    bool             `json:"begun"`
	Read     bool             `json:"read"` // all rows of the source are compared
	Through  bool             `json:"through"`
	Suspects int64            `json:"-"`

	waits bool // NotCompared is about what replicate is doing
}

// of is the progress of a table.
func (c *comparison) of(t *table) *progress {
	c.state.Lock()
	defer c.state.Unlock()
	p := c.tables[t.id]
	if p == nil {
		p = &progress{TableReport: TableReport{Schema: t.schema, Table: t.name}}
		if c.tables == nil {
			c.tables = map[uint32]*progress{}
		}
		c.tables[t.id] = p
	}
	return p
}

// attempts is how often the comparison of a table may begin.
const attempts = 5

// compareAll compares all tables. Those that are emptied or loaded anew meanwhile are begun with again.
func (v *verification) compareAll(ctx context.Context) error {
	for _, t := range v.tables {
		if _, err := v.db.load(entry(progressEntry, t.id), v.compare.of(t)); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		if err := v.loaded(ctx); err != nil {
			return err
		}
		if err := v.toEnd(ctx); err != nil {
			return err
		}
		open, err := v.openTables(n)
		if err != nil || len(open) == 0 {
			return err
		}
		if err := v.comparePass(ctx, open); err != nil {
			return err
		}
	}
}

// toEnd lets the replay pass everything that the source has now.
func (v *verification) toEnd(ctx context.Context) error {
	end, err := v.end(ctx)
	if err != nil {
		return err
	}
	return v.advance(ctx, end)
}

// openTables are the tables that are to be compared in pass n. The marks of those that changed as a whole are removed.
func (v *verification) openTables(n int) (open []*table, err error) {
	v.replay.mu.Lock()
	defer v.replay.mu.Unlock()
	for _, t := range v.tables {
		p := v.compare.of(t)
		if p.NotCompared == "" && t.unknown != "" {
			p.NotCompared = t.unknown
		}
		if (t.changed || p.waits) && (p.Begun || p.Through) {
			*p = progress{waits: p.waits, TableReport: TableReport{Schema: t.schema, Table: t.name, NotCompared: p.NotCompared, Passing: p.Passing}}
			if err := v.db.forget(t.id, markEntry, suspectEntry, progressEntry); err != nil {
				return nil, err
			}
		}
		t.changed = false
		if p.NotCompared != "" || p.Through {
			continue
		}
		if n >= attempts {
			p.NotCompared, p.Passing = "it is emptied or loaded anew all the time", true
			continue
		}
		open = append(open, t)
	}
	return open, nil
}

// comparePass compares tables: those with a key all together, the others one by one.
func (v *verification) comparePass(ctx context.Context, open []*table) error {
	var keyed, others []*table
	for _, t := range open {
		if len(t.keyNames) > 0 {
			keyed = append(keyed, t)
		} else {
			others = append(others, t)
		}
	}
	if err := v.readRows(ctx, keyed); err != nil {
		return err
	}
	if err := v.settleAll(ctx); err != nil {
		return err
	}
	for _, t := range keyed {
		if err := v.extras(ctx, t); err != nil {
			return err
		}
	}
	for _, t := range others {
		if err := v.multiset(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// readRows reads the rows of tables in chunks and compares them with what the replay holds now. Rows that are not the
// same become suspects.
func (v *verification) readRows(ctx context.Context, tables []*table) error {
	l := v.loader(&windows{v})
	var jobs []snapshot.Job
	for _, t := range tables {
		p := v.compare.of(t)
		if p.Read {
			continue
		}
		jobs = append(jobs, snapshot.Job{Schema: t.schema, Table: t.name, Ranges: p.Ranges, Form: p.Form})
	}
	if len(jobs) == 0 {
		return nil
	}
	if err := errors.Join(l.Open(jobs), l.Run(ctx)); err != nil {
		return err
	}
	for _, t := range tables {
		if p := v.compare.of(t); !v.hasChanged(t) && p.NotCompared == "" {
			p.Read = true
			if err := setJSON(v.db.DB, entry(progressEntry, t.id), p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verification) loader(w *windows) *snapshot.Loader {
	return snapshot.New(snapshot.Config{
		Server:   v.server,
		Connect:  func(ctx context.Context) (*client.Conn, error) { return source.Connect(ctx, v.cfg.Source) },
		Load:     source.LoadTable,
		Stream:   w,
		Rendered: v.cfg.Rendered,
		Parallel: v.cfg.Parallel,
		Log:      v.cfg.Log,
	})
}

// windows stands where the stream of changes stands in a full load: the loader hands it the chunks.
type windows struct{ v *verification }

// Open implements snapshot.Stream.
func (w *windows) Open(schemaName, name string, _ time.Duration) (snapshot.Window, error) {
	t := w.v.replay.tables[tableName{schemaName, name}]
	return &window{v: w.v, t: t, p: w.v.compare.of(t), encoders: map[*schema.TextLayout]*encoders{}}, nil
}

// window is one table's: it compares chunks in place of emitting them.
type window struct {
	v *verification
	t *table

	mu       sync.Mutex // covers everything below, except what comparison.state covers
	p        *progress
	encoders map[*schema.TextLayout]*encoders
	chunk    func(*snapshot.Chunk) error // in place of comparing it by keys; nil: that
}

// encoders are those of one definition that are free.
type encoders struct {
	table *schema.Table
	free  []*encoder
}

// Now implements snapshot.Window.
func (w *window) Now() int64 { return 0 }

// Begin implements snapshot.Window.
func (w *window) Begin(_ context.Context, t *schema.Table) error {
	var names []string
	for _, c := range t.Key {
		names = append(names, t.Columns[c].Name)
	}
	if fmt.Sprint(names) != fmt.Sprint(w.t.keyNames) {
		return errors.Join(w.Fail(errKeyChanged), snapshot.ErrGivenUp)
	}
	w.v.compare.state.Lock()
	defer w.v.compare.state.Unlock()
	w.p.Begun = true
	return nil
}

var errKeyChanged = errors.New("the table's key has changed since the verification began: begin anew with --restart")

// Mark implements snapshot.Window: a SELECT is to see everything that is replayed.
func (w *window) Mark(int64) (snapshot.Mark, source.Position) {
	w.v.compare.mu.RLock()
	defer w.v.compare.mu.RUnlock()
	return snapshot.Mark{}, w.v.passed
}

// Forget implements snapshot.Window.
func (w *window) Forget(snapshot.Mark) {}

// Deliver implements snapshot.Window: it compares.
func (w *window) Deliver(ctx context.Context, _ snapshot.Mark, c *snapshot.Chunk) <-chan error {
	done := make(chan error, 1)
	done <- w.deliver(ctx, c)
	return done
}

func (w *window) deliver(ctx context.Context, c *snapshot.Chunk) error {
	defer c.Release()
	if w.chunk != nil {
		return w.chunk(c)
	}
	if err := w.compare(c); err != nil {
		return err
	}
	return w.v.settleSome(ctx)
}

func (w *window) take(c *snapshot.Chunk) (*encoder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	set := w.encoders[c.Layout]
	if set == nil {
		set = &encoders{table: c.Table}
		w.encoders[c.Layout] = set
	}
	if n := len(set.free); n > 0 {
		e := set.free[n-1]
		set.free = set.free[:n-1]
		return e, nil
	}
	return w.v.encoder(c.Table, c.Layout)
}

func (w *window) give(c *snapshot.Chunk, e *encoder) {
	w.mu.Lock()
	defer w.mu.Unlock()
	set := w.encoders[c.Layout]
	set.free = append(set.free, e)
}

// compare compares the rows of a chunk, and stores what it found together with how far it got.
func (w *window) compare(c *snapshot.Chunk) error {
	v := w.v
	v.compare.mu.RLock()
	defer v.compare.mu.RUnlock()
	if v.hasChanged(w.t) {
		return snapshot.ErrGivenUp
	}
	e, err := w.take(c)
	if err != nil {
		return err
	}
	defer w.give(c, e)
	b := v.db.NewBatch()
	found, err := w.rows(c, e, b)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	v.compare.state.Lock()
	defer v.compare.state.Unlock()
	w.p.add(found)
	w.p.reach(c)
	v.compare.done += found.Rows + found.NotCovered
	v.compare.suspects += found.Suspects
	if err := setJSON(b, entry(progressEntry, w.t.id), w.p); err != nil {
		return errors.Join(err, b.Close())
	}
	v.progress(Progress{Phase: "comparing rows", Unit: "rows", Done: v.compare.done, Total: v.rows, Note: w.t.full()})
	return commit(b)
}

// rows compares the rows of a chunk.
func (w *window) rows(c *snapshot.Chunk, e *encoder, b *pebble.Batch) (found progress, err error) {
	v := w.v
	v.replay.mu.RLock()
	defer v.replay.mu.RUnlock()
	covered := v.covered(w.t)
	var at []byte
	for row := range c.Rows() {
		key, err := e.rowKey(row)
		if err != nil {
			return found, err
		}
		if !w.t.sampled(key) {
			continue
		}
		at = appendEntry(at[:0], markEntry, w.t.id, key)
		if err := b.Set(at, nil, nil); err != nil {
			return found, err
		}
		data, err := e.row(row)
		if err != nil {
			return found, err
		}
		same, known, err := v.replay.holds(w.t, at, data)
		switch {
		case err != nil:
			return found, err
		case !known && !covered:
			found.NotCovered++
			continue
		case !same:
			found.Suspects++
			at[0] = suspectEntry
			if err := b.Set(at, nil, nil); err != nil {
				return found, err
			}
		}
		found.Rows++
	}
	return found, nil
}

// holds says whether the replay holds a row; at is the key of an entry of it, whose kind does not matter.
func (r *replay) holds(t *table, at, data []byte) (same, known bool, err error) {
	kind := at[0]
	at[0] = rowEntry
	value, done, err := r.db.Get(at)
	at[0] = kind
	if errors.Is(err, pebble.ErrNotFound) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	h, err := parseHeld(value)
	same = err == nil && t.alive(&h) && sameRow(h.data, data)
	return same, true, errors.Join(err, done.Close())
}

// covered says whether every row of a table must have a record in what is replayed. The caller holds the replay's mutex.
func (v *verification) covered(t *table) bool {
	return v.cfg.Loads && t.created && v.cfg.Since.IsZero()
}

func (v *verification) hasChanged(t *table) bool {
	v.replay.mu.RLock()
	defer v.replay.mu.RUnlock()
	return t.changed
}

func (p *progress) add(found progress) {
	p.Rows += found.Rows
	p.NotCovered += found.NotCovered
	p.Suspects += found.Suspects
}

// reach says that a chunk is through.
func (p *progress) reach(c *snapshot.Chunk) {
	p.Form = c.Form
	if c.Range >= len(p.Ranges) {
		return
	}
	r := &p.Ranges[c.Range]
	r.After = c.To
	if c.Last {
		r.To = c.To // nothing is left of it
	}
}

// Split implements snapshot.Window.
func (w *window) Split(number int, at snapshot.Bound, form []string) int {
	w.v.compare.state.Lock()
	defer w.v.compare.state.Unlock()
	rest := snapshot.Range{After: at, To: w.p.Ranges[number].To}
	w.p.Ranges[number].To = at
	w.p.Ranges = append(w.p.Ranges, rest)
	w.p.Form = form
	return len(w.p.Ranges) - 1
}

// Restart implements snapshot.Window: the table is read from its start.
func (w *window) Restart() int {
	w.v.compare.state.Lock()
	defer w.v.compare.state.Unlock()
	again := w.p.Begun
	*w.p = progress{TableReport: TableReport{Schema: w.t.schema, Table: w.t.name}, Ranges: []snapshot.Range{{}}}
	if again {
		// What fails here fails at the next chunk as well, which then says so.
		_ = w.v.db.forget(w.t.id, markEntry, suspectEntry)
	}
	return 0
}

// Reach implements snapshot.Window.
func (w *window) Reach(context.Context, source.Position) error { return nil }

// Hold implements snapshot.Window. Nothing has to be held: no row is emitted.
func (w *window) Hold(context.Context) (snapshot.Hold, error) {
	w.v.compare.mu.RLock()
	defer w.v.compare.mu.RUnlock()
	return hold{w.v.passed}, nil
}

// Gone implements snapshot.Window: the table was dropped.
func (w *window) Gone() { _ = w.Fail(errGone) }

var errGone = errors.New("it does not exist any more")

// Fail implements snapshot.Window.
func (w *window) Fail(err error) error {
	w.v.compare.state.Lock()
	defer w.v.compare.state.Unlock()
	if !errors.Is(err, snapshot.ErrGivenUp) {
		w.p.NotCompared = err.Error()
	}
	return nil
}

// Close implements snapshot.Window.
func (w *window) Close() {}

// hold is a stream that emits nothing.
type hold struct{ at source.Position }

func (h hold) At() source.Position                        { return h.at }
func (hold) RunTo(context.Context, source.Position) error { return nil }
func (hold) Changed(source.Position) bool                 { return false }
func (hold) Quiet() time.Duration                         { return time.Hour }
func (hold) Alone() bool                                  { return true }
func (hold) Release()                                     {}
