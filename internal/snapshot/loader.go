package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// ErrVoid is what a window answers for a chunk whose table changed its definition, or was emptied by a DDL
// statement, after the chunk was read. The loader reads the chunk again.
var ErrVoid = errors.New("the table's definition changed while the chunk was read")

// ErrAbandoned is what a window answers when nothing more of the table is wanted: it was suspended, or its load begins
// anew. The loader goes on with the other tables.
var ErrAbandoned = errors.New("the load of the table was given up")

// Stream is the emitter of changes as the loader sees it.
type Stream interface {
	// Open opens a window on a table: from now on the stream notes the key of every change of the table that it
	// emits, and remembers it for guard at least, and for as long as a chunk needs it. One window a table.
	Open(schema, table string, guard time.Duration) (Window, error)
}

// Window is one table's window. It stays open until the table is loaded.
type Window interface {
	// Begin says that the load of the table, as it is defined now, is about to read its first chunk. It returns when
	// readers of the stream are told.
	Begin(ctx context.Context, t *schema.Table) error
	// Mark says that a chunk is about to be read: changes noted from now on (and within the guard before now) take
	// their rows out of it. It returns a mark for Deliver and a position that covers everything emitted so far.
	Mark() (mark Mark, emitted source.Position)
	// Deliver hands a chunk over. The channel gets nil once the stream has passed the chunk's High and all its
	// surviving rows are on their way, in that order, or ErrVoid, or the error that ended the stream. It may block
	// for as long as the target is busy. The chunk belongs to the window from then on.
	Deliver(ctx context.Context, mark Mark, c *Chunk) <-chan error
	// Gone says that the table does not exist any more: there is nothing left to load.
	Gone()
	// Fail says that the table cannot be loaded, whatever is tried. It returns nil if the other tables go on without it.
	Fail(err error) error
	// Close ends the noting.
	Close()
}

// Mark is a moment in a window's life, in the stream's own count: the chunk was read after At, and rows that were noted
// after Since are not to be trusted.
type Mark struct{ At, Since int64 }

// Job is one table to load.
type Job struct {
	Schema, Table string
	After         Bound    // go on behind this key; empty: from the start
	AfterKey      []string // the key columns that After is about; where they are no longer the key, the load starts anew
}

// Config holds what a Loader needs.
type Config struct {
	Server   source.Server
	Connect  func(context.Context) (*client.Conn, error)
	Load     func(ctx context.Context, conn *client.Conn, schema, table string) (*schema.Table, error)
	Stream   Stream
	Rendered schema.Options
	Parallel int // tables at a time; default 8, as DMS's MaxFullLoadSubTasks
	// ChunkBytes is how large a chunk should be. Default 1 MiB: large enough that the statements around a SELECT
	// cost nothing, small enough that 8 tables × 2 chunks stay below 16 MiB and a chunk is read in milliseconds.
	ChunkBytes int
	Log        *slog.Logger
}

// Loader reads the tables of its jobs.
type Loader struct {
	cfg     Config
	visible visibility
	opened  []opened
}

// opened is a job with its window.
type opened struct {
	job    Job
	window Window
}

// New makes a Loader. It does no I/O.
func New(cfg Config) *Loader {
	if cfg.Parallel <= 0 {
		cfg.Parallel = 8
	}
	if cfg.ChunkBytes <= 0 {
		cfg.ChunkBytes = 1 << 20
	}
	return &Loader{cfg: cfg, visible: visibilityFor(cfg.Server)}
}

// Open opens the windows of all jobs. It must be called before the stream emits its first change: where the server
// does not tell what is visible, a chunk needs to know what was emitted some time before it was read.
func (l *Loader) Open(jobs []Job) error {
	for _, job := range jobs {
		w, err := l.cfg.Stream.Open(job.Schema, job.Table, l.visible.guard())
		if err != nil {
			return err
		}
		l.opened = append(l.opened, opened{job, w})
	}
	return nil
}

// Settle is how long after the stream's start position was read the first chunk may be read: commits that stood in the
// binlog before it must be visible by then. 0 where the server tells.
func (l *Loader) Settle() time.Duration { return l.visible.settle() }

// Late is what Settle is where the stream ran already when the windows were opened: how long after Open the first chunk
// may be read. What was emitted before Open was not noted.
func (l *Loader) Late() time.Duration { return max(l.visible.settle(), l.visible.guard()) }

// Run loads all opened jobs, in their order as far as Parallel allows, and returns when the last chunk of each has been
// emitted. Lost connections are made anew for as long as ctx lives.
func (l *Loader) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(l.cfg.Parallel)
	for _, o := range l.opened {
		group.Go(func() error {
			defer o.window.Close()
			if err := l.table(ctx, o.job, o.window); err != nil {
				return fmt.Errorf("full load of table %s.%s: %w", o.job.Schema, o.job.Table, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// table reads one table from its start, or from where an earlier run stopped.
func (l *Loader) table(ctx context.Context, job Job, w Window) error {
	t := &tableLoad{l: l, job: job, window: w, after: job.After, log: l.cfg.Log.With("schema", job.Schema, "table", job.Table)}
	defer t.disconnect()
	if err := t.define(ctx); err != nil {
		return t.ended(err)
	}
	if len(t.after) > 0 && !slices.Equal(t.keyNames(), job.AfterKey) {
		t.log.Warn("the table has another key than when its load began; loading it from the start", "was", job.AfterKey, "is", t.keyNames())
		t.after = nil
	}
	if err := w.Begin(ctx, t.stmt.table); err != nil {
		return err
	}
	return t.ended(t.run(ctx))
}
