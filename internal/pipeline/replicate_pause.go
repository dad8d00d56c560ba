package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// errPaused is the cause of the end of a session's context when the half is paused. It is a cancellation for whoever asks.
var errPaused = fmt.Errorf("paused by an operator: %w", context.Canceled)

// ErrPaused is returned by Reload while replicate is paused.
var ErrPaused = errors.New("replicate is paused: resume it first (binlogstreamer resume), and then reload the table")

// Pause makes replicate end what it does as a stop would: nothing more is read, what was read is flushed within the grace
// period, a checkpoint is saved. It returns when the pause is durable; Status says when it is complete. The lock is kept.
func (r *Replicate) Pause(ctx context.Context) error { return r.pause.set(ctx, true) }

// Resume ends a pause.
func (r *Replicate) Resume(ctx context.Context) error { return r.pause.set(ctx, false) }

// Paused says whether replicate is paused.
func (r *Replicate) Paused() bool { return r.pause.isPaused() }

// sessions runs one session after the other: a pause ends one, and its end begins the next, as a restart would.
func (r *Replicate) sessions(ctx context.Context) error {
	for {
		if err := r.sitOut(ctx); err != nil {
			return err
		}
		paused, err := r.untilPaused(ctx)
		if !paused || ctx.Err() != nil {
			return err
		}
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			r.cfg.Log.Warn("replicate was paused before everything was flushed; what the stream has not acknowledged is read again when it goes on", "error", err)
		}
	}
}

// untilPaused runs until it ends by itself, ctx ends, or the half is paused.
func (r *Replicate) untilPaused(ctx context.Context) (paused bool, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.pause.tell(func() { stop(errPaused) })
	defer r.pause.tell(nil)
	r.life.begin()
	defer r.life.end()
	err = r.run(ctx)
	return errors.Is(context.Cause(ctx), errPaused), err
}

// sitOut waits for the end of a pause. Meanwhile the source is watched: how far replication falls behind, and how long
// the source still has what a resumption needs.
func (r *Replicate) sitOut(ctx context.Context) error {
	doc, changed := r.pause.now()
	if !doc.Paused {
		return nil
	}
	var saved replicateDoc
	err := persistStore(ctx, changed, func() (err error) {
		saved, err = readReplicate(ctx, r.cfg.Store)
		return err
	})
	if err != nil {
		return err
	}
	r.life.pause(saved)
	defer r.life.end()
	r.ready.Store(true) // a restart would not cure it, so no supervisor should try
	defer r.ready.Store(false)
	r.active.Set(1) // no other process is to do the work
	defer r.active.Set(0)
	ctx, stop := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer stop()
	if r.cfg.Migration != FullLoad && !saved.Position.IsZero() {
		w := &retention{source: r.cfg.Source, saved: func() source.Position { return saved.Position }, every: retentionLooks, log: r.cfg.Log, health: r.sourceHealth}
		lag := &pausedLag{behind: r.metrics.behindSince(saved.Saved)}
		r.metrics.observePause(saved, w, lag)
		defer r.metrics.forget()
		watchers.Go(func() { w.run(ctx) })
		watchers.Go(func() { r.watchLag(ctx, saved.Position, lag) })
	}
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// persistStore reads from the store until that works, or until something else has changed, for which nothing is read.
func persistStore(ctx context.Context, changed <-chan struct{}, read func() error) error {
	for attempt := 0; ; attempt++ {
		err := read()
		if err == nil || ctx.Err() != nil || errors.Is(err, checkpoint.ErrCorrupt) {
			return err
		}
		select {
		case <-changed:
			return nil
		default:
		}
		if err := pauses.Sleep(ctx, attempt); err != nil {
			return err
		}
	}
}

// readReplicate reads the checkpoint without taking a term.
func readReplicate(ctx context.Context, store checkpoint.Store) (doc replicateDoc, err error) {
	raw, _, err := store.Load(ctx, replicateDocument)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return doc, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &doc)
	}
	if err != nil {
		return doc, fmt.Errorf("read the checkpoint of replicate: %w", err)
	}
	return doc, nil
}

// pausedLag is how far a paused half is behind the source.
type pausedLag struct {
	mu     sync.Mutex // covers what follows
	idle   bool       // the source has nothing behind the position
	behind time.Time  // else the oldest of what it has may be as old as this
}

func (l *pausedLag) age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.idle {
		return 0
	}
	return max(0, time.Since(l.behind))
}

// saw notes whether the source had nothing new at a moment.
func (l *pausedLag) saw(idle bool, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = idle
	if idle {
		l.behind = at
	}
}

const pausedLooks = 5 * time.Second

// watchLag looks now and then whether the source's log has grown behind a position.
func (r *Replicate) watchLag(ctx context.Context, at source.Position, lag *pausedLag) {
	for {
		begun := time.Now()
		if end, ok := r.logEnd(ctx, at.ServerUUID); ok {
			lag.saw(end.Compare(at) <= 0, begun)
		}
		if backoff.Sleep(ctx, pausedLooks) != nil {
			return
		}
	}
}

// logEnd is the end of the log of the server that a position belongs to; another one's says nothing.
func (r *Replicate) logEnd(ctx context.Context, uuid string) (source.Position, bool) {
	conn, server, err := r.connect(ctx)
	if err != nil {
		r.sourceHealth.PartFailing(partConnect, err)
		return source.Position{}, false
	}
	defer source.Close(conn)
	if server.UUID != uuid {
		return source.Position{}, false
	}
	end, err := source.CurrentPosition(ctx, conn, server)
	if err != nil {
		r.sourceHealth.PartFailing(partConnect, err)
		return end, false
	}
	r.sourceHealth.PartWorking(partConnect)
	return end, true
}
