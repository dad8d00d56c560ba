package pipeline

import "context"

// Pause makes deliver read nothing more and store what it has read. It returns when the pause is durable; Status says when
// everything is stored. Leases and the lock are kept.
func (d *Deliver) Pause(ctx context.Context) error { return d.pause.set(ctx, true) }

// Resume ends a pause.
func (d *Deliver) Resume(ctx context.Context) error { return d.pause.set(ctx, false) }

// Paused says whether deliver is paused.
func (d *Deliver) Paused() bool { return d.pause.isPaused() }

// intake is the gate that reading goes through: it is closed while deliver is paused, and else asks for memory. Calls that
// are under way when it closes are finished.
type intake struct{ *Deliver }

// Reserve implements kinesisin.Gate.
func (i intake) Reserve(ctx context.Context, n int64) error {
	if err := i.pause.open(ctx); err != nil {
		return err
	}
	return i.budget.Reserve(ctx, n)
}

// Add implements kinesisin.Gate.
func (i intake) Add(n int64) { i.budget.Add(n) }

// pressAll asks all holders to store what they have.
func (b *budget) pressAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for h := range b.holders {
		select {
		case h.flush <- struct{}{}:
		default:
		}
	}
}
