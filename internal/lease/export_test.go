package lease

import "time"

// Hold makes grants last longer or shorter than the rules say.
func (c *Coordinator) Hold(d time.Duration) { c.hold = d }

// Silence makes leases count as abandoned sooner or later than the rules say.
func (c *Coordinator) Silence(d time.Duration) { c.silence = d }

// Excess makes others rich sooner or later than the rules say.
func (c *Coordinator) Excess(n int) { c.excess = n }
