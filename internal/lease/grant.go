package lease

import (
	"sync"
	"time"
)

// Grant is the right to work on a shard, while it lasts. Its methods may be called from any goroutine.
type Grant struct {
	shard string
	wake  func()
	want  chan struct{}
	lost  chan struct{}

	mu         sync.Mutex // covers what follows
	wanted     bool
	gone       bool
	handed     bool // given out: somebody will Release it
	released   bool
	ended      bool
	checkpoint string
	deadline   time.Time
	timer      *time.Timer // closes lost at the deadline

	// Of the coordinator's goroutine:
	lease Lease     // as it was read or stored last
	sent  time.Time // when the last renewal that succeeded was sent
}

// Shard is the shard's name.
func (g *Grant) Shard() string { return g.shard }

// Wanted is closed when another worker has been chosen for the shard: store what is held, and Release.
func (g *Grant) Wanted() <-chan struct{} { return g.want }

// Lost is closed when the shard is not held any more, or may soon be another worker's: stop at once, and Release.
func (g *Grant) Lost() <-chan struct{} { return g.lost }

// Progress notes up to which sequence number the shard is stored, for people and other tools.
func (g *Grant) Progress(sequence string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if sequence != "" {
		g.checkpoint = sequence
	}
}

// Release says that nothing works on the shard any more. Whoever wants it gets it at once.
func (g *Grant) Release() { g.close(false) }

// End says that nothing works on the shard any more because it is stored to its end. Its children may begin.
func (g *Grant) End() { g.close(true) }

func (g *Grant) close(ended bool) {
	g.mu.Lock()
	g.released, g.ended = true, g.ended || ended
	g.mu.Unlock()
	g.wake()
}

// hand gives the grant out, if it can still be had.
func (g *Grant) hand() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.released || g.gone || !time.Now().Before(g.deadline) {
		return false
	}
	g.handed = true
	return true
}

// idle says that nobody works on the shard: the grant was given back, or was lost before it was given out.
func (g *Grant) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.released || !g.handed
}

// closing says whether the grant was given back, and whether since its shard is at its end.
func (g *Grant) closing() (released, ended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.released, g.ended
}

// ask tells the worker that the shard is wanted.
func (g *Grant) ask() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.wanted {
		g.wanted = true
		close(g.want)
	}
}

// lose tells the worker that the shard is gone. It reports whether that was news.
func (g *Grant) lose() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer.Stop()
	if g.gone {
		return false
	}
	g.gone = true
	close(g.lost)
	return !g.released
}

// isLost goes by the clock: when a process goes on that was stopped, its timers may not have fired yet.
func (g *Grant) isLost() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gone || !time.Now().Before(g.deadline)
}

// note puts what is to be told of progress into a lease.
func (g *Grant) note(l *Lease) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.checkpoint != "" && g.checkpoint != l.Checkpoint {
		l.Checkpoint, l.Switches = g.checkpoint, 0
	}
}
