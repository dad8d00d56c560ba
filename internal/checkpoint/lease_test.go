package checkpoint_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
)

// world is a service in memory, in a synctest bubble, and the processes on it.
type world struct {
	t       *testing.T
	service *checkpoint.MemoryService
}

// process is a store of its own, whose requests a test can stop.
type process struct {
	*checkpoint.MemoryRemote

	mu    sync.Mutex // covers what follows
	fate  fate
	awake chan struct{} // closed when the process goes on
}

// fate is what becomes of a process's requests.
type fate int

const (
	runs     fate = iota
	stopped       // the process stands still before its request is sent
	answered      // the process stands still when its request was carried out
	cutOff        // the process runs, and its requests hang until they are given up
	refused       // requests fail at once
)

var errRefused = errors.New("connection refused")

func (p *process) becomes(f fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.awake != nil {
		close(p.awake)
	}
	p.fate, p.awake = f, make(chan struct{})
}

func (p *process) replace(ctx context.Context, do checkpoint.Replace) (string, error) {
	p.mu.Lock()
	fate, awake := p.fate, p.awake
	p.mu.Unlock()
	switch fate {
	case stopped:
		<-awake
	case answered:
		defer func() { <-awake }()
	case cutOff:
		<-ctx.Done()
		return "", ctx.Err()
	case refused:
		return "", errRefused
	}
	return do()
}

const leaseTime = 10 * time.Second // the default

func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) { test(t, &world{t, new(checkpoint.MemoryService)}) })
}

func (w *world) process() *process {
	p := &process{MemoryRemote: checkpoint.NewMemoryRemote(w.service, 0)}
	checkpoint.Meddle(p.MemoryRemote, p.replace)
	return p
}

func (w *world) lock(p *process) checkpoint.Lock {
	w.t.Helper()
	l, err := p.Lock(w.t.Context(), "task")
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *world) release(l checkpoint.Lock) {
	w.t.Helper()
	if err := l.Release(); err != nil {
		w.t.Error(err)
	}
}

func isLost(l checkpoint.Lock) bool {
	synctest.Wait()
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

func TestNoTakeoverWhileTheHolderLives(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l, other := w.lock(w.process()), w.process()
		for range 50 {
			began := time.Now()
			_, err := other.Lock(t.Context(), "task")
			if _, locked := errors.AsType[*checkpoint.LockedError](err); !locked {
				t.Fatalf("Lock = %v, want a LockedError", err)
			}
			if took := time.Since(began); took > leaseTime/2 {
				t.Errorf("it took %v to see that the holder lives", took)
			}
		}
		if isLost(l) {
			t.Error("the holder lost a lock that it renewed all the time")
		}
		w.release(l)
	})
}

// The setting is changed on one host after the other: the one with the shorter time does not take what it could not know
// to be renewed less often than it expects.
func TestTwoFailoverTimes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.lock(w.process()) // renewed every 3.3 s
		hasty := checkpoint.NewMemoryRemote(w.service, leaseTime/5)
		for range 10 {
			_, err := hasty.Lock(t.Context(), "task")
			if _, locked := errors.AsType[*checkpoint.LockedError](err); !locked {
				t.Fatalf("Lock = %v, want a LockedError", err)
			}
		}
		if isLost(l) {
			t.Error("the holder lost a lock that it renewed all the time")
		}
		w.release(l)
	})
}

// A holder whose process was killed makes no request any more. The next one has the lock within the failover time.
func TestTakeoverAfterTheHoldersDeath(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.process()
		dead := w.lock(p)
		time.Sleep(time.Minute)
		p.becomes(stopped) // for ever, as far as the others can see
		began := time.Now()
		l := w.lock(w.process())
		if took := time.Since(began); took < leaseTime*2/3 || took > leaseTime+leaseTime/10 {
			t.Errorf("the takeover took %v, want the failover time, %v, or what is left of it", took, leaseTime)
		}
		p.becomes(runs)
		if !isLost(dead) {
			t.Error("the former holder does not know that it lost the lock")
		}
		w.release(dead)
		time.Sleep(time.Minute)
		if isLost(l) {
			t.Error("the former holder's last word took the lock away from the new one")
		}
		w.release(l)
	})
}

// A process that was stopped and goes on sees at once that its lock is lost, also if nobody took it meanwhile.
func TestPausedHolderSeesItsLoss(t *testing.T) {
	for _, how := range []fate{stopped, answered} {
		for _, pause := range []time.Duration{leaseTime, leaseTime + time.Second, time.Hour} {
			inWorld(t, func(t *testing.T, w *world) {
				p := w.process()
				l := w.lock(p)
				time.Sleep(time.Minute)
				p.becomes(how)
				time.Sleep(pause + leaseTime/3) // the request that hangs is sent up to a third later
				p.becomes(runs)
				if !isLost(l) {
					t.Errorf("after a pause of %v the lock does not count as lost", pause)
				}
				w.release(l)
			})
		}
	}
}

func TestShortPauseIsSurvived(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.process()
		l := w.lock(p)
		for _, f := range []fate{stopped, answered, refused, stopped, answered, refused} {
			p.becomes(f)
			time.Sleep(leaseTime / 2)
			p.becomes(runs)
			time.Sleep(leaseTime)
		}
		if isLost(l) {
			t.Error("a pause of half the failover time loses the lock")
		}
		w.release(l)
	})
}

// A holder must not believe longer than the others in what it cannot renew, whenever it is cut off: never do two believe
// at the same time that they have the lock.
func TestNeverTwoHolders(t *testing.T) {
	for _, how := range []fate{cutOff, refused} {
		for step := range 40 {
			inWorld(t, func(t *testing.T, w *world) {
				p := w.process()
				l := w.lock(p)
				time.Sleep(time.Minute + time.Duration(step)*leaseTime/3/40)
				p.becomes(how)
				next := w.lock(w.process())
				if !isLost(l) {
					t.Error("the lock was taken from a holder that still believes in it")
				}
				w.release(next)
				w.release(l)
			})
		}
	}
}

func TestReleaseHandsOverAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.lock(w.process())
		time.AfterFunc(time.Minute, func() { w.release(l) })
		other := w.process()
		var next checkpoint.Lock
		for next == nil {
			var err error
			next, err = other.Lock(t.Context(), "task")
			if _, locked := errors.AsType[*checkpoint.LockedError](err); err != nil && !locked {
				t.Fatal(err)
			}
		}
		w.release(next)
		began := time.Now()
		w.release(w.lock(other))
		if took := time.Since(began); took != 0 {
			t.Errorf("a lock that was released took %v to get", took)
		}
	})
}

func TestLockDocumentThatCannotBeReadIsNotFree(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.release(w.lock(w.process()))
		w.service.Damage()
		if _, err := w.process().Lock(t.Context(), "task"); !errors.Is(err, checkpoint.ErrCorrupt) {
			t.Errorf("Lock = %v, want ErrCorrupt", err)
		}
	})
}
