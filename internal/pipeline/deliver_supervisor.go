package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// supervisor starts a worker for every shard whose turn has come, and ends when they have.
type supervisor struct {
	*Deliver
	layouts *layoutVersions
	docs    *deliverDocs
	start   startDoc

	running map[string]bool
	done    map[string]bool // read to the end and stored
	drained map[string]bool // stored as far as there was something to drain
	ended   chan workerEnd
	stop    context.CancelCauseFunc // stops all workers
}

type workerEnd struct {
	shard    string
	finished bool // the shard is at its end
	err      error
}

// run supervises until ctx ends, nothing is left to drain, or a worker fails. It waits for all workers: once they are
// told to stop, they have the grace period to store what they hold.
func (s *supervisor) run(ctx context.Context) error {
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
	stop(err)
	for len(s.running) > 0 {
		end := <-s.ended
		s.note(end)
		err = errors.Join(err, end.err)
	}
	return err
}

// supervise starts workers until ctx ends or one fails.
func (s *supervisor) supervise(ctx, flushCtx context.Context) error {
	tick := time.NewTicker(s.cfg.ListEvery)
	defer tick.Stop()
	for look := true; ; {
		if look {
			if err := s.startReady(ctx, flushCtx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		if len(s.running) == 0 && s.isDraining() {
			return nil
		}
		select {
		case end := <-s.ended:
			if end.err != nil {
				s.note(end)
				return end.err
			}
			look = s.note(end)
		case <-tick.C:
			look = true
		case <-s.newlyDraining():
			look = true
		case <-ctx.Done():
			return nil
		}
	}
}

// note books a worker's end and says whether to look for shards that may begin now.
func (s *supervisor) note(end workerEnd) bool {
	delete(s.running, end.shard)
	s.mu.Lock()
	delete(s.workers, end.shard)
	s.mu.Unlock()
	s.done[end.shard] = end.finished
	s.drained[end.shard] = end.err == nil && !end.finished
	return end.err == nil && end.finished
}

// newlyDraining wakes the loop when Drain is called while nothing runs.
func (s *supervisor) newlyDraining() <-chan struct{} {
	if len(s.running) == 0 {
		return s.draining
	}
	return nil
}

// startReady starts a worker for each shard that may be read and is not.
func (s *supervisor) startReady(ctx, flushCtx context.Context) error {
	about, err := s.stream.Describe(ctx) // it may have been deleted and made anew, or keep records for another time
	if err != nil {
		return err
	}
	s.know(about)
	shards, err := s.stream.Shards(ctx)
	if err != nil {
		return err
	}
	saved := map[string]shardState{}
	for _, sh := range shards {
		if s.running[sh.ID] || s.done[sh.ID] || s.drained[sh.ID] {
			continue
		}
		var state shardState
		err := s.persist(ctx, func() (err error) {
			state, err = s.docs.shard(ctx, sh.ID)
			return err
		})
		if err != nil {
			return err
		}
		saved[sh.ID] = state
		s.done[sh.ID] = state.doc.Ended
	}
	for _, sh := range kinesisin.Ready(shards, func(id string) bool { return s.done[id] }) {
		if s.running[sh.ID] || s.drained[sh.ID] {
			continue
		}
		w := s.worker(sh, saved[sh.ID])
		for _, p := range sh.Parents {
			if slices.ContainsFunc(shards, func(l kinesisin.Shard) bool { return l.ID == p }) {
				w.parents = append(w.parents, p)
			}
		}
		s.launch(ctx, flushCtx, w)
	}
	return nil
}

func (s *supervisor) worker(sh kinesisin.Shard, state shardState) *shardWorker {
	return &shardWorker{
		Deliver: s.Deliver, shard: sh, layouts: s.layouts, docs: s.docs, start: s.start, state: state,
		chain:    s3sink.Chain{Stream: s.docs.about.Name, Created: s.docs.about.Created, Shard: sh.ID},
		batches:  make(chan *kinesisin.Batch),
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
	go func() {
		finished, err := w.work(ctx, flushCtx)
		s.ended <- workerEnd{id, finished, err}
	}()
}
