package pipeline

import (
	"context"
	"hash/maphash"
	"slices"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// tableID names a table at the source.
type tableID struct{ Schema, Table string }

// window is the emitter's side of one table's load. Everything in it is covered by the emitter's mutex.
//
// While it is open it notes when the stream last emitted a change of each key. A chunk keeps a row only if its key was
// not noted since the chunk's mark: such a row had no change between its SELECT and the chunk's High, so it equals the
// table at High. A row that is dropped is not lost, for its newest change has been emitted in full. Hence dropping too
// many noted rows is always safe, and forgetting a note that a chunk still needs never is.
type window struct {
	emitter *emitter
	id      tableID
	notes   map[noteKey]int64
	pruneAt int
	guard   int64            // how long notes matter to chunks that are read later
	marks   map[uint64]int64 // of chunks that are being read: since when notes matter to them
	marked  uint64           // the newest mark's ID
	voidAt  int64            // chunks whose definition was looked at before or at this moment are void
	last    record.Place     // of the newest change of the table that was emitted
	lastAt  int64            // and when that was
	pending []*pendingChunk
	load    *tableProgress
	ended   bool // the load was given up; see abandon
}

// noteKey is a 128-bit hash of a row's key. The row's key itself would be exact, but a window can hold many, and at
// 128 bits no two of them meet.
type noteKey [2]uint64

var noteSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func hashKey(key []byte) noteKey {
	return noteKey{maphash.Bytes(noteSeeds[0], key), maphash.Bytes(noteSeeds[1], key)}
}

// pendingChunk is a chunk that waits for the stream to pass its High.
type pendingChunk struct {
	*snapshot.Chunk
	since   int64
	touched []uint64 // bits of rows whose notes are forgotten; nil: none
	done    chan error

	group *chunkGroup // of what was emitted; nil: nothing yet
	next  int         // the first row that was not looked at
}

const firstPrune = 1 << 14

// wanted says whether a note can matter to any chunk.
func (w *window) wanted() bool { return len(w.marks) > 0 || len(w.pending) > 0 || w.guard > 0 }

// note remembers that a change of a row is emitted. Called with mu held.
func (e *emitter) note(c *change, row [][]byte) (err error) {
	w := c.window
	w.last, w.lastAt = c.at.Place, c.moment
	if !w.wanted() {
		return nil
	}
	if e.rowKey, err = c.plan.AppendRowKey(e.rowKey[:0], row); err != nil {
		return err
	}
	w.notes[hashKey(e.rowKey)] = c.moment
	if len(w.notes) >= w.pruneAt {
		return w.prune(c.moment)
	}
	return nil
}

// prune forgets what no chunk needs any more. Chunks that are read already are told what the notes say of their rows,
// so that the notes need not wait with them, however far behind their High the stream is.
func (w *window) prune(now int64) error {
	for _, p := range w.pending {
		if err := w.settle(p, now); err != nil {
			return err
		}
	}
	oldest := now - w.guard
	for _, since := range w.marks {
		oldest = min(oldest, since)
	}
	for k, at := range w.notes {
		if at < oldest {
			delete(w.notes, k)
		}
	}
	w.pruneAt = max(firstPrune, 2*len(w.notes))
	return nil
}

// settle marks the rows of a chunk that are touched by now.
func (w *window) settle(p *pendingChunk, now int64) error {
	plan, err := w.emitter.plan(p.Table, p.Layout)
	if err != nil {
		return err
	}
	if p.touched == nil {
		p.touched = make([]uint64, (p.Len()+63)/64)
	}
	i := 0
	var key []byte
	for row := range p.Rows() {
		if key, err = plan.AppendRowKey(key[:0], row); err != nil {
			return err
		}
		if w.touchedSince(key, p.since) {
			p.touched[i/64] |= 1 << (i % 64)
		}
		i++
	}
	p.since = max(p.since, now)
	return nil
}

// touchedSince says whether a change of key was emitted at a moment or later.
func (w *window) touchedSince(key []byte, since int64) bool {
	at, noted := w.notes[hashKey(key)]
	return noted && at >= since
}

// keeps says whether row i of a chunk, which has the given key, may be emitted.
func (w *window) keeps(p *pendingChunk, i int, key []byte) bool {
	if p.touched != nil && p.touched[i/64]&(1<<(i%64)) != 0 {
		return false
	}
	return !w.touchedSince(key, p.since)
}

// knowsNothingOf says whether no note can be about a row of a chunk, so that the rows' keys need not be looked at.
func (w *window) knowsNothingOf(p *pendingChunk) bool { return p.touched == nil && len(w.notes) == 0 }

// void answers all chunks of the table that were read under its old definition.
func (w *window) void(now int64) {
	w.voidAt = now
	w.answer(snapshot.ErrVoid)
}

// abandon gives up the load: the table is suspended, or another load of it is to begin.
func (w *window) abandon() {
	w.ended = true
	w.answer(snapshot.ErrGivenUp)
}

// over says whether nothing more of this load is wanted: it was given up, or its window is closed. Called with mu held.
func (w *window) over() bool { return w.ended || w.emitter.windows[w.id] != w }

// answer gives all waiting chunks back.
func (w *window) answer(err error) {
	for _, p := range w.pending {
		p.Release()
		p.group.giveUp()
		p.done <- err
	}
	w.pending = nil
}

// Now implements snapshot.Window.
func (w *window) Now() int64 {
	w.emitter.mu.Lock()
	defer w.emitter.mu.Unlock()
	return w.emitter.now()
}

// Mark implements snapshot.Window.
func (w *window) Mark(defined int64) (snapshot.Mark, source.Position) {
	w.emitter.mu.Lock()
	defer w.emitter.mu.Unlock()
	w.marked++
	m := snapshot.Mark{ID: w.marked, Defined: defined, Since: w.emitter.now() - w.guard}
	w.marks[m.ID] = m.Since
	return m, w.emitter.emitted()
}

// Forget implements snapshot.Window.
func (w *window) Forget(mark snapshot.Mark) {
	w.emitter.mu.Lock()
	defer w.emitter.mu.Unlock()
	delete(w.marks, mark.ID)
}

// Deliver implements snapshot.Window. It emits the chunk itself where the stream has passed its High already.
func (w *window) Deliver(ctx context.Context, mark snapshot.Mark, c *snapshot.Chunk) <-chan error {
	p := &pendingChunk{Chunk: c, since: mark.Since, done: make(chan error, 1)}
	e := w.emitter
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(w.marks, mark.ID)
	if w.over() {
		c.Release()
		p.done <- snapshot.ErrGivenUp
		return p.done
	}
	if mark.Defined <= w.voidAt {
		c.Release()
		p.done <- snapshot.ErrVoid
		return p.done
	}
	w.pending = append(w.pending, p)
	if err := e.emitChunks(ctx, w); err != nil {
		w.drop(p)
		select {
		case p.done <- err:
		default: // the chunk was answered before a later one failed
		}
	}
	return p.done
}

// drop takes a chunk back.
func (w *window) drop(p *pendingChunk) {
	if i := slices.Index(w.pending, p); i >= 0 {
		w.pending = slices.Delete(w.pending, i, i+1)
		p.Release()
	}
}

// Split implements snapshot.Window.
func (w *window) Split(number int, at snapshot.Bound, form []string) int {
	return w.load.split(number, at, form)
}

// Restart implements snapshot.Window.
func (w *window) Restart() int {
	w.emitter.mu.Lock()
	defer w.emitter.mu.Unlock()
	w.void(w.emitter.now())
	return w.load.restart()
}

// Reach implements snapshot.Window.
func (w *window) Reach(ctx context.Context, pos source.Position) error {
	if !w.emitter.streams {
		return nil
	}
	return w.emitter.wait(ctx, pos)
}

// Begin implements snapshot.Window.
func (w *window) Begin(ctx context.Context, t *schema.Table) error {
	switch w.load.announcing(t) {
	case announceOnce:
		if err := w.emitter.announceLoad(ctx, t); err != nil {
			return err
		}
	case announceEverywhere:
		w.emitter.mu.Lock()
		defer w.emitter.mu.Unlock()
		if w.over() { // readers would throw their rows away, and get no others
			return snapshot.ErrGivenUp
		}
		var a announcement
		a.add(w.id, record.DropTable, record.CreateTable)
		if err := w.emitter.announceNew(ctx, &a); err != nil {
			return err
		}
	}
	w.load.announced()
	return nil
}

// Gone implements snapshot.Window.
func (w *window) Gone() {
	w.emitter.mu.Lock()
	defer w.emitter.mu.Unlock()
	if !w.ended { // the load that is to come sees for itself
		w.load.gone()
	}
}

// Fail implements snapshot.Window.
func (w *window) Fail(err error) error {
	w.emitter.mu.Lock()
	defer w.emitter.mu.Unlock()
	if w.over() { // the load that is to come, if one is, sees for itself
		return nil
	}
	return w.emitter.suspend(w.id, err)
}

// Close implements snapshot.Window. A load that was given up for the sake of another one makes room for it. One reader
// may find out that the table is gone, and close, while others wait for their chunks.
func (w *window) Close() {
	w.emitter.mu.Lock()
	defer w.emitter.mu.Unlock()
	w.answer(snapshot.ErrGivenUp)
	w.notes = nil
	if w.emitter.windows[w.id] != w {
		return
	}
	delete(w.emitter.windows, w.id)
	if w.ended && w.load.snapshot().State == StateReloading {
		w.emitter.due(w.id)
	}
}
