package snapshot

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Job is one table to load.
type Job struct {
	Schema, Table string
	Ranges        []Range  // what is left of it, numbered from 0; none: all of it
	Form          []string // what order their bounds are in, as Chunk.Form says. Where it has changed, the load starts anew
}

// whole says whether every bound has a value for each of n key columns. What is saved is not always what was written.
func (j Job) whole(n int) bool {
	fits := func(b Bound) bool { return len(b) == 0 || len(b) == n }
	return !slices.ContainsFunc(j.Ranges, func(r Range) bool { return !fits(r.After) || !fits(r.To) })
}

// Config holds what a Loader needs.
type Config struct {
	Server   source.Server // no other one's rows are read
	Connect  func(context.Context) (*client.Conn, error)
	Load     func(ctx context.Context, conn *client.Conn, schema, table string) (*schema.Table, error)
	Stream   Stream
	Rendered schema.Options
	Parallel int // readers, each with a connection; default 8, as DMS's MaxFullLoadSubTasks
	// ChunkBytes is how large a chunk should be. Default 1 MiB: large enough that the statements around a SELECT
	// cost nothing, small enough that a chunk is read in milliseconds. At most 256 MiB.
	ChunkBytes int
	Budget     *Budget // of memory, may be shared with other Loaders; default 32 MiB for this one
	Log        *slog.Logger
	Health     *outage.Watch // hears how the source is doing; default: one that logs
}

// Loader reads the tables of its jobs. Several may run at the same time, on different tables.
type Loader struct {
	cfg     Config
	visible visibility
	opened  []opened
	arenas  arenas
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
	cfg.ChunkBytes = min(cfg.ChunkBytes, 256<<20)
	if cfg.Budget == nil {
		cfg.Budget = NewBudget(32 << 20)
	}
	if cfg.Health == nil {
		cfg.Health = outage.New(cfg.Log, "source")
	}
	return &Loader{cfg: cfg, visible: visibilityFor(cfg.Server), arenas: arenas{most: 2 * cfg.ChunkBytes}}
}

// Open opens the windows of jobs, and may be called several times. It must be called before the stream emits its first
// change, or Settle before Run: where the server does not tell what is visible, a chunk needs to know what was emitted
// some time before it was read.
func (l *Loader) Open(jobs []Job) error {
	for _, job := range jobs {
		w, err := l.cfg.Stream.Open(job.Schema, job.Table, l.Guard())
		if err != nil {
			return err
		}
		l.Add(job, w)
	}
	return nil
}

// Guard is the guard that a window must be opened with.
func (l *Loader) Guard() time.Duration { return l.visible.guard() }

// Add adds a job whose window was opened by the caller, with Guard.
func (l *Loader) Add(job Job, w Window) { l.opened = append(l.opened, opened{job, w}) }

// Settle is how long after the stream's start position was read, or after the windows were opened, the first chunk may
// be read: commits that stood in the binlog before must be visible by then. 0 where the server tells.
func (l *Loader) Settle() time.Duration { return l.visible.settle() }

// Late is how long after Open the first chunk may be read where the stream ran already: what was emitted before Open was
// not noted. 0 where the server tells what is visible.
func (l *Loader) Late() time.Duration { return max(l.visible.settle(), l.visible.guard()) }

// Run loads all jobs, in their order as far as Parallel allows, and returns when the last chunk of each has been emitted
// and all windows are closed. Tables that no key divides come last, one by one, since the stream stands still for them.
// Lost connections are made anew for as long as ctx lives.
func (l *Loader) Run(ctx context.Context) error {
	p := &pool{}
	for _, o := range l.opened {
		p.tables = append(p.tables, newTableLoad(l, p, o))
	}
	all := p.tables
	defer func() {
		for _, t := range all {
			t.window.Close()
		}
	}()
	group, readers := errgroup.WithContext(ctx)
	for range l.cfg.Parallel {
		group.Go(func() error { return p.serve(readers, l) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return l.passes(ctx, p.undivided)
}

// passes loads the tables that no key divides.
func (l *Loader) passes(ctx context.Context, tables []*tableLoad) error {
	rd := &reader{l: l}
	defer rd.disconnect()
	for _, t := range tables {
		if err := t.named(t.pass(ctx, rd)); err != nil {
			return err
		}
	}
	return nil
}

// reader is a connection to the source that is made when it is needed. One goroutine uses it.
type reader struct {
	l    *Loader
	conn *client.Conn
}

func (r *reader) connect(ctx context.Context) error {
	if r.conn != nil {
		return nil
	}
	conn, err := r.l.cfg.Connect(ctx)
	if err != nil {
		return &connectError{err}
	}
	server, err := source.Describe(ctx, conn)
	if due := r.l.cfg.Server.UUID; err == nil && server.UUID != due {
		err = fmt.Errorf("%w: %s instead of %s", source.ErrServerChanged, server.UUID, due)
	}
	if err != nil {
		source.Close(conn)
		return err
	}
	r.conn = conn
	return nil
}

func (r *reader) disconnect() {
	if r.conn != nil {
		source.Close(r.conn)
		r.conn = nil
	}
}
