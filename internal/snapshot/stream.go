package snapshot

import (
	"context"
	"errors"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// ErrVoid is what a window answers for a chunk whose table changed its definition, or was emptied by a DDL
// statement, after the chunk was read. The loader reads the chunk again.
var ErrVoid = errors.New("the table's definition changed while the chunk was read")

// ErrGivenUp is what a window answers when nothing more of the table is wanted: it was suspended, another load of it is
// to begin, or the window is closed. The loader goes on with the other tables.
var ErrGivenUp = errors.New("the load of the table was given up")

// Stream is the emitter of changes as the loader sees it.
type Stream interface {
	// Open opens a window on a table: from now on the stream can note the key of every change of the table that it
	// emits, and remembers it for guard at least, and for as long as a chunk needs it. One window a table.
	Open(schema, table string, guard time.Duration) (Window, error)
}

// Window is one table's window. It stays open until the table is loaded. Its methods may be called from any goroutine.
type Window interface {
	// Now is the present moment in the stream's own count. The loader asks for it before it looks at the table's
	// definition: a change of the definition that the stream emits later makes chunks void.
	Now() int64
	// Begin says that the load of the table, as it is defined now, is about to read its first chunk, or, after Hold, to
	// hand it over. It returns when readers of the stream are told, or ErrGivenUp. It comes after every Restart, and
	// before ranges that an earlier run has left.
	Begin(ctx context.Context, t *schema.Table) error
	// Mark says that a chunk is about to be read, under a definition that was looked at after the moment defined.
	// Changes noted from now on, and within the guard before now, take their rows out of it. Mark returns a mark for
	// Deliver and a position that covers everything emitted so far. Every mark is given to Deliver or to Forget.
	Mark(defined int64) (mark Mark, emitted source.Position)
	// Forget gives a mark up: the chunk could not be read.
	Forget(mark Mark)
	// Deliver hands a chunk over. The channel gets nil once the stream has passed the chunk's High and all its
	// surviving rows are on their way, in that order, or ErrVoid or ErrGivenUp, or the error that ended the stream. A
	// part of the rows may be on their way by then. It may block for as long as the target is busy. The chunk belongs to the window from then on, which releases it. Of one
	// range, the next chunk is delivered only when the one before is through.
	Deliver(ctx context.Context, mark Mark, c *Chunk) <-chan error
	// Split cuts a range in two behind the key at, which no chunk has reached yet, and gives the number of the
	// second part. From now on the first part ends with that key. form is what Chunk.Form is.
	Split(number int, at Bound, form []string) int
	// Restart begins the table's load anew, whatever was loaded of it so far: chunks that are on their way become
	// void, and what is left to load is one range, whose number it gives.
	Restart() int
	// Reach waits until the stream has passed a position, by file and offset.
	Reach(ctx context.Context, pos source.Position) error
	// Hold waits for the next boundary between two transactions and keeps the stream there. One hold at a time: a
	// second one waits for the first to be released.
	Hold(ctx context.Context) (Hold, error)
	// Gone says that the table does not exist any more: there is nothing left to load.
	Gone()
	// Fail says that the table cannot be loaded, whatever is tried. It returns nil if the other tables go on without it.
	// Of a load that was given up it says nothing.
	Fail(err error) error
	// Close ends the noting. Chunks that are still on their way are given up. It may be called again.
	Close()
}

// Hold is a stream that stands still between two transactions. Chunks that it has passed are emitted all the same.
type Hold interface {
	// At is where the stream was brought to a halt: it has emitted everything before, and nothing behind.
	At() source.Position
	// RunTo lets the stream go on to the first boundary at or behind pos, by file and offset.
	RunTo(ctx context.Context, pos source.Position) error
	// Changed says whether the stream has emitted a change of the window's table that stands behind pos.
	Changed(pos source.Position) bool
	// Quiet is how long ago the stream emitted the last change of the window's table.
	Quiet() time.Duration
	// Alone says that there is no stream of changes at all: nothing but the rows of loads is ever emitted.
	Alone() bool
	// Release lets the stream go on for good.
	Release()
}

// Mark is a moment in a window's life, in the stream's own count. Rows that were noted at Since or later are not to be
// trusted, and neither is the chunk as a whole if the definition changed at Defined or later.
type Mark struct {
	ID             uint64
	Defined, Since int64
}
