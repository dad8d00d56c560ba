package pipeline

import (
	"context"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/ctxsync"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// hold keeps the stream of changes standing between two transactions, for the load of a table that no key divides.
// Back-pressure does the rest: the binlog reader waits in Begin, Schema or Commit, and the source keeps its log.
type hold struct {
	w     *window
	at    source.Position // where the stream was brought to a halt
	until source.Position // the stream may go on to the first boundary at or behind it
}

// holds is the hold that is in force. Covered by the emitter's mutex.
type holds struct {
	current *hold
	changed ctxsync.Cond // there is something new for those who wait
}

// standing says whether the stream is where the hold wants it. A full load alone has no stream. Called with mu held.
func (e *emitter) standing() bool {
	h := e.hold.current
	return h != nil && (!e.streams || !e.tx.open && e.at.Compare(h.until) >= 0)
}

// held waits for as long as the stream must stand still. It is called with mu held, between two transactions, and
// gives mu away meanwhile.
func (e *emitter) held(ctx context.Context) error {
	for e.standing() {
		e.hold.changed.Broadcast()
		if err := e.hold.changed.Wait(ctx, &e.mu); err != nil {
			return err
		}
	}
	return nil
}

// Hold implements snapshot.Window.
func (w *window) Hold(ctx context.Context) (snapshot.Hold, error) {
	e := w.emitter
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.hold.current != nil {
		if err := e.hold.changed.Wait(ctx, &e.mu); err != nil {
			return nil, err
		}
	}
	h := &hold{w: w}
	e.hold.current = h
	for !e.standing() {
		if err := e.hold.changed.Wait(ctx, &e.mu); err != nil {
			e.hold.current = nil
			e.hold.changed.Broadcast()
			return nil, err
		}
	}
	h.at = e.emitted()
	return h, nil
}

// At implements snapshot.Hold.
func (h *hold) At() source.Position { return h.at }

// RunTo implements snapshot.Hold.
func (h *hold) RunTo(ctx context.Context, pos source.Position) error {
	e := h.w.emitter
	e.mu.Lock()
	defer e.mu.Unlock()
	h.until = pos
	e.hold.changed.Broadcast()
	for !e.standing() {
		if err := e.hold.changed.Wait(ctx, &e.mu); err != nil {
			return err
		}
	}
	return nil
}

// Changed implements snapshot.Hold.
func (h *hold) Changed(pos source.Position) bool {
	e := h.w.emitter
	e.mu.Lock()
	defer e.mu.Unlock()
	last := h.w.last
	return last.File != "" && pos.Before(source.Position{File: last.File, Offset: last.EventEnd})
}

// Quiet implements snapshot.Hold.
func (h *hold) Quiet() time.Duration {
	e := h.w.emitter
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Duration(e.now() - h.w.lastAt)
}

// Alone implements snapshot.Hold.
func (h *hold) Alone() bool { return !h.w.emitter.streams }

// Release implements snapshot.Hold.
func (h *hold) Release() {
	e := h.w.emitter
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hold.current == h {
		e.hold.current = nil
		e.hold.changed.Broadcast()
	}
}
