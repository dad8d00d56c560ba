// Package backoff waits. It promises that no wait outlives its context, and that those who fail together do not try
// again together.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Sleep waits for d, or until ctx is done and then says why.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Pauses are the waits between attempts: they double from First up to Longest, and up to half of each is taken off at
// random.
type Pauses struct {
	First   time.Duration
	Longest time.Duration
}

// After is how long to wait once an attempt has failed; attempts count from 0.
func (p Pauses) After(attempt int) time.Duration {
	d := min(p.First, p.Longest)
	for ; attempt > 0 && d < p.Longest; attempt-- {
		d = min(2*d, p.Longest)
	}
	return d/2 + rand.N(d/2+1)
}

// Sleep waits for After(attempt), or until ctx is done and then says why.
func (p Pauses) Sleep(ctx context.Context, attempt int) error {
	return Sleep(ctx, p.After(attempt))
}
