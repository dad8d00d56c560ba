package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSleep(t *testing.T) {
	errStop := errors.New("stop")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		begun := time.Now()
		if err := Sleep(ctx, time.Minute); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("slept %v: %v", time.Since(begun), err)
		}
		time.AfterFunc(time.Second, func() { cancel(errStop) })
		begun = time.Now()
		if err := Sleep(ctx, time.Minute); !errors.Is(err, errStop) || time.Since(begun) != time.Second {
			t.Errorf("slept %v after the context ended: %v", time.Since(begun), err)
		}
	})
}

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	p := Pauses{First: 100 * time.Millisecond, Longest: time.Second}
	for attempt, whole := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		whole *= time.Millisecond
		low, high := whole, time.Duration(0)
		for range 1000 {
			d := p.After(attempt)
			low, high = min(low, d), max(high, d)
		}
		if low < whole/2 || high > whole || high-low < whole/4 {
			t.Errorf("pauses after attempt %d lie between %v and %v, expected %v and %v", attempt, low, high, whole/2, whole)
		}
	}
	if d := p.After(1 << 30); d < p.Longest/2 || d > p.Longest {
		t.Errorf("pause after very many attempts is %v", d)
	}
}
