package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint/checkpointtest"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
)

// losable is a store whose locks everybody gets, and that tells of their loss when the test says so.
type losable struct {
	checkpoint.Store

	lost chan struct{}
}

func (s *losable) Lock(context.Context, string) (checkpoint.Lock, error) {
	return losableLock{s.lost}, nil
}

type losableLock struct{ lost chan struct{} }

func (l losableLock) Lost() <-chan struct{} { return l.lost }
func (losableLock) Release() error          { return nil }

func TestTenancyEnds(t *testing.T) {
	other := errors.New("a fault of its own")
	conflict := fmt.Errorf("save: %w", checkpoint.ErrConflict)
	for name, tc := range map[string]struct {
		standBy, stop, lose bool
		err                 error // of the work
		want                error
	}{
		"work ends":                              {standBy: true},
		"work fails":                             {standBy: true, err: other, want: other},
		"told to stop":                           {standBy: true, stop: true},
		"told to stop, and the end fails":        {standBy: true, stop: true, err: other, want: other},
		"told to stop when the lock was lost":    {standBy: true, stop: true, lose: true, err: other},
		"told to stop when another one saved":    {standBy: true, stop: true, err: conflict},
		"lost, and nobody wants to stand by":     {lose: true, want: errLockLost},
		"conflict, and nobody wants to stand by": {err: conflict, want: errLockLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &losable{checkpointtest.NewMemory(), make(chan struct{})}
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				tenant := &tenancy{store: store, name: "n", standBy: tc.standBy, log: slog.New(slog.DiscardHandler), health: outage.New(nil, "store")}
				err := tenant.run(ctx, func(ctx context.Context) error {
					if tc.lose {
						close(store.lost)
						<-ctx.Done()
					}
					if tc.stop {
						stop()
					}
					return tc.err
				})
				if !errors.Is(err, tc.want) {
					t.Errorf("run = %v, want %v", err, tc.want)
				}
			})
		})
	}
}

// A process that lost its lock stands by, and works again. What it says of the store does not outlast the session.
func TestTenancyComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &losable{checkpointtest.NewMemory(), make(chan struct{})}
		tenant := &tenancy{store: store, name: "n", standBy: true, log: slog.New(slog.DiscardHandler), health: outage.New(nil, "store")}
		times := 0
		err := tenant.run(t.Context(), func(ctx context.Context) error {
			if times++; times == 1 {
				tenant.health.PartFailing(partCheckpoint, errors.New("the store is away"))
				close(store.lost)
				<-ctx.Done()
				store.lost = make(chan struct{})
				return context.Cause(ctx)
			}
			if !tenant.health.OK() {
				t.Error("the store has answered, and is still said to fail")
			}
			return nil
		})
		if err != nil || times != 2 {
			t.Errorf("run = %v after %d times", err, times)
		}
	})
}
