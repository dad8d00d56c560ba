package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
)

// tenancy is the right of one process to run a half: the half's lock in the checkpoint store. Nothing that must hold
// depends on it; terms, conditional saves and create-only objects see to that. It keeps two processes from doing the
// same work, and says when a process that stands by is to begin.
type tenancy struct {
	store    checkpoint.Store
	name     string                        // of the lock
	standBy  bool                          // wait while another process has it; else that is a *checkpoint.LockedError
	enough   <-chan struct{}               // closed when there is nothing left to stand by for; may be nil
	stands   func(*checkpoint.LockedError) // told whose lock is stood by for, nil: no one's; may be nil
	log      *slog.Logger
	waits    *atomic.Bool  // says so to others while it stands by; may be nil
	health   *outage.Watch // of the store
	standing bool
}

func (t *tenancy) standsFor(holder *checkpoint.LockedError) {
	if t.stands != nil {
		t.stands(holder)
	}
}

// standbyPause is between two attempts to get a lock that another process has.
const standbyPause = 500 * time.Millisecond

// errLockLost is the cause of the end of a context whose lock was lost.
var errLockLost = errors.New("the lock in the checkpoint store is lost: another process has taken over, or may have")

// run runs work while the lock is held. If the lock is lost, work's context ends with errLockLost, and where standing by
// is wanted, work runs again once the lock can be had again.
func (t *tenancy) run(ctx context.Context, work func(context.Context) error) error {
	for {
		lock, err := t.acquire(ctx)
		if err != nil {
			return err
		}
		lost, err := t.hold(ctx, lock, work)
		switch {
		case !lost:
			return err
		case ctx.Err() != nil: // what it held is the other's to do
			if err != nil {
				t.log.Warn("another process had taken over, or may have", "error", err)
			}
			return nil
		case !t.standBy:
			return &restartError{errLockLost}
		}
		t.log.Warn("another process has taken over, or may have; standing by", "error", err)
		t.standing = true
		if err := backoff.Sleep(ctx, standbyPause); err != nil {
			return err
		}
	}
}

// acquire waits for the lock. The first attempt must find a store that works; later ones outlast its outages.
func (t *tenancy) acquire(ctx context.Context) (checkpoint.Lock, error) {
	locked := false
	defer t.tell(false)
	for {
		lock, err := t.store.Lock(ctx, t.name)
		holder, isLocked := errors.AsType[*checkpoint.LockedError](err)
		if err == nil || isLocked { // the store answers: what failed in an earlier session is over
			t.health.Forget(func(string) bool { return true })
			t.health.Working()
		}
		switch {
		case err == nil:
			t.standsFor(nil)
			if t.standing {
				t.log.Info("taking over", "lock", t.name)
			}
			return lock, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case isLocked && !t.standBy, !isLocked && !t.standing:
			return nil, err
		case isLocked && !locked:
			t.log.Info("another process does this work; standing by to take over", "lock", t.name, "host", holder.Host, "pid", holder.PID)
			locked = true
		case !isLocked:
			t.health.Failing(err)
			locked = false
		}
		t.standing = true
		if isLocked {
			t.standsFor(holder)
		}
		t.tell(true)
		select {
		case <-time.After(standbyPause):
		case <-t.enough:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (t *tenancy) tell(waits bool) {
	if t.waits != nil {
		t.waits.Store(waits)
	}
}

// hold runs work with the lock and gives it back. lost says that work ended since the lock is another process's.
func (t *tenancy) hold(ctx context.Context, lock checkpoint.Lock, work func(context.Context) error) (lost bool, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lock.Lost():
			stop(errLockLost)
		case <-ended:
		}
	}()
	err = work(ctx)
	close(ended)
	<-watched
	// A process that takes over saves before it does anything else, so a conflict is often seen before the loss.
	conflict := lock.Lost() != nil && errors.Is(err, checkpoint.ErrConflict)
	lost = conflict || errors.Is(context.Cause(ctx), errLockLost)
	stop(nil)
	if released := lock.Release(); released != nil {
		err = errors.Join(err, fmt.Errorf("end: %w", released))
	}
	return lost, err
}

// temporary is a Registerer whose collectors go with what they measure.
type temporary struct {
	prometheus.Registerer

	collectors []prometheus.Collector
}

func newTemporary(r prometheus.Registerer) *temporary { return &temporary{Registerer: r} }

// registerer is what collectors are registered with: nil where they are not wanted.
func (t *temporary) registerer() prometheus.Registerer {
	if t.Registerer == nil {
		return nil
	}
	return t
}

func (t *temporary) Register(c prometheus.Collector) error {
	err := t.Registerer.Register(c)
	if err == nil {
		t.collectors = append(t.collectors, c)
	}
	return err
}

func (t *temporary) MustRegister(all ...prometheus.Collector) {
	t.Registerer.MustRegister(all...)
	t.collectors = append(t.collectors, all...)
}

func (t *temporary) unregisterAll() {
	for _, c := range t.collectors {
		t.Unregister(c)
	}
	t.collectors = nil
}
