package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// closedRun is a run to be stored, with the state of the shard behind it.
type closedRun struct {
	run     *s3sink.Run
	oldest  time.Time
	memory  int64
	through string // the last record that went through the filter
	seen    time.Time
	window  *windowDoc // to be saved behind it; may be nil
}

type uploadResult struct {
	through string // everything up to it is stored
	err     error
}

// prepare loads what is known of the shard and decides where to read from.
func (w *shardWorker) prepare(ctx context.Context) (kinesisin.Request, error) {
	doc := &w.state.doc
	if doc.Version == 0 { // never read before
		doc.Origin = w.start.origin(w.shard.ID)
		doc.Layout = w.layouts.current().version
	}
	for _, v := range w.layouts.since(doc.Layout) {
		w.former = append(w.former, formerLayout{layoutVersion: v})
	}
	w.run = s3sink.NewRun(w.layouts.current().layout.Config().AppendDelimiter)
	w.stored, w.seen, w.windowed = doc.Stored, doc.Seen, time.Now()
	request := kinesisin.Request{Shard: w.shard.ID, From: doc.Origin, Seen: doc.Seen}
	w.fixed = concrete(doc.Origin) && w.state.rev != ""
	if !w.needsFilter() {
		if doc.Stored != "" {
			w.processed = doc.Stored
			request.From = kinesisin.After(doc.Stored)
		}
		return request, nil
	}
	err := w.persist(ctx, func() error { return w.loadWindow(ctx) })
	if w.processed != "" {
		request.From = kinesisin.After(w.processed)
	}
	return request, err
}

func (w *shardWorker) needsFilter() bool {
	return w.layouts.current().layout.Config().Deduplicate ||
		slices.ContainsFunc(w.former, func(f formerLayout) bool { return f.layout.Config().Deduplicate })
}

// loadWindow loads the state of de-duplication, or begins with that of the parents. A state that is ahead of what is
// stored would take records for repeated that nobody stored; it is not used.
func (w *shardWorker) loadWindow(ctx context.Context) error {
	doc, rev, found, err := w.docs.window(ctx, w.shard.ID)
	if err != nil {
		return err
	}
	w.windowRev = rev
	if found && s3sink.CompareSequence(doc.Through, w.stored) <= 0 {
		w.filter = dedupe.New()
		if err := w.filter.UnmarshalBinary(doc.State); err != nil {
			return fmt.Errorf("%w: de-duplication state of %s: %w", errUnusable, w.shard.ID, err)
		}
		w.processed = doc.Through
		if keep := w.docs.about.Retention; keep > 0 && time.Since(doc.Seen) > keep {
			w.cfg.Log.Warn("the saved de-duplication state is older than the stream's retention: records that a writer repeats from before then may be stored again",
				"shard", w.shard.ID, "saved", doc.Seen)
		}
		return nil
	}
	w.filter, err = w.docs.inherited(ctx, w.parents, w.cfg.Log)
	return err
}

// closeRun begins to store the open run, unless another one is being stored.
func (w *shardWorker) closeRun(ctx context.Context) {
	if w.storing != nil {
		return
	}
	w.due = false
	w.timer.Stop()
	if w.run.Empty() {
		return
	}
	w.book()
	_, oldest := w.run.First()
	w.storing = &closedRun{run: w.run, oldest: oldest, memory: w.booked, through: w.processed, seen: w.seen, window: w.windowIfDue()}
	w.run = s3sink.NewRun(w.layouts.current().layout.Config().AppendDelimiter)
	w.booked = 0
	w.budget.hold(w.holder, 0)
	storing := w.storing
	go func() {
		through, err := w.store(ctx, storing)
		w.uploaded <- uploadResult{through, err}
	}()
}

// How much a restart may have to read again before it is where it was.
const (
	windowChanges = dedupe.Window / 2
	windowAge     = 30 * time.Minute
)

// windowIfDue gives the state of de-duplication as it is now, if it is time to save it.
func (w *shardWorker) windowIfDue() *windowDoc {
	if w.filter == nil {
		return nil
	}
	kept := w.filter.Kept() - w.windowAt
	if kept < windowChanges && time.Since(w.windowed) < windowAge {
		return nil
	}
	return w.window()
}

func (w *shardWorker) window() *windowDoc {
	state, err := w.filter.AppendBinary(nil)
	if err != nil {
		w.cfg.Log.Error("de-duplication state cannot be written; a restart reads more again", "shard", w.shard.ID, "error", err)
		return nil
	}
	w.windowAt, w.windowed = w.filter.Kept(), time.Now()
	return &windowDoc{Through: w.processed, Seen: w.seen, State: state}
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// store stores a run and saves that it is stored. It returns up to where the shard is stored.
func (w *shardWorker) store(ctx context.Context, c *closedRun) (string, error) {
	defer func() { w.budget.Add(-c.memory) }()
	through := c.through
	if !w.fixed { // with which record the shard begins must be known before anything of it is stored
		if err := w.persist(ctx, func() error { return w.docs.saveShard(ctx, w.shard.ID, &w.state) }); err != nil {
			return "", err
		}
		w.fixed = true
	}
	for !c.run.Empty() {
		last, err := w.storeObject(ctx, c)
		if err != nil {
			return "", err
		}
		c.run.DropThrough(last)
		if left := c.run.Memory(); left > 0 { // another writer's object ended earlier
			w.budget.Add(left - c.memory)
			c.memory = left
		}
		if s3sink.CompareSequence(last, through) > 0 {
			through = last
		}
	}
	return through, w.saveStored(ctx, through, c.seen, c.window)
}

// storeObject stores what is left of a run as one object.
func (w *shardWorker) storeObject(ctx context.Context, c *closedRun) (last string, err error) {
	select {
	case w.compress <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	buf := bodies.Get().(*bytes.Buffer)
	v := w.layouts.current()
	o, err := c.run.Object(w.chain, v.layout, v.version, buf)
	<-w.compress
	if err != nil {
		return "", fmt.Errorf("make object of %s: %w", w.shard.ID, err)
	}
	size := int64(buf.Cap())
	w.budget.Add(size)
	defer func() {
		w.budget.Add(-size)
		bodies.Put(buf)
	}()
	last, err = w.committer.Store(ctx, o)
	if err == nil {
		w.wrote(o)
	}
	return last, err
}

// saveStored saves that the shard is stored up to a record. The store being away holds nothing up: the next save says
// it all, and without one the objects do.
func (w *shardWorker) saveStored(ctx context.Context, through string, seen time.Time, window *windowDoc) error {
	w.setStored(through, seen)
	return w.trySave(ctx, func(ctx context.Context) error { return w.saveDocs(ctx, window) })
}

func (w *shardWorker) setStored(through string, seen time.Time) {
	doc := &w.state.doc
	doc.Stored, doc.Layout = through, w.layouts.current().version
	if len(w.former) > 0 {
		doc.Layout = w.former[0].version
	}
	if seen.After(doc.Seen) {
		doc.Seen = seen
	}
}

// saveDocs saves the shard's state and then that of de-duplication, which must never be ahead of it.
func (w *shardWorker) saveDocs(ctx context.Context, window *windowDoc) error {
	if err := w.docs.saveShard(ctx, w.shard.ID, &w.state); err != nil || window == nil {
		return err
	}
	rev, err := w.docs.saveWindow(ctx, w.shard.ID, *window, w.windowRev)
	if err == nil {
		w.windowRev = rev
	}
	return err
}

const saveTimeout = 10 * time.Second

// trySave saves once. Only an error that cannot heal is returned.
func (w *shardWorker) trySave(ctx context.Context, save func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	err := save(ctx)
	switch {
	case err == nil:
		w.storeHealth.Working()
	case final(err):
		return err
	case ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded):
		w.storeHealth.Failing(err)
	}
	return nil
}

// saveIdle saves how far a shard was read that has nothing to store: without it, a shard that is idle for longer than
// the stream keeps records could not be told from one whose records were lost.
func (w *shardWorker) saveIdle(ctx context.Context) error {
	if w.storing != nil || !w.run.Empty() || s3sink.CompareSequence(w.processed, w.stored) < 0 {
		return nil
	}
	return w.saveStored(ctx, w.processed, w.seen, w.windowIfDue())
}

// saveEnd saves the shard when all that was held is stored. A child shard begins with its parents' states of
// de-duplication, so they are saved before the shard is said to be at its end.
func (w *shardWorker) saveEnd(ctx context.Context) (finished bool, err error) {
	through := w.processed
	if s3sink.CompareSequence(through, w.stored) < 0 {
		if !w.atEnd {
			return false, nil // it has only been read for the filter; what is saved holds
		}
		through = w.stored
	}
	var window *windowDoc
	if w.filter != nil {
		window = w.window()
	}
	if !w.atEnd {
		return false, w.saveStored(ctx, through, w.seen, window)
	}
	w.setStored(through, w.seen)
	err = w.persist(ctx, func() error {
		w.state.doc.Ended = false
		if err := w.saveDocs(ctx, window); err != nil {
			return err
		}
		w.state.doc.Ended = true
		return w.docs.saveShard(ctx, w.shard.ID, &w.state)
	})
	if errors.Is(err, errGraceOver) {
		return false, nil // everything is stored; the next start finds that out
	}
	return err == nil, err
}
