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
	released   bool
	ended      bool
	checkpoint string
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

func (g *Grant) isLost() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gone
}

// isWanted says whether another worker waits.
func (g *Grant) isWanted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wanted && !g.gone
}

// note puts what is to be told of progress into a lease.
func (g *Grant) note(l *Lease) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.checkpoint != "" && g.checkpoint != l.Checkpoint {
		l.Checkpoint, l.Switches = g.checkpoint, 0
	}
}
