package kinesisout

import (
	"context"
	"sync"
	"sync/atomic"
)

// senders are the goroutines that make requests, each one at a time. One of them stands at the line; when it leaves with a
// request, another one takes its place, so that there is always one for what comes next. There are as many as requests on
// their way, and one more; those that are left over when a time of slow answers has passed end.
type senders struct {
	line   *line
	cancel context.CancelCauseFunc // with what ends the Writer
	stop   chan struct{}           // closed when no more requests are to be made
	turn   chan struct{}           // one token: nobody stands at the line
	group  sync.WaitGroup
	free   atomic.Int32 // those that wait for their turn
}

func newSenders(line *line, cancel context.CancelCauseFunc) *senders {
	return &senders{line: line, cancel: cancel, stop: make(chan struct{}), turn: make(chan struct{}, 1)}
}

// begin starts the first sender.
func (s *senders) begin(ctx context.Context) {
	s.turn <- struct{}{}
	s.add(ctx)
}

// end waits for the requests that are on their way, and lets no more follow.
func (s *senders) end() {
	close(s.stop)
	s.group.Wait()
}

// add starts one more sender.
func (s *senders) add(ctx context.Context) {
	s.group.Go(func() {
		for s.await(ctx) && s.serve(ctx) {
			if int(s.free.Load()) > s.line.most {
				return
			}
		}
	})
}

// serve makes the next request, and what may leave when it is settled, and so on. It says whether there may be more later.
func (s *senders) serve(ctx context.Context) (more bool) {
	r := s.line.next(ctx, s.stop)
	if r == nil {
		return false
	}
	s.pass(ctx)
	for r != nil {
		if err := r.send(ctx); err != nil {
			s.cancel(err)
			return false
		}
		r = s.line.again(ctx, s.stop, r)
	}
	return true
}

// await waits for the turn.
func (s *senders) await(ctx context.Context) bool {
	s.free.Add(1)
	defer s.free.Add(-1)
	select {
	case <-s.turn:
		return true
	case <-s.stop:
		return false
	case <-ctx.Done():
		return false
	}
}

// pass gives the turn to another one.
func (s *senders) pass(ctx context.Context) {
	if s.free.Load() == 0 {
		s.add(ctx)
	}
	s.turn <- struct{}{}
}
