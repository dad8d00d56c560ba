// Package ctxsync has a condition variable like sync.Cond, whose waits end with a context. It promises that no change
// that is broadcast under the mutex is missed.
package ctxsync

import (
	"context"
	"sync"
)

// Cond lets goroutines wait until something that a mutex covers has changed. Its zero value is ready; the mutex must be
// held when a method is called.
type Cond struct {
	changed chan struct{} // closed at the next Broadcast; nil: nobody waits
}

// Wait gives mu away until the next Broadcast, or until ctx is done and then says why. It holds mu again when it returns.
func (c *Cond) Wait(ctx context.Context, mu *sync.Mutex) error {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	changed := c.changed
	mu.Unlock()
	defer mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Broadcast wakes all who wait.
func (c *Cond) Broadcast() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}
