package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// supervisor starts a worker for every shard that this process is to work on, and ends when there is nothing left.
type supervisor struct {
	*Deliver
	layouts *layoutVersions
	docs    *deliverDocs
	start   startDoc
	shares  shares

	shards  []kinesisin.Shard // as listed last
	have    map[string]share  // to be given back
	running map[string]bool
	stored  map[string]bool // as far as there was something to drain, by this process or another one
	ended   chan workerEnd
	stop    context.CancelCauseFunc // stops all workers
}

type workerEnd struct {
	shard    string
	finished bool // the shard is stored to its end
	drained  bool // and else as far as there was something to drain
	err      error
}

// run supervises until ctx ends, nothing is left to drain, or a worker fails. It waits for all workers: once they are
// told to stop, they have the grace period to store what they hold. The shares last until all workers have ended.
func (s *supervisor) run(ctx context.Context) error {
	below, stopShares := context.WithCancel(context.WithoutCancel(ctx))
	sharing := make(chan error, 1)
	go func() { sharing <- s.shares.run(below) }()
	err := s.runWorkers(ctx)
	for _, share := range s.have {
		share.Release()
	}
	stopShares()
	return errors.Join(err, <-sharing)
}

func (s *supervisor) runWorkers(ctx context.Context) error {
	workCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	flushCtx, stopFlush := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopFlush(nil)
	s.stop = stop
	defer context.AfterFunc(workCtx, func() {
		if errors.Is(context.Cause(workCtx), errLockLost) {
			stopFlush(errLockLost) // what is held is another process's to store
			return
		}
		grace := time.AfterFunc(s.cfg.Grace, func() { stopFlush(errGraceOver) })
		context.AfterFunc(flushCtx, func() { grace.Stop() })
	})()

	err := s.supervise(workCtx, flushCtx)
	s.shares.retire()
	stop(err)
	for len(s.running) > 0 {
		end := <-s.ended
		s.note(end)
		err = errors.Join(err, end.err)
	}
	return err
}

// lookAgain is how often a process that is to drain looks whether others have stored what is theirs.
const lookAgain = time.Second

// supervise starts workers until ctx ends or one fails.
func (s *supervisor) supervise(ctx, flushCtx context.Context) error {
	tick := time.NewTicker(s.cfg.ListEvery)
	defer tick.Stop()
	for list := true; ; {
		s.looks.Add(1)
		err := s.look(ctx, flushCtx, list)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		list = false
		idle := len(s.running) == 0
		var drain <-chan struct{}
		var later <-chan time.Time
		switch {
		case idle && s.isDraining():
			done, err := s.allStored(ctx)
			if done || err != nil {
				return err
			}
			later = time.After(lookAgain)
		case idle:
			drain = s.draining
		}
		select {
		case end := <-s.ended:
			list = s.note(end)
			if end.err != nil {
				return end.err
			}
		case <-s.shares.changes():
		case <-tick.C:
			list = true
		case <-drain:
			list = true
		case <-later:
			list = true
		case <-ctx.Done():
			return nil
		}
	}
}

// note books a worker's end and says whether to look for shards that may begin now.
func (s *supervisor) note(end workerEnd) bool {
	delete(s.running, end.shard)
	s.reading.Forget(end.shard)
	s.mu.Lock()
	delete(s.workers, end.shard)
	s.mu.Unlock()
	share := s.have[end.shard]
	delete(s.have, end.shard)
	if end.finished {
		share.End()
		return true
	}
	if end.drained {
		s.stored[end.shard] = true
		s.shares.decline(end.shard)
	}
	share.Release()
	return false
}

// look starts a worker for each shard that this process is to work on; list says whether to ask the stream for its shards.
func (s *supervisor) look(ctx, flushCtx context.Context, list bool) error {
	if list {
		about, err := s.stream.Describe(ctx) // it may have been deleted and made anew, or keep records for another time
		if err != nil {
			return err
		}
		if s.shards, err = s.stream.Shards(ctx); err != nil {
			return err
		}
		s.know(about, s.shards)
		s.shares.listed(s.shards)
	}
	for ended := true; ended; { // behind one that has ended, its children may begin
		ended = false
		held := s.shares.held()
		for _, id := range slices.Sorted(maps.Keys(held)) {
			if s.running[id] {
				continue
			}
			s.have[id] = held[id]
			done, err := s.begin(ctx, flushCtx, id)
			if err != nil {
				return err
			}
			ended = ended || done && !s.shares.shared()
		}
	}
	return nil
}

// begin starts a worker for a shard that this process has, unless the shard is done.
func (s *supervisor) begin(ctx, flushCtx context.Context, id string) (done bool, err error) {
	state, err := s.state(ctx, id)
	if err != nil {
		return false, err
	}
	if state.doc.Ended {
		s.have[id].End()
		delete(s.have, id)
		return true, nil
	}
	if newest := s.layouts.current().version; state.doc.Layout > newest {
		return false, fmt.Errorf("%s was delivered under layout version %d by another process, and this one has version %d: give all deliver processes the same configuration, and restart this one",
			id, state.doc.Layout, newest)
	}
	i := slices.IndexFunc(s.shards, func(sh kinesisin.Shard) bool { return sh.ID == id })
	w := s.worker(s.shards[i], state)
	w.parents = parentsOf(s.shards[i], s.shards)
	s.launch(ctx, flushCtx, w)
	return false, nil
}

func (s *supervisor) state(ctx context.Context, id string) (state shardState, err error) {
	err = s.persist(ctx, func() (err error) {
		state, err = s.docs.shard(ctx, id)
		return err
	})
	return state, err
}

// allStored reports whether everything that was in the stream when draining began is stored, now that no worker runs.
// Shards that other processes have are looked up; how far they are is told by those processes' clocks.
func (s *supervisor) allStored(ctx context.Context) (bool, error) {
	if !s.shares.shared() {
		return true, nil
	}
	all := true
	for _, sh := range s.shards {
		if s.stored[sh.ID] {
			continue
		}
		finished := s.shares.finished(sh.ID)
		state, err := s.state(ctx, sh.ID)
		if err != nil {
			return false, err
		}
		if finished && !state.doc.Ended {
			return false, fmt.Errorf("%w: the lease of %s says SHARD_END, and checkpoint %s, which must say that it is stored to its end, does not: restore it, or delete the lease to deliver the shard anew",
				errUnusable, sh.ID, s.docs.name("shards", sh.ID))
		}
		switch {
		case state.doc.Ended: // its lease may not say so yet, on which its children wait: begin sees to that
			s.stored[sh.ID] = true
		case s.shares.elsewhere(sh.ID) && state.doc.Seen.After(s.drainTime):
			s.stored[sh.ID] = true
			s.shares.decline(sh.ID)
		default:
			all = false
		}
	}
	return all, nil
}

func (s *supervisor) worker(sh kinesisin.Shard, state shardState) *shardWorker {
	return &shardWorker{
		Deliver: s.Deliver, shard: sh, layouts: s.layouts, docs: s.docs, start: s.start, state: state,
		share: s.have[sh.ID], shared: s.shares.shared(),
		chain:    s3sink.Chain{Stream: s.docs.about.Name, Created: s.docs.about.Created, Shard: sh.ID},
		batches:  make(chan *kinesisin.Batch, 1), // so that the next answer is read while one is taken
		uploaded: make(chan uploadResult, 1),
		pressure: make(chan struct{}, 1),
		abort:    s.stop,
	}
}

func (s *supervisor) launch(ctx, flushCtx context.Context, w *shardWorker) {
	id := w.shard.ID
	s.running[id] = true
	s.mu.Lock()
	s.workers[id] = w
	s.mu.Unlock()
	go func() { s.ended <- s.work(ctx, flushCtx, w) }()
}

// Why a worker is stopped while the others go on.
var (
	errHandOver  = errors.New("the shard is handed over to another process")
	errShardLost = errors.New("the shard is another process's by now, or may be soon")
)

// work lets a worker work as long as this process has its shard. Losing a shard is no fault.
func (s *supervisor) work(ctx, flushCtx context.Context, w *shardWorker) workerEnd {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	flushCtx, cut := context.WithCancelCause(flushCtx)
	defer cut(nil)
	w.lose = func() { cut(errShardLost) }
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		s.watch(w.share, ended, stop, cut)
	}()
	finished, err := w.work(ctx, flushCtx)
	close(ended)
	<-watched
	lost := errors.Is(context.Cause(flushCtx), errShardLost) || w.shared && errors.Is(err, checkpoint.ErrConflict)
	handed := errors.Is(context.Cause(ctx), errHandOver)
	_, unstored := errors.AsType[*UnstoredError](err)
	drained := w.drained && err == nil && !lost && !finished
	switch {
	case err == nil:
	case lost, handed && unstored:
		s.cfg.Log.Warn("a shard went to another process, which reads again what was not stored", "shard", w.shard.ID, "error", err)
		err = nil
	}
	return workerEnd{shard: w.shard.ID, finished: finished, drained: drained, err: err}
}

// watch stops a worker when another process is to have its shard: it may store what it holds, unless the shard is lost.
func (s *supervisor) watch(share share, ended <-chan struct{}, stop, cut context.CancelCauseFunc) {
	wanted := share.Wanted()
	var grace <-chan time.Time
	for {
		select {
		case <-wanted:
			stop(errHandOver)
			wanted, grace = nil, time.After(s.cfg.Grace)
		case <-grace:
			cut(errGraceOver)
		case <-share.Lost():
			cut(errShardLost)
			stop(errShardLost)
			return
		case <-ended:
			return
		}
	}
}
