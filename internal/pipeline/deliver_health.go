package pipeline

import (
	"log/slog"
	"sync"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// outage follows one thing that Deliver depends on. It logs when it fails and when it is back, once each, however
// many shards hear of it. One that fails again soon after it was back has to go on failing to be announced again.
type outage struct {
	log  *slog.Logger
	what string

	mu         sync.Mutex // covers what follows
	err        error      // nil: it works
	since      time.Time
	announced  bool
	quietUntil time.Time
}

const announceAgain = time.Minute

func newOutage(log *slog.Logger, what string) *outage { return &outage{log: log, what: what} }

// Failing notes a failed attempt that will be made again.
func (o *outage) Failing(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.err == nil {
		o.since = now
	}
	o.err = err
	if !o.announced && !now.Before(o.quietUntil) {
		o.announced = true
		o.log.Error(o.what+" fails; trying again until it works", "error", err)
	}
}

// Working notes a success.
func (o *outage) Working() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.announced {
		now := time.Now()
		o.log.Info(o.what+" works again", "after", now.Sub(o.since).Round(time.Millisecond))
		o.announced, o.quietUntil = false, now.Add(announceAgain)
	}
	o.err = nil
}

// report is the outage as Status tells it, if there is one.
func (o *outage) report() (t status.Trouble, failing bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		return t, false
	}
	return status.Trouble{What: o.what, Error: o.err.Error(), Since: o.since}, true
}

func (o *outage) ok() bool { return o.trouble() == nil }

func (o *outage) trouble() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
