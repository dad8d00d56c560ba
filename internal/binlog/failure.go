package binlog

import (
	"context"
	"sync"
	"sync/atomic"
)

// tableFailed tells the Handler that a table's rows cannot be read. Where it goes on without them, so does the Reader.
func (s *stream) tableFailed(ctx context.Context, tab *table, e *TableError) error {
	if err := handled(s.h.TableFailed(ctx, e)); err != nil {
		return err
	}
	tab.failed = true
	s.r.metrics.passed.Inc()
	s.r.cfg.Logger.Warn("the rows of a table are passed over from here on", "schema", tab.schema, "table", tab.name,
		"file", e.Place.File, "offset", e.Place.EventStart, "error", e.Err)
	return nil
}

// unreadable deals with a rows event that cannot be handed over.
func (s *stream) unreadable(ctx context.Context, tab *table, e *TableError) error {
	if done, err := s.turn(); done || err != nil {
		return err
	}
	return s.tableFailed(ctx, tab, e)
}

// passOver deals with a rows event of a table that has failed before.
func (s *stream) passOver() error {
	done, err := s.turn()
	if !done && err == nil {
		s.r.metrics.passed.Inc()
	}
	return err
}

// Retry makes the Reader try a failed table again from the next transaction on. It may be called from any goroutine.
func (r *Reader) Retry(schema, table string) { r.retries.add(schema, table) }

// retries are the tables that are to be tried again.
type retries struct {
	some  atomic.Bool // a look at it costs less than one at the list
	mu    sync.Mutex
	names [][2]string
}

func (r *retries) add(schema, table string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, [2]string{schema, table})
	r.some.Store(true)
}

// apply lets the tables be tried again. Their definitions are read anew.
func (r *retries) apply(t *tables) {
	if !r.some.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.names {
		t.look(n[0], n[1])
	}
	r.names = nil
	r.some.Store(false)
}
