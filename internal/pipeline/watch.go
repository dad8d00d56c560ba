package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// watched runs read while the source's log files, and its clock if there is a stop position, are watched beside it.
func (r *Replicate) watched(ctx context.Context, s *session, read func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel()
	watchers.Go(func() { s.retention.run(ctx) })
	if r.cfg.Once || !r.cfg.Stop.IsZero() {
		watchers.Go(func() { r.watchStop(ctx, s) })
	}
	return read(ctx)
}

// The pauses of watchStop: the shortest, and the longest, since clocks are set.
const (
	shortStopPause = 200 * time.Millisecond
	longStopPause  = 5 * time.Minute
)

// watchStop waits until the source's clock has passed the stop position, and tells the emitter where the log ends
// then. A transaction gets its commit time while it holds the log, and the server tells of the end only between two of
// them, so that whatever was committed in time stands before that end, also if nothing ever follows it.
func (r *Replicate) watchStop(ctx context.Context, s *session) {
	for {
		end, wait, err := r.endAtStop(ctx, s.server)
		if err == nil && wait == 0 {
			s.emitter.stopAt(end)
			return
		}
		if backoff.Sleep(ctx, min(max(wait, shortStopPause), longStopPause)) != nil {
			return
		}
	}
}

// endAtStop is the end of the log once the stop position has passed, else the time until then. An error is none to tell of:
// the reader tells when the source is away.
func (r *Replicate) endAtStop(ctx context.Context, server source.Server) (end source.Position, wait time.Duration, err error) {
	conn, err := source.Connect(ctx, r.cfg.Source)
	if err != nil {
		return end, 0, err
	}
	defer source.Close(conn)
	now, err := source.Clock(ctx, conn)
	if err != nil {
		return end, 0, err
	}
	if stop := r.cfg.Stop; !r.cfg.Once && !now.After(stop) {
		return end, stop.Sub(now) + time.Millisecond, nil
	}
	present, err := source.Describe(ctx, conn)
	if err != nil {
		return end, 0, err
	}
	if present.UUID != server.UUID {
		return end, time.Second, nil // the reader will see that, too
	}
	end, err = source.CurrentPosition(ctx, conn, server)
	return end, 0, err
}

// stopAt ends the stream at a position, once the load is complete.
func (e *emitter) stopAt(end source.Position) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop.end = end
}
