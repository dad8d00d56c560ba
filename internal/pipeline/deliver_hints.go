package pipeline

import "time"

// hints say when an object is closed. They may change while Deliver runs: where a run ends is free, only what it begins with
// is not, and the layout of objects does not depend on them.
type hints struct {
	size     int64
	interval time.Duration
}

// Hint changes when objects are closed: the size counts at once, the interval from the next run on. It may be called at any
// time, from any goroutine.
func (d *Deliver) Hint(size int64, interval time.Duration) { d.hints.Store(&hints{size, interval}) }

// size is how many plain bytes close a run.
func (d *Deliver) size() int64 { return d.hints.Load().size }

// interval is how long after its first record a run is closed.
func (d *Deliver) interval() time.Duration { return d.hints.Load().interval }
