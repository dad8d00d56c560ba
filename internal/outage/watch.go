// Package outage follows the things that a process depends on: the source, the stream, the destination, the checkpoint
// store. It promises that one outage is told in a few lines however many goroutines run into it and however often they try
// again: a warning when it begins, an error after a minute and then every ten minutes while it lasts, and one line when it
// is over, with how long it took. It says for metrics, too, for how long a thing has been failing.
package outage

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// firstReminder is when what did not pass by itself becomes an error.
	firstReminder = time.Minute
	// reminders are between the following lines. Logs are kept for days and read from their end.
	reminders = 10 * time.Minute
	// quiet is how long what fails again after a recovery has to go on failing to be told again, so that something that
	// comes and goes does not fill the log.
	quiet = time.Minute
)

// Watch follows one thing. It may have parts that fail and work each by themselves, such as the shards of a stream: then
// it works when no part fails any more. Its methods may be called from any goroutine, and again and again.
type Watch struct {
	log  *slog.Logger
	what string

	mu         sync.Mutex // covers what follows
	parts      map[string]error
	last       error     // the newest failure
	since      time.Time // zero: it works
	told       int       // lines about the present failure
	next       time.Time // of these lines
	quietUntil time.Time
}

// New makes the Watch of a thing that is named as sentences begin: "stream tickets".
func New(log *slog.Logger, what string) *Watch {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Watch{log: log, what: what, parts: make(map[string]error)}
}

// Failing notes a failed attempt that will be made again.
func (w *Watch) Failing(err error) { w.PartFailing("", err) }

// Working notes a success.
func (w *Watch) Working() { w.PartWorking("") }

// PartFailing notes a part's failed attempt that will be made again.
func (w *Watch) PartFailing(part string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.since.IsZero() {
		w.since, w.told, w.next = now, 0, w.quietUntil
	}
	w.parts[part], w.last = err, err
	if now.Before(w.next) {
		return
	}
	w.told++
	details := []any{"error", err}
	if part != "" {
		details = []any{"part", part, "error", err}
	}
	switch lasts := now.Sub(w.since); {
	case w.told == 1:
		w.next = w.since.Add(firstReminder)
		w.log.Warn(w.what+" fails; trying again until it works", details...)
	default:
		w.next = now.Add(reminders)
		w.log.Error(w.what+" still fails; trying again until it works", append(details, "for", lasts.Round(time.Second))...)
	}
}

// PartWorking notes a part's success. It ends the outage if no other part is failing.
func (w *Watch) PartWorking(part string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.parts, part)
	if w.since.IsZero() || len(w.parts) > 0 {
		return
	}
	now := time.Now()
	if w.told > 0 {
		w.quietUntil = now.Add(quiet)
		w.log.Info(w.what+" works again", "after", now.Sub(w.since).Round(time.Millisecond))
	}
	w.since, w.last = time.Time{}, nil
}

// Forget drops the parts that are no more. Those that came in their place will tell how they are.
func (w *Watch) Forget(gone func(part string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.parts, func(part string, _ error) bool { return gone(part) })
}

// Reset forgets everything without a word: nobody tries any more.
func (w *Watch) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.parts)
	w.since, w.last = time.Time{}, nil
}

// OK says whether it works as far as is known.
func (w *Watch) OK() bool { return w.Trouble() == nil }

// Trouble is the newest failure of what fails; nil: it works.
func (w *Watch) Trouble() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// Lasts is how long it has been failing; 0: it works.
func (w *Watch) Lasts() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		return 0
	}
	return time.Since(w.since)
}

// Gauge is the Watch as a metric: which half of the pipeline depends on what.
func (w *Watch) Gauge(half, dependency string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "binlogstreamer_outage_seconds",
		Help:        "For how long something that a half of the pipeline depends on has been failing; 0 while it works.",
		ConstLabels: prometheus.Labels{"half": half, "dependency": dependency},
	}, func() float64 { return w.Lasts().Seconds() })
}
