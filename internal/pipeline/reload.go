package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
)

// reload makes the load of a table begin anew behind an announcement, whatever state the table is in. Called with mu held.
func (e *emitter) reload(id tableID, a *announcement) {
	e.progress.revise(id, func(d *tableDoc) bool {
		*d = tableDoc{State: StateReloading}
		return true
	})
	delete(e.suspended, id)
	if e.retry != nil {
		e.retry(id.Schema, id.Table)
	}
	a.add(id, record.DropTable, record.CreateTable)
	if w := e.windows[id]; w != nil {
		w.abandon() // its load ends and closes it, and then the next one is due
		return
	}
	e.due(id)
}

// due makes a table one that is to be loaded. Called with mu held.
func (e *emitter) due(id tableID) {
	if !slices.Contains(e.dueLoads, id) {
		e.dueLoads = append(e.dueLoads, id)
	}
}

// reloadRequest is somebody's wish for a table's reload.
type reloadRequest struct {
	id   tableID
	done chan error // takes one answer
}

// takeRequests begins the reloads that were asked for. Called with mu held, at a boundary.
func (e *emitter) takeRequests(ctx context.Context) error {
	requests := e.requests
	e.requests = nil
	var a announcement
	for _, r := range requests {
		e.log.Info("loading a table again, as was asked for", "schema", r.id.Schema, "table", r.id.Table)
		e.reload(r.id, &a)
	}
	err := e.announceNew(ctx, &a)
	for _, r := range requests {
		r.done <- err
	}
	return err
}

// refuseRequests answers those who still wait when the session ends.
func (e *emitter) refuseRequests() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.requests {
		r.done <- ErrNotRunning
	}
	e.requests = nil
}

// startLoads hands the loads that are due over to whoever runs them. Called with mu held, behind their announcements.
func (e *emitter) startLoads() {
	for _, id := range e.dueLoads {
		e.loads.push(id)
	}
	e.dueLoads = nil
}

// loadQueue passes tables from the emitter to the goroutine that loads them. It never blocks the emitter: it holds a
// table once at most.
type loadQueue struct {
	ready chan struct{} // one token while ids is not empty
	ids   chan []tableID
}

func newLoadQueue() *loadQueue {
	q := &loadQueue{ready: make(chan struct{}, 1), ids: make(chan []tableID, 1)}
	q.ids <- nil
	return q
}

func (q *loadQueue) push(id tableID) {
	q.ids <- append(<-q.ids, id)
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// next waits for tables to load.
func (q *loadQueue) next(ctx context.Context) ([]tableID, error) {
	select {
	case <-q.ready:
		ids := <-q.ids
		q.ids <- nil
		return ids, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// reloadsAtOnce is how many tables are loaded at a time beside the stream. Each of the loaders has readers of its own.
const reloadsAtOnce = 2

// reloader loads tables that come to be loaded while everything else streams, until ctx is done.
func (r *Replicate) reloader(ctx context.Context, s *session) error {
	loads, ctx := errgroup.WithContext(ctx)
	loads.SetLimit(reloadsAtOnce)
	for {
		ids, err := s.emitter.loads.next(ctx)
		if err != nil {
			return errors.Join(loads.Wait(), err)
		}
		for _, id := range ids {
			loads.Go(func() error { return r.loadAgain(ctx, s, id) })
		}
	}
}

// loadAgain runs one table's load, in a window that opens while the stream runs.
func (r *Replicate) loadAgain(ctx context.Context, s *session, id tableID) error {
	loader := r.loader(s)
	w := s.emitter.openAgain(id, loader.Guard())
	if w == nil {
		return nil
	}
	loader.Add(snapshot.Job{Schema: id.Schema, Table: id.Table}, w)
	if err := r.mayLoad(ctx, s); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, loader.Late()); err != nil {
		return err
	}
	if err := loader.Run(ctx); err != nil {
		return err
	}
	r.cfg.Log.Info("the table is read again; everything of it is on its way", "schema", id.Schema, "table", id.Table)
	return nil
}

// openAgain opens the window of a table that is to be loaded again. It is nil if there is nothing to do any more: the
// table was dropped, suspended or loaded meanwhile, or a load of it is under way, which then begins anew itself.
func (e *emitter) openAgain(id tableID, guard time.Duration) snapshot.Window {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.progress.table(id, StateReloading).snapshot().State != StateReloading {
		return nil
	}
	if w := e.windows[id]; w != nil {
		w.abandon()
		return nil
	}
	w, err := e.open(id, guard)
	if err != nil { // there is one, which was just looked for
		return nil
	}
	return w
}

// Errors of Reload.
var (
	ErrNotRunning = errors.New("replicate is not running, or has not reached the source yet; try again when /readyz says so")
	ErrCannotLoad = errors.New("this task's migration type is cdc: it loads no tables; set migration_type: full-load-and-cdc, start again " +
		"(with the same checkpoint nothing is loaded by itself), and then reload the table")
)

// UnknownTableError is returned for a table that the task does not replicate.
type UnknownTableError struct {
	Name  string
	Known []string // tables of that name in other schemas, or in another case
}

func (e *UnknownTableError) Error() string {
	s := fmt.Sprintf("table %s is not replicated by this task: write SCHEMA.TABLE, in the case that the source uses", e.Name)
	if len(e.Known) > 0 {
		s += "; there is " + strings.Join(e.Known, ", ")
	}
	return s
}

// Reload sends all rows of a table again while everything else streams: drop-table and create-table in every shard,
// then the rows. It returns once the beginning of the reload is durable: it goes on after any crash from then on.
func (r *Replicate) Reload(ctx context.Context, name string) error {
	e := r.running.Load()
	if e == nil {
		if r.pause.isPaused() {
			return ErrPaused
		}
		return ErrNotRunning
	}
	if !e.reloads {
		return ErrCannotLoad
	}
	id, err := e.progress.find(name)
	if err != nil {
		return err
	}
	request := reloadRequest{id: id, done: make(chan error, 1)}
	e.mu.Lock()
	e.requests = append(e.requests, request)
	e.mu.Unlock()
	if r.running.Load() != e { // it ended in between
		e.refuseRequests()
	}
	select {
	case err := <-request.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the reload of %s was asked for, but has not begun yet: %w", name, context.Cause(ctx))
	}
}
