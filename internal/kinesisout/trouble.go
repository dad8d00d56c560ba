package kinesisout

import (
	"log/slog"
	"maps"
	"sync"
	"time"
)

// trouble announces once that requests fail, however many lanes notice, and once that all of them work again. Its
// methods may be called from any goroutine.
type trouble struct {
	log    *slog.Logger
	stream string

	mu    sync.Mutex        // covers everything below
	parts map[string]string // why, of those that get nowhere
	since time.Time         // zero: nothing was announced that is not over
}

func newTrouble(log *slog.Logger, stream string) *trouble {
	return &trouble{log: log, stream: stream, parts: make(map[string]string)}
}

// failed says that a part of the Writer (a shard's lane, or a call) gets nowhere.
func (t *trouble) failed(part, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts[part] = reason
	if t.since.IsZero() {
		t.since = time.Now()
		t.log.Warn("stream does not take what is sent; trying again until it does", "stream", t.stream, "part", part, "error", reason)
	}
}

// works says that a part gets on.
func (t *trouble) works(part string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.parts, part)
	if t.since.IsZero() || len(t.parts) > 0 {
		return
	}
	t.log.Info("stream takes everything again", "stream", t.stream, "after", time.Since(t.since).Round(time.Millisecond))
	t.since = time.Time{}
}

// forget drops the parts that are no more. Those that came in their place will tell how they are.
func (t *trouble) forget(gone func(part string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.parts, func(part, _ string) bool { return gone(part) })
}
