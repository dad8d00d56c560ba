package status

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Event is a warning or an error of the log.
type Event struct {
	Time    time.Time `json:"time"` // of the newest of its kind in a row
	Level   Level     `json:"level"`
	Message string    `json:"message"`
	Details string    `json:"details,omitempty"` // its attributes
	Times   int       `json:"times"`             // in a row
}

// keptEvents is how many are kept, and keptDetails how much of one.
const (
	keptEvents  = 50
	keptDetails = 2000
)

// Events is a log handler that passes everything on and keeps the latest warnings and errors. Its methods may be called
// from any goroutine.
type Events struct {
	next  slog.Handler
	attrs string // written already, of those that the logger has
	group string
	kept  *events
}

type events struct {
	mu   sync.Mutex // covers list
	list []Event    // oldest first
}

// NewEvents makes a handler in front of next.
func NewEvents(next slog.Handler) *Events { return &Events{next: next, kept: &events{}} }

// Enabled implements slog.Handler.
func (e *Events) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn || e.next.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (e *Events) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		e.keep(r)
	}
	if !e.next.Enabled(ctx, r.Level) {
		return nil
	}
	return e.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (e *Events) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *e
	c.next, c.attrs = e.next.WithAttrs(attrs), e.attrs+written(e.group, attrs)
	return &c
}

// WithGroup implements slog.Handler.
func (e *Events) WithGroup(name string) slog.Handler {
	c := *e
	c.next, c.group = e.next.WithGroup(name), e.group+name+"."
	return &c
}

func (e *Events) keep(r slog.Record) {
	var attrs []slog.Attr
	r.Attrs(func(a slog.Attr) bool { attrs = append(attrs, a); return true })
	details := strings.TrimSpace(e.attrs + written(e.group, attrs))
	if len(details) > keptDetails {
		details = strings.ToValidUTF8(details[:keptDetails], "") + " …"
	}
	event := Event{Time: r.Time, Level: Warning, Message: r.Message, Details: details, Times: 1}
	if r.Level >= slog.LevelError {
		event.Level = Error
	}
	e.kept.add(event)
}

func (k *events) add(event Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.list); n > 0 {
		if last := &k.list[n-1]; last.Message == event.Message && last.Details == event.Details && last.Level == event.Level {
			last.Time, last.Times = event.Time, last.Times+1
			return
		}
	}
	k.list = append(k.list, event)
	k.list = k.list[max(0, len(k.list)-keptEvents):]
}

// Latest gives what is kept, newest first.
func (e *Events) Latest() []Event {
	e.kept.mu.Lock()
	defer e.kept.mu.Unlock()
	out := make([]Event, 0, len(e.kept.list))
	for i := len(e.kept.list) - 1; i >= 0; i-- {
		out = append(out, e.kept.list[i])
	}
	return out
}

// written is attributes as key=value.
func written(group string, attrs []slog.Attr) string {
	var b strings.Builder
	for _, a := range attrs {
		v := a.Value.Resolve()
		if v.Kind() == slog.KindGroup {
			b.WriteString(written(group+a.Key+".", v.Group()))
			continue
		}
		fmt.Fprintf(&b, "%s%s=%s ", group, a.Key, v)
	}
	return b.String()
}
