package pipeline

import (
	"context"
	"hash/maphash"

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
	guard   int64 // how long notes matter to chunks that are read later
	begun   bool  // a chunk was marked
	mark    int64 // of the newest chunk; read or being read
	voidAt  int64 // chunks marked at or before this moment are void
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
	mark int64
	done chan error
}

const firstPrune = 1 << 14

// wanted says whether a note can matter to any chunk.
func (w *window) wanted() bool { return w.begun || w.guard > 0 }

// note remembers that a change of key is emitted at moment now.
func (w *window) note(key []byte, now int64) {
	w.notes[hashKey(key)] = now
	if len(w.notes) >= w.pruneAt {
		w.prune(now)
	}
}

// prune forgets what no chunk needs any more.
func (w *window) prune(now int64) {
	oldest := w.mark
	if !w.begun {
		oldest = now - w.guard
	}
	for _, p := range w.pending {
		oldest = min(oldest, p.mark)
	}
	for k, at := range w.notes {
		if at < oldest {
			delete(w.notes, k)
		}
	}
	w.pruneAt = max(firstPrune, 2*len(w.notes))
}

// touched says whether a change of key was emitted since mark.
func (w *window) touched(key []byte, mark int64) bool {
	at, noted := w.notes[hashKey(key)]
	return noted && at >= mark
}

// void answers all chunks of the table that were read under its old definition.
func (w *window) void(now int64) {
	w.voidAt = now
	for _, p := range w.pending {
		p.done <- snapshot.ErrVoid
	}
	w.pending = nil
}

// Begin implements snapshot.Window. A load that goes on, or that a statement or an operator began, is announced already.
func (w *window) Begin(ctx context.Context, t *schema.Table) error {
	if w.load.snapshot().State != StateBeforeLoad {
		return nil
	}
	if err := w.emitter.announceLoad(ctx, t); err != nil {
		return err
	}
	w.emitter.progress.revise(w.id, func(d *tableDoc) bool {
		if d.State != StateBeforeLoad {
			return false
		}
		d.State = StateFullLoad
		return true
	})
	return nil
}

// Mark implements snapshot.Window.
func (w *window) Mark() (snapshot.Mark, source.Position) {
	w.emitter.mu.Lock()
	defer w.emitter.mu.Unlock()
	now := w.emitter.now()
	w.begun, w.mark = true, now-w.guard
	return snapshot.Mark{At: now, Since: w.mark}, w.emitter.emitted()
}

// Deliver implements snapshot.Window. It emits the chunk itself where the stream has passed its High already.
func (w *window) Deliver(ctx context.Context, mark snapshot.Mark, c *snapshot.Chunk) <-chan error {
	done := make(chan error, 1)
	e := w.emitter
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case w.ended:
		done <- snapshot.ErrAbandoned
		return done
	case mark.At <= w.voidAt:
		done <- snapshot.ErrVoid
		return done
	}
	w.pending = append(w.pending, &pendingChunk{Chunk: c, mark: mark.Since, done: done})
	if err := e.emitChunks(ctx, w); err != nil {
		select {
		case done <- err:
		default: // the chunk was answered before a later one failed
		}
	}
	return done
}

// abandon gives up the load: the table is suspended, or its load must begin anew.
func (w *window) abandon() {
	w.ended = true
	for _, p := range w.pending {
		p.done <- snapshot.ErrAbandoned
	}
	w.pending = nil
}

// Gone implements snapshot.Window.
func (w *window) Gone() { w.load.gone() }

// Fail implements snapshot.Window.
func (w *window) Fail(err error) error {
	w.emitter.mu.Lock()
	defer w.emitter.mu.Unlock()
	return w.emitter.suspend(w.id, err)
}

// Close implements snapshot.Window. A load that was given up for the sake of another one makes room for it.
func (w *window) Close() {
	w.emitter.mu.Lock()
	defer w.emitter.mu.Unlock()
	delete(w.emitter.windows, w.id)
	if w.ended && w.load.snapshot().State == StateReloading {
		w.emitter.dueLoads = append(w.emitter.dueLoads, w.id)
	}
}
