package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func blockUntilDone(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }

func TestDuringStopsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		err := during(ctx,
			func(ctx context.Context) error {
				err := blockUntilDone(ctx)
				order = append(order, "background")
				return err
			},
			func(context.Context) error { order = append(order, "drain"); return nil },
			time.Minute,
			func(ctx context.Context) error {
				<-ctx.Done()
				order = append(order, "fn")
				return nil
			})
		if err != nil {
			t.Errorf("err = %v, want none", err)
		}
		if got := order; len(got) != 3 || got[0] != "fn" || got[1] != "drain" || got[2] != "background" {
			t.Errorf("stopped in order %v", got)
		}
	})
}

func TestDuringTellsWhyTheBackgroundEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		drained := false
		err := during(t.Context(),
			func(context.Context) error { time.Sleep(time.Second); return broken },
			func(context.Context) error { drained = true; return nil },
			time.Minute, blockUntilDone)
		if !errors.Is(err, broken) {
			t.Errorf("err = %v, want %v", err, broken)
		}
		if drained {
			t.Error("drained into a background that had ended")
		}
	})
}

func TestDuringCutsADrainOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := during(t.Context(), blockUntilDone, blockUntilDone, 5*time.Second, func(context.Context) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want the deadline", err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v, want the grace of 5s", took)
		}
	})
}

func TestDuringEndsADrainWhoseBackgroundFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		err := during(t.Context(),
			func(context.Context) error { time.Sleep(2 * time.Second); return broken },
			blockUntilDone, time.Hour,
			func(context.Context) error { time.Sleep(time.Second); return nil })
		if !errors.Is(err, broken) {
			t.Errorf("err = %v, want %v", err, broken)
		}
	})
}
