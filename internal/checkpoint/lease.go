package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// defaultFailover is the failover time of the KCL: how long a holder may be silent before it counts as gone.
const defaultFailover = 10 * time.Second

// tenure is the document of a lock that several hosts share. Its holder changes it every third of the failover time;
// who wants the lock watches whether it changes, by a clock of its own, so that no two clocks are ever compared.
type tenure struct {
	holder

	Counter  uint64 `json:"counter"`            // counts up with every renewal, takeover and release
	Failover int64  `json:"failover_ms"`        // how long the holder may be silent, in milliseconds
	Released bool   `json:"released,omitempty"` // nobody holds the lock
}

// Lock implements Store. The lock is a lease, kept as a document by conditional saves.
func (r *remote) Lock(ctx context.Context, name string) (Lock, error) {
	if err := r.usable(ctx, name); err != nil {
		return nil, err
	}
	p := place{isLock, name}
	t, rev, err := r.vacant(ctx, p)
	if err != nil {
		return nil, lockError(name, err)
	}
	sent := time.Now()
	l := &lease{store: r, place: p, sent: sent, lost: make(chan struct{}), done: make(chan struct{})}
	l.tenure = tenure{holder: self(), Counter: t.Counter + 1, Failover: r.failover.Milliseconds()}
	if l.rev, err = l.save(ctx, rev); err != nil {
		if errors.Is(err, ErrConflict) { // somebody else was faster
			err = &LockedError{Name: name}
			if now, _, readErr := r.tenure(ctx, p); readErr == nil {
				err = now.locked(name)
			}
		}
		return nil, lockError(name, err)
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go l.keep(ctx)
	return l, nil
}

func lockError(name string, err error) error {
	if _, locked := errors.AsType[*LockedError](err); locked {
		return err
	}
	return fmt.Errorf("lock checkpoint %q: %w", name, err)
}

func (t *tenure) locked(name string) *LockedError {
	return &LockedError{Name: name, Host: t.Host, PID: t.PID, Since: t.Since}
}

// vacant returns the lock's document when nobody holds the lock: at once if it was released, and else when it has not
// changed for the failover time, the holder's or ours, whichever is longer: they differ while a configuration is being
// changed on one host after the other. If it changes, its holder lives, which is a *LockedError.
func (r *remote) vacant(ctx context.Context, p place) (tenure, Revision, error) {
	t, rev, err := r.tenure(ctx, p)
	if err != nil || t.Released {
		return t, rev, err
	}
	tick := time.NewTicker(r.failover / 10)
	defer tick.Stop()
	failover := max(r.failover, time.Duration(t.Failover)*time.Millisecond)
	for since := time.Now(); time.Since(since) < failover; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return t, rev, context.Cause(ctx)
		}
		now, nowRev, err := r.tenure(ctx, p)
		switch {
		case err != nil:
			return t, rev, err
		case now.Released:
			return now, nowRev, nil
		case nowRev != rev:
			return t, rev, now.locked(p.name)
		}
	}
	return t, rev, nil
}

// tenure reads the document of a lock. One that was never held is like one that was released.
func (r *remote) tenure(ctx context.Context, p place) (t tenure, rev Revision, err error) {
	doc, rev, _, err := r.read(ctx, p)
	if errors.Is(err, ErrNotFound) {
		return tenure{Released: true}, None, nil
	}
	if err == nil {
		if err := json.Unmarshal(doc, &t); err != nil {
			return t, rev, r.corrupt(p, err)
		}
	}
	return t, rev, err
}

// lease is a lock that is held, or was.
type lease struct {
	store *remote
	place place
	stop  context.CancelFunc // ends keep
	lost  chan struct{}
	done  chan struct{} // closed when keep has ended

	// Of keep, and of release when that has ended.
	tenure tenure
	rev    Revision
	sent   time.Time // when the last renewal that succeeded was sent

	released sync.Once
	err      error // of release
}

// Lost implements Lock.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// keep renews the lease until it is stopped or the lease is lost.
func (l *lease) keep(ctx context.Context) {
	defer close(l.done)
	for {
		// A third of the failover time leaves two more tries after one that failed.
		if backoff.Sleep(ctx, time.Until(l.sent.Add(l.store.failover/3))) != nil {
			return
		}
		if !l.renew(ctx) {
			if ctx.Err() == nil {
				close(l.lost)
			}
			return
		}
	}
}

// renew tries until the lease is renewed or lost. It is lost when the others may have seen it unchanged for the failover
// time, which is not before that time has passed since the last renewal was sent: a pause of this process, however it
// came about, is seen in its own clock as soon as it is over.
func (l *lease) renew(ctx context.Context) bool {
	deadline := l.sent.Add(l.store.failover)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	l.tenure.Counter++
	for {
		sent := time.Now()
		if !sent.Before(deadline) {
			return false
		}
		rev, err := l.save(ctx, l.rev)
		switch {
		case err == nil:
			l.rev, l.sent = rev, sent // not now: if the answer came too late, the next renewal finds that out
			return true
		case errors.Is(err, ErrConflict), errors.Is(err, ErrCorrupt):
			return false
		}
		if backoff.Sleep(ctx, time.Until(sent.Add(l.store.failover/10))) != nil {
			return false
		}
	}
}

func (l *lease) save(ctx context.Context, rev Revision) (Revision, error) {
	doc, err := json.Marshal(&l.tenure)
	if err != nil {
		return None, err
	}
	return l.store.save(ctx, l.place, doc, rev)
}

// Release implements Lock. What cannot be given back is free after the failover time.
func (l *lease) Release() error {
	l.released.Do(func() {
		l.stop()
		<-l.done
		select {
		case <-l.lost:
			return // it is another one's
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), l.store.failover/2)
		defer cancel()
		l.tenure.Counter++
		l.tenure.Released = true
		_, err := l.save(ctx, l.rev)
		if err != nil && !errors.Is(err, ErrConflict) {
			l.err = fmt.Errorf("release the lock of checkpoint %q: %w; it is free in %s by itself", l.place.name, err, l.store.failover)
		}
	})
	return l.err
}

// self is this process as a holder.
func self() holder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return holder{host, os.Getpid(), time.Now().UTC().Truncate(time.Second)}
}
