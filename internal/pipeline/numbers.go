package pipeline

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// A record without a position, which is a load or a control record, has a number instead, by which readers know a copy of
// it that comes late. The number is taken with mu held, and the record put before mu is given away: so numbers follow the
// order of the Puts. Without de-duplication there are none, and 0 stands for that.

// loadNumber is the number that the next load record will have; takeNumber gives it away. It says false while
// there is none, since too many of those before are not acknowledged. Called with mu held.
func (e *emitter) loadNumber() (n uint64, ok bool) {
	if e.numbers == nil {
		return 0, true
	}
	return e.numbers.NextOfMany()
}

func (e *emitter) takeNumber() {
	if e.numbers != nil {
		e.numbers.Take()
	}
}

// controlNumber takes a number for a control record. Called with mu held, which it gives away while there is none: those
// before are acknowledged without the emitter, and changes go on meanwhile.
func (e *emitter) controlNumber(ctx context.Context) (uint64, error) {
	if e.numbers == nil {
		return 0, nil
	}
	for {
		n, ok := e.numbers.Next()
		if ok {
			e.numbers.Take()
			return n, nil
		}
		e.mu.Unlock()
		err := e.numbers.Await(ctx)
		e.mu.Lock()
		if err != nil {
			return 0, err
		}
	}
}

func (e *emitter) numberAcked(n uint64) {
	if n != 0 {
		e.numbers.Acked(n)
	}
}

// starve leaves the rest of a chunk to feed. Called with mu held.
func (e *emitter) starve() {
	select {
	case e.starved <- struct{}{}:
	default:
	}
}

// feed emits what is left of chunks for which there were no numbers, as soon as there are, until ctx is done.
func (e *emitter) feed(ctx context.Context) error {
	for {
		select {
		case <-e.starved:
		case <-ctx.Done():
			return nil
		}
		if e.numbers.AwaitMany(ctx) != nil {
			return nil
		}
		e.mu.Lock()
		err := e.emitAllChunks(ctx)
		e.mu.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fed runs what emits chunks, with feed beside it.
func (e *emitter) fed(ctx context.Context, run func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	feeding, stop := context.WithCancel(ctx)
	group.Go(func() error { return e.feed(feeding) })
	group.Go(func() error {
		defer stop()
		return run(ctx)
	})
	return group.Wait()
}
