package kinesisout

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Status is what a Writer is doing at one moment. Totals count from its beginning.
type Status struct {
	Records    uint64 // acknowledged
	Throttled  uint64 // refusals, of all shards
	QueueBytes int
	QueueLimit int
	Shards     []ShardStatus
	Trouble    *Trouble // nil: the stream takes what is sent
}

// ShardStatus is what a Writer knows of an open shard.
type ShardStatus struct {
	Shard         string
	Throttled     uint64
	LastThrottled time.Time
}

// Trouble is what the Writer does not get on with and tries again.
type Trouble struct {
	Part   string // a shard, or a call
	Reason string
	Since  time.Time
}

// Status gives a snapshot. It may be called at any time, from any goroutine.
func (w *Writer) Status() Status {
	s := Status{
		Records: count(w.metrics.records), QueueBytes: w.budget.used(), QueueLimit: w.cfg.MaxBytes, Trouble: w.trouble.present(),
	}
	w.routing.RLock()
	defer w.routing.RUnlock()
	for _, l := range w.lanes {
		shard := ShardStatus{Shard: l.shard.id, Throttled: count(w.metrics.throttled.WithLabelValues(l.shard.id))}
		if at := l.throttledAt.Load(); at != 0 {
			shard.LastThrottled = time.Unix(0, at)
		}
		s.Throttled += shard.Throttled
		s.Shards = append(s.Shards, shard)
	}
	return s
}

// present is the trouble that there is; of several parts, the first by name.
func (t *trouble) present() *Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.parts) == 0 {
		return nil
	}
	part := slices.Sorted(maps.Keys(t.parts))[0]
	return &Trouble{Part: part, Reason: t.parts[part], Since: t.since}
}

// wasThrottled notes a refusal.
func (l *lane) wasThrottled(now time.Time) {
	l.throttledAt.Store(now.UnixNano())
	l.pace.throttled(now)
}

// count reads a counter.
func count(c prometheus.Counter) uint64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}
