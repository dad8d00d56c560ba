package kinesisout

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstPause = 50 * time.Millisecond
	maxPause   = 5 * time.Second
)

// backoff spreads repeated attempts: pauses double up to a bound, and a random half of each keeps lanes apart.
type backoff struct{ attempt int }

func (b *backoff) reset() { b.attempt = 0 }

func (b *backoff) next() time.Duration {
	d := min(firstPause<<min(b.attempt, 10), maxPause)
	b.attempt++
	return d/2 + rand.N(d/2+1)
}

// sleep waits for d, or until ctx is done or stop is closed, which may be nil.
func sleep(ctx context.Context, stop <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-stop:
	case <-ctx.Done():
	}
}
