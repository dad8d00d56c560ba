package pipeline

import (
	"context"
	"errors"
	"time"
)

// during runs fn while background runs, and stops them in that order: fn first, then drain gets grace to empty what
// fn left behind, then background. If background ends by itself, fn's context ends with its error and drain is left
// out; if the lock is lost, drain gets no time, since what is left is another process's. The nesting of calls is the
// order of stopping, which a flat group of goroutines cannot express.
func during(ctx context.Context, background, drain func(context.Context) error, grace time.Duration, fn func(context.Context) error) error {
	fnCtx, stopFn := context.WithCancelCause(ctx)
	defer stopFn(nil)
	bgCtx, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()

	ended := make(chan error, 1)
	go func() {
		err := background(bgCtx)
		ended <- err
		stopFn(err)
		stopBackground() // a drain that counts on it must not wait in vain
	}()

	err := fn(fnCtx)
	select {
	case bgErr := <-ended:
		return firstCause(bgErr, err)
	default:
	}
	if errors.Is(context.Cause(fnCtx), errLockLost) {
		grace = 0
	}
	drainCtx, cancel := context.WithTimeout(bgCtx, grace)
	defer cancel()
	err = errors.Join(err, drain(drainCtx))
	stopBackground()
	if bgErr := <-ended; !errors.Is(bgErr, context.Canceled) {
		err = errors.Join(err, bgErr)
	}
	return err
}

// firstCause avoids telling one failure twice: fn's error is background's where that ended fn.
func firstCause(bgErr, err error) error {
	if bgErr == nil || err != nil && !errors.Is(err, bgErr) && !errors.Is(err, context.Canceled) {
		return errors.Join(bgErr, err)
	}
	return bgErr
}
