package kinesisout

import (
	"context"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// pauses are those between attempts of one lane or one call.
var pauses = backoff.Pauses{First: 50 * time.Millisecond, Longest: 5 * time.Second}

// pause is how long to wait after one more attempt.
func (l *lane) pause() time.Duration {
	l.attempt++
	return pauses.After(l.attempt - 1)
}

// sleep waits for d, or until ctx is done or stop is closed.
func sleep(ctx context.Context, stop <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-stop:
	case <-ctx.Done():
	}
}
