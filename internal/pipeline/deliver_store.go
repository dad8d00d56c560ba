package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// closedRun is a run to be stored, with the state of the shard behind it.
type closedRun struct {
	run       *s3sink.Run
	finishing *finishing // the run's first object is stored, and where it ends is settled; nil if it is not
	oldest    time.Time
	memory    int64
	through   string // the last record that went through the filter
	seen      time.Time
	layout    int        // the layout version to be saved
	window    *windowDoc // to be saved behind it; may be nil
	ahead     *ahead     // nil if its first object is not made before its turn
}

type uploadResult struct {
	through string     // everything up to it is stored
	beyond  *finishing // the first object is another writer's, and its run goes on behind ours: nothing else was stored
	err     error
}

// prepare loads what is known of the shard and decides where to read from.
func (w *shardWorker) prepare(ctx context.Context) (kinesisin.Request, error) {
	doc := &w.state.doc
	w.follows.Store(true)
	if doc.Version == 0 { // never read before
		doc.Origin = w.start.origin(w.shard.ID)
		doc.Layout = w.layouts.current().version
	}
	for _, v := range w.layouts.since(doc.Layout) {
		w.former = append(w.former, formerLayout{layoutVersion: v})
	}
	w.run = w.newRun()
	w.stored, w.seen, w.windowed = doc.Stored, doc.Seen, time.Now()
	w.resumed(doc.Seen)
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

// newRun is an empty run under the layout in force.
func (w *shardWorker) newRun() *s3sink.Run {
	v := w.layouts.current()
	return s3sink.NewRun(v.layout, v.version, w.cfg.Bodies)
}

// closeRun hands the open run on to be stored, unless there is no room for it behind those that are, or the rest of the
// run that it is to finish has not been read. It reports whether a new run is open now.
func (w *shardWorker) closeRun(ctx context.Context) bool {
	if w.closed() > w.room() || w.finishing != nil && !w.finished() {
		return false
	}
	w.due = false
	w.timer.Stop()
	next := w.newRun()
	through := w.processed
	if w.held != nil {
		through = w.held.before
	}
	if w.finishing != nil {
		next = w.run.CutBehind(w.finishing.last)
		if !next.Empty() || s3sink.CompareSequence(through, w.finishing.last) < 0 {
			through = w.finishing.last
		}
	}
	if w.run.Empty() {
		if w.finishing != nil { // none of it is left in the stream
			w.stored = w.finishing.last
			w.run, w.finishing = next, nil
		}
		return true
	}
	w.book()
	_, oldest := w.run.First()
	c := &closedRun{run: w.run, finishing: w.finishing, oldest: oldest, memory: w.booked, through: through, seen: w.seen, layout: w.layoutNow()}
	if next.Empty() && w.held == nil {
		c.window = w.windowIfDue()
	} else { // something that was read already stays behind
		c.seen = w.run.Arrived()
	}
	if w.run.Version() != w.layouts.current().version {
		next = w.newRun() // nothing is behind a run of a former layout yet
	}
	if next.Empty() && w.run.Bytes() >= w.size() {
		next.Grow(w.run) // the next one will be as full
	}
	w.run, w.finishing = next, nil
	w.booked = 0
	w.book()
	if !w.run.Empty() {
		w.timer.Reset(w.interval())
	}
	w.enqueue(ctx, c)
	return true
}

// layoutNow is the layout version to be saved: a former one as long as objects of it may have to be continued.
func (w *shardWorker) layoutNow() int {
	if len(w.former) > 0 {
		return w.former[0].version
	}
	return w.layouts.current().version
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

// store stores a run and saves that it is stored.
func (w *shardWorker) store(ctx context.Context, c *closedRun) uploadResult {
	defer func() {
		w.withdraw(c)
		w.budget.Add(-c.memory)
	}()
	through := c.through
	if !w.fixed { // with which record the shard begins must be known before anything of it is stored
		if err := w.persist(ctx, func() error { return w.docs.saveShard(ctx, w.shard.ID, &w.state) }); err != nil {
			return uploadResult{err: err}
		}
		w.fixed = true
	}
	for !c.run.Empty() {
		last, beyond, err := w.storeRun(ctx, c)
		if err != nil || beyond != nil {
			return uploadResult{beyond: beyond, err: err}
		}
		w.withdraw(c)
		c.run.DropThrough(last)
		if left := c.run.Memory(); left > 0 && c.finishing == nil { // another writer's run ended earlier
			w.budget.Add(left - c.memory)
			c.memory = left
		}
		if s3sink.CompareSequence(last, through) > 0 {
			through = last
		}
	}
	return uploadResult{through: through, err: w.saveStored(ctx, through, c.seen, c.layout, c.window)}
}

// storeRun stores the run's objects and returns up to where the shard is stored by them. The first one is stored
// before the others, as it decides where the run ends: if it is there already, its run counts, which may be a part of
// ours (then the others are made of that part) or go on behind it (then they can only be made when all is read).
func (w *shardWorker) storeRun(ctx context.Context, c *closedRun) (last string, beyond *finishing, err error) {
	groups := c.run.Groups(w.chain)
	last = c.run.Last()
	if c.finishing != nil {
		last = c.finishing.last
		c.run.EndAt(last)
		if len(groups) != c.finishing.parts {
			w.cfg.Log.Error("the records of a run make another number of objects than its first one says", "severity", "DATALOSS",
				"shard", w.shard.ID, "last", last, "objects", len(groups), "said", c.finishing.parts)
		}
	} else {
		first, err := w.storeObject(ctx, c.run, &groups[0], c.take)
		if err != nil {
			return "", nil, err
		}
		switch order := s3sink.CompareSequence(first.Last, last); {
		case order > 0 && first.Parts > 0:
			return "", &finishing{first.Last, first.Parts}, nil
		case order > 0:
			return first.Last, nil, nil
		case order < 0:
			rest := c.run.CutBehind(first.Last)
			defer func() {
				c.run.Join(rest)
			}()
			last, groups = first.Last, c.run.Groups(w.chain)
		}
	}
	others, ctx := errgroup.WithContext(ctx)
	others.SetLimit(maxCompressors)
	for i := range groups[1:] {
		others.Go(func() error {
			_, err := w.storeObject(ctx, c.run, &groups[1+i], nil)
			return err
		})
	}
	return last, nil, others.Wait()
}

// storeObject stores one object of a run. A worker that goes on where another one was, or where it was itself before a
// restart, may go along a chain of objects that are there already: as long as it does, it asks for each before it makes
// and sends it. made gives the object if it was made before its turn; it may be nil.
func (w *shardWorker) storeObject(ctx context.Context, run *s3sink.Run, g *s3sink.Group, made func() (*s3sink.Object, *bytes.Buffer)) (s3sink.Stored, error) {
	if w.follows.Load() {
		stored, found, err := w.committer.Find(ctx, g.Key(), run.Identity(w.chain, g))
		if err != nil || found {
			if found && stored.Last != run.Last() {
				w.committer.Adopted(g.Key(), stored.Last, run.Last())
			}
			return stored, err
		}
		if g.First() {
			w.follows.Store(false) // the end of the chain
		}
	}
	o, buf, err := w.object(ctx, run, g, made)
	if err != nil {
		return s3sink.Stored{}, err
	}
	defer w.release(buf)
	stored, err := w.committer.Store(ctx, o)
	if err == nil {
		w.wrote(o)
		if stored.Last != o.Meta.Last {
			w.follows.Store(true) // another writer's
		}
	}
	return stored, err
}

// object gives an object that was made, or makes it. Its buffer is counted.
func (w *shardWorker) object(ctx context.Context, run *s3sink.Run, g *s3sink.Group, made func() (*s3sink.Object, *bytes.Buffer)) (*s3sink.Object, *bytes.Buffer, error) {
	if made != nil {
		if o, buf := made(); o != nil {
			return o, buf, nil
		}
	}
	buf := bodies.Get().(*bytes.Buffer)
	o, err := w.makeObject(ctx, run, g, buf)
	if err != nil {
		return nil, nil, err // the buffer may be a large one
	}
	w.budget.Add(int64(buf.Cap()))
	return o, buf, nil
}

// How a record's body that cannot be read is waited for.
const (
	bodyTimeout  = 10 * time.Minute // of one attempt to make an object
	longestPause = 20 * time.Second
)

// makeObject makes one object of a run. It waits for the bodies of records until they can be read.
func (w *shardWorker) makeObject(ctx context.Context, run *s3sink.Run, g *s3sink.Group, buf *bytes.Buffer) (*s3sink.Object, error) {
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, longestPause) {
		o, err := w.tryMake(ctx, run, g, buf)
		if err == nil {
			if run.Spilled() {
				w.bodiesHealth.Working()
			}
			return o, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if _, ok := errors.AsType[*s3sink.BodyError](err); !ok {
			return nil, fmt.Errorf("make object of %s: %w", w.shard.ID, err)
		}
		w.bodiesHealth.Failing(err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (w *shardWorker) tryMake(ctx context.Context, run *s3sink.Run, g *s3sink.Group, buf *bytes.Buffer) (*s3sink.Object, error) {
	select {
	case w.compress <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-w.compress }()
	ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
	defer cancel()
	return run.Object(ctx, w.chain, g, buf)
}

// saveStored saves that the shard is stored up to a record. The store being away holds nothing up: the next save says
// it all, and without one the objects do.
func (w *shardWorker) saveStored(ctx context.Context, through string, seen time.Time, layout int, window *windowDoc) error {
	w.setStored(through, seen, layout)
	return w.trySave(ctx, func(ctx context.Context) error { return w.saveDocs(ctx, window) })
}

func (w *shardWorker) setStored(through string, seen time.Time, layout int) {
	doc := &w.state.doc
	doc.Stored, doc.Layout = through, layout
	if seen.After(doc.Seen) {
		doc.Seen = seen
	}
}

// saveDocs saves the shard's state and then that of de-duplication, which must never be ahead of it.
func (w *shardWorker) saveDocs(ctx context.Context, window *windowDoc) error {
	if err := w.docs.saveShard(ctx, w.shard.ID, &w.state); err != nil {
		return err
	}
	w.share.Progress(w.state.doc.Stored)
	if window == nil {
		return nil
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
	if !w.empty() || s3sink.CompareSequence(w.processed, w.stored) < 0 {
		return nil
	}
	return w.saveStored(ctx, w.processed, w.seen, w.layoutNow(), w.windowIfDue())
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
		return false, w.saveStored(ctx, through, w.seen, w.layoutNow(), window)
	}
	w.setStored(through, w.seen, w.layoutNow())
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
