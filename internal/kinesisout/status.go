package kinesisout

import (
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
}

// ShardStatus is what a Writer knows of an open shard.
type ShardStatus struct {
	Shard         string
	Throttled     uint64
	LastThrottled time.Time
}

// Status gives a snapshot. It may be called at any time, from any goroutine.
func (w *Writer) Status() Status {
	s := Status{
		Records: count(w.metrics.records), QueueBytes: w.budget.used(), QueueLimit: w.cfg.MaxBytes,
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
