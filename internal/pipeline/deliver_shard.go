package pipeline

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// shardWorker delivers one shard. Its goroutine takes what the reader's goroutine brings into the open run; when the
// run is closed, a third goroutine stores it while the next run fills. One run at a time is being stored, so the
// chain of objects grows at its end only; those that wait for it are compressed meanwhile.
type shardWorker struct {
	*Deliver
	shard   kinesisin.Shard
	parents []string // of the shard, as far as they are listed
	layouts *layoutVersions
	docs    *deliverDocs
	start   startDoc
	chain   s3sink.Chain

	batches  chan *kinesisin.Batch
	uploaded chan uploadResult
	pressure chan struct{}
	abort    context.CancelCauseFunc // stops all workers

	share  share
	shared bool   // a conflict means that the shard is another process's
	lose   func() // lets nothing be stored any more

	// Of the worker's goroutine:
	filter    *dedupe.Filter // nil if no layout in use de-duplicates
	former    []formerLayout // layouts of which an object may be there that is to be continued
	batch     *kinesisin.Batch
	next      int    // the next record of batch
	processed string // the last record that went through the filter
	seen      time.Time
	stored    string // everything up to it is stored, by whomever: it is read for the filter only
	gone      bool   // there is nothing behind the batches that were handed over
	atEnd     bool   // the shard's last batch is through
	drained   bool   // there was nothing more after Drain
	run       *s3sink.Run
	finishing *finishing // run is to end where another writer's does, whose first object is stored
	last      judged     // the last record that went through the filter
	held      *judged    // it, if it is not in the run or dropped yet
	booked    int64      // memory of run that the budget knows of
	due       bool       // the run is to be closed as soon as possible
	timer     *time.Timer
	holder    *holder
	storing   *closedRun   // nil if nothing is being stored
	waiting   []*closedRun // to be stored behind it, in this order; none if nothing is being stored
	windowAt  uint64       // how many changes were kept when the window was saved last
	windowed  time.Time

	// Of the storing goroutine while there is one, else of the worker's:
	state     shardState
	follows   atomic.Bool // the next object may be there already
	fixed     bool        // the saved state says with which record the shard begins
	windowRev checkpoint.Revision

	rounds atomic.Uint64 // how often the worker has gone round, or handed a run on
	ending atomic.Bool   // it stores what it holds, which the grace bounds

	mu     sync.Mutex // covers status
	status ShardStatus
}

// work delivers the shard. finished says that it is stored to its end; else the worker was stopped or has drained.
func (w *shardWorker) work(ctx, flushCtx context.Context) (finished bool, err error) {
	request, err := w.prepare(ctx)
	if ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if w.cfg.HashRangeFilter {
		within, err := w.shard.Range()
		if err != nil {
			return false, err
		}
		request.Within = &within
	}
	w.holder = w.budget.join(w.pressure)
	defer w.budget.leave(w.holder)
	w.timer = time.NewTimer(time.Hour)
	w.timer.Stop()
	defer w.timer.Stop()

	readCtx, stopReading := context.WithCancel(ctx)
	reading := make(chan error, 1)
	go func() { reading <- w.stream.Read(readCtx, request, w.hand) }()
	ended, err := w.deliver(ctx, flushCtx, reading)
	stopReading()
	if !ended {
		if readErr := <-reading; err == nil && ctx.Err() == nil && !errors.Is(readErr, context.Canceled) && !kinesisin.IsGone(readErr) {
			err = readErr // it failed in the moment when it was told to end
		}
	}
	w.giveBack()
	if ctx.Err() != nil {
		err = nil // told to stop, by whoever knows why
	}
	switch {
	case err == nil:
	case w.shared && errors.Is(err, checkpoint.ErrConflict):
		w.lose() // what is held is another process's to store
	default:
		w.abort(err) // the time for storing what is held begins
	}
	w.ending.Store(true)
	finished, err = w.finish(flushCtx, err)
	w.abandon() // what could not be stored
	return finished, err
}

// hand gives a batch to the worker, or leaves it for it: one may lie there, so that the next is asked for while it is taken.
func (w *shardWorker) hand(ctx context.Context, b *kinesisin.Batch) error {
	select {
	case w.batches <- b:
		return nil
	case <-ctx.Done():
		w.budget.Add(-b.Reserved)
		return context.Cause(ctx)
	}
}

// deliver takes batches and closes runs until the shard is at its end, has drained, is to stop, or fails. ended says
// that the reader has ended.
func (w *shardWorker) deliver(ctx, flushCtx context.Context, reading <-chan error) (ended bool, err error) {
	save := time.NewTicker(w.cfg.SaveEvery)
	defer save.Stop()
	turn := time.NewTicker(turnEvery)
	defer turn.Stop()
	for {
		w.rounds.Add(1)
		if err := w.take(ctx, flushCtx); err != nil {
			return ended, err
		}
		w.report()
		w.atEnd = w.atEnd || w.gone && w.batch == nil && len(w.batches) == 0
		if w.atEnd || w.drained && w.empty() {
			return ended, nil
		}
		select {
		case w.batch = <-w.incoming():
			w.next = 0
		case <-w.timer.C:
			w.due = true
		case <-w.pressure:
			w.due = true
		case r := <-w.uploaded:
			if err := w.settle(flushCtx, r); err != nil {
				return ended, err
			}
		case <-save.C:
			err = w.saveIdle(flushCtx)
		case <-turn.C: // says that it still goes round
		case readErr := <-reading:
			reading, ended = nil, true
			if w.gone = kinesisin.IsGone(readErr); !w.gone {
				err = readErr // nil once the last batch was handed over
			}
		case <-ctx.Done():
			return ended, nil
		}
		if err != nil {
			return ended, err
		}
	}
}

// incoming is where the next batch comes from, unless there is one already or no room for more.
func (w *shardWorker) incoming() <-chan *kinesisin.Batch {
	if w.batch != nil || w.full() || w.drained && w.finishing == nil {
		return nil
	}
	return w.batches
}

// full reports whether the open run must wait for those that are closed.
func (w *shardWorker) full() bool {
	return w.held != nil || w.closed() > maxWaiting && w.run.Bytes() >= w.size()
}

// empty reports whether nothing is held.
func (w *shardWorker) empty() bool { return w.storing == nil && w.held == nil && w.run.Empty() }

// take moves the batch's records into the run and closes it when it is due.
func (w *shardWorker) take(ctx, flushCtx context.Context) error {
	if w.held != nil {
		if err := w.place(ctx, flushCtx); err != nil {
			return err
		}
	}
	if w.run.Bytes() >= w.size() || w.finishing != nil {
		w.closeRun(flushCtx)
	}
	for w.batch != nil && !w.full() {
		if w.next == len(w.batch.Records) {
			w.endBatch()
			break
		}
		rec := &w.batch.Records[w.next]
		w.next++
		if err := w.takeRecord(ctx, flushCtx, rec); err != nil {
			return err
		}
		if w.run.Bytes() >= w.size() || w.finishing != nil {
			w.due = true
			w.closeRun(flushCtx)
		}
	}
	w.due = w.due || w.drained || w.pause.isPaused()
	if w.due && (w.batch == nil || w.full()) {
		w.closeRun(flushCtx)
	}
	return nil
}

func (w *shardWorker) endBatch() {
	b := w.batch
	w.batch = nil
	if b.Seen.After(w.seen) {
		w.seen = b.Seen
	}
	w.book()
	w.budget.Add(-b.Reserved)
	w.atEnd = b.End
	// A closed shard may have empty answers before the one that says so, and its children wait for that.
	w.drained = w.drained || !w.shard.Closed && b.CaughtUp() && w.isDraining() && b.Asked.After(w.drainTime)
	w.heard(b)
	b.Release() // the run has copies
}

// giveBack lets the batches go that are not taken to their ends; what is left of them is read again. The reader has ended.
func (w *shardWorker) giveBack() {
	if w.batch != nil {
		w.budget.Add(-w.batch.Reserved)
		w.batch = nil
	}
	select {
	case b := <-w.batches:
		w.budget.Add(-b.Reserved)
	default:
	}
}

// judged is a record that went through the filter.
type judged struct {
	rec    *kinesisin.Record
	kept   [][]byte
	drops  drops
	whole  bool   // none of its records has a body elsewhere
	before string // the record that went through before it
}

// under gives what is stored of the record: what the filter kept, or everything.
func (j *judged) under(deduplicate bool) [][]byte {
	if deduplicate {
		return j.kept
	}
	return j.rec.Data
}

// takeRecord judges one record and puts what is kept of it into the run.
func (w *shardWorker) takeRecord(ctx, flushCtx context.Context, rec *kinesisin.Record) error {
	if s3sink.CompareSequence(rec.Sequence, w.processed) <= 0 {
		return nil // read again, as after an expired iterator
	}
	if !concrete(w.state.doc.Origin) && w.storing == nil {
		w.state.doc.Origin = kinesisin.At(rec.Sequence)
	}
	w.last = judged{rec: rec, before: w.processed}
	w.held = &w.last
	w.judge(w.held)
	w.processed = rec.Sequence
	if rec.Arrival.After(w.seen) {
		w.seen = rec.Arrival
	}
	return w.place(ctx, flushCtx)
}

// place puts the record that is held into the run, unless the run must be closed first and cannot be yet: then it is
// held on.
func (w *shardWorker) place(ctx, flushCtx context.Context) error {
	held := w.held
	rec := held.rec
	if s3sink.CompareSequence(rec.Sequence, w.stored) <= 0 {
		w.held = nil
		return nil
	}
	if w.finishing != nil && s3sink.CompareSequence(rec.Sequence, w.finishing.last) > 0 && !w.closeRun(flushCtx) {
		return nil
	}
	if w.finishing == nil && len(w.former) > 0 {
		continued, err := w.continueFormer(ctx, held)
		if err != nil || continued {
			w.held = nil
			return err
		}
	}
	deduplicate := w.run.Layout().Deduplicates() || w.finishing == nil && len(w.former) > 0
	if data := held.under(deduplicate); len(data) > 0 {
		next := w.run.Prepare(rec.Sequence, rec.Arrival, data...)
		next.Whole = held.whole
		if w.finishing == nil && !w.run.Fits(next, w.cfg.Partitions) && !w.closeRun(flushCtx) {
			return nil
		}
		if w.run.Empty() {
			w.timer.Reset(w.interval())
			w.due = w.interval() == 0
		}
		w.run.Append(next)
	}
	if deduplicate && len(held.kept) < len(rec.Data) {
		w.metrics.drop(held.drops)
	}
	w.held = nil
	return nil
}

func concrete(p kinesisin.Position) bool { return p.Sequence != "" }

// drops counts dropped records by verdict.
type drops [dedupe.OtherEpoch + 1]int

// judge takes the record through the filter, and notes what that keeps of it.
func (w *shardWorker) judge(j *judged) {
	data := j.rec.Data
	j.kept = data
	if w.filter == nil {
		return
	}
	j.kept, j.whole = nil, true
	for i, d := range data {
		verdict := w.filter.Check(d)
		j.whole = j.whole && w.filter.Whole()
		switch {
		case verdict != dedupe.Keep:
			j.drops[verdict]++
			if len(j.kept) == i { // the first one that goes: those before it stay where they are
				j.kept = data[:i:i]
			}
		case len(j.kept) == i:
			j.kept = data[:i+1]
		default:
			j.kept = append(j.kept, d)
		}
	}
}

// book tells the budget what the run takes. A run that finishes another writer's cannot be closed early to make room;
// if it were counted, all shards could wait for each other. That writer's own budget bounds what they take together.
func (w *shardWorker) book() {
	now := w.run.Memory()
	if w.finishing != nil {
		now = 0
	}
	w.budget.Add(now - w.booked)
	w.booked = now
	w.budget.hold(w.holder, now)
}

// finishing is a run of which another writer stored the first object, or this one under a former layout, but perhaps
// not all. Where it ends is settled, so the others must be made of the same records.
type finishing struct {
	last  string
	parts int // how many objects the first one says there are
}

// finished reports whether all records of the run that is to be finished have been read.
func (w *shardWorker) finished() bool {
	return w.atEnd || s3sink.CompareSequence(w.processed, w.finishing.last) >= 0
}

// formerLayout is a layout that is no longer in force.
type formerLayout struct {
	layoutVersion
	asked bool // no object of it begins with its first record behind what is stored
}

// continueFormer looks for an object that was stored under a former layout and not yet saved as stored when the
// configuration changed. If there is one, the record is in its run: continued says that nothing is left to do with it,
// else the open run is now the one that is to be finished. Until the question is answered for all former layouts,
// each by the first record that it would have kept, records are kept only if the filter says so.
func (w *shardWorker) continueFormer(ctx context.Context, held *judged) (continued bool, err error) {
	open := false
	rec := held.rec
	for i := range w.former {
		f := &w.former[i]
		if f.asked {
			continue
		}
		data := held.under(f.layout.Config().Deduplicate)
		if len(data) == 0 {
			open = true
			continue
		}
		run := s3sink.NewRun(f.layout, f.version, w.cfg.Bodies)
		run.Add(rec.Sequence, rec.Arrival, data...)
		want := s3sink.Meta{Stream: w.chain.Stream, StreamCreated: w.chain.Created.Unix(), Shard: w.chain.Shard, First: rec.Sequence}
		found, ok, err := w.committer.Find(ctx, run.Key(w.chain), want)
		if err != nil {
			return false, err
		}
		f.asked = true
		if !ok {
			continue
		}
		w.cfg.Log.Info("an object of the former layout is continued", "shard", w.shard.ID, "layout_version", f.version, "last", found.Last)
		version := f.layoutVersion
		w.former = w.former[i:]
		for j := range w.former {
			w.former[j].asked = false
		}
		if found.Parts == 0 {
			w.stored = found.Last
			return true, nil
		}
		w.finishing = &finishing{found.Last, found.Parts}
		w.run = s3sink.NewRun(version.layout, version.version, w.cfg.Bodies)
		return false, nil
	}
	if !open {
		w.former = nil
	}
	return false, nil
}

// settle takes the result of storing a run. After an error nothing may be stored behind it: whether and how far the
// shard is stored is not known.
func (w *shardWorker) settle(ctx context.Context, r uploadResult) error {
	stored := w.storing
	w.storing = nil
	switch {
	case r.err != nil:
	case r.beyond != nil:
		for _, c := range w.recall() {
			stored.run.Join(c.run)
		}
		stored.run.Join(w.run)
		w.run, w.finishing = stored.run, r.beyond
		w.book()
		return nil
	default:
		w.storedThrough(r.through)
		w.storeNext(ctx)
		return nil
	}
	left := w.unstored()
	left.Records, left.Bytes = left.Records+stored.run.Records(), left.Bytes+stored.run.Bytes()
	w.abandon()
	if errors.Is(r.err, errGraceOver) {
		return left
	}
	return r.err
}

// unstored is what is held and not being stored.
func (w *shardWorker) unstored() *UnstoredError {
	left := &UnstoredError{Records: w.run.Records(), Bytes: w.run.Bytes()}
	for _, c := range w.waiting {
		left.Records, left.Bytes = left.Records+c.run.Records(), left.Bytes+c.run.Bytes()
	}
	if w.held != nil {
		left.Records++
	}
	return left
}

// abandon lets go of what is held.
func (w *shardWorker) abandon() {
	w.recall()
	w.run, w.held, w.finishing = w.newRun(), nil, nil
	w.book()
}

// storedThrough drops what another writer has stored already.
func (w *shardWorker) storedThrough(sequence string) {
	if s3sink.CompareSequence(sequence, w.stored) <= 0 {
		return
	}
	w.stored = sequence
	for _, c := range w.waiting {
		w.dropStored(c, sequence)
	}
	w.run.DropThrough(sequence)
	w.book()
}

// finish stores what is held, after reading has ended with cause, and saves how far the shard is.
func (w *shardWorker) finish(ctx context.Context, cause error) (finished bool, err error) {
	for !w.empty() {
		if w.storing == nil && !w.closeRun(ctx) { // the rest of the run to be finished was not read
			left := w.unstored()
			left.Unread = w.finishing.last
			w.abandon()
			return false, errors.Join(cause, left)
		}
		if w.storing != nil {
			if err := w.settle(ctx, <-w.uploaded); err != nil {
				return false, errors.Join(cause, err)
			}
		}
		if w.held != nil {
			if err := w.place(ctx, ctx); err != nil {
				return false, errors.Join(cause, err)
			}
		}
		w.report()
	}
	if cause != nil {
		return false, cause
	}
	return w.saveEnd(ctx)
}
