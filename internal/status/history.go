package status

import (
	"context"
	"sync"
	"time"
)

// Sample is what the charts are drawn from: ages at one moment, and totals that only grow while a part lives.
type Sample struct {
	Time      time.Time
	SourceLag float64
	TargetLag float64
	Freshness float64
	Changes   uint64
	LoadRows  uint64
	Throttled uint64
	Objects   uint64
}

// Point is one step of the history: ages at its end, and rates over it.
type Point struct {
	Time      time.Time `json:"time"`
	SourceLag float64   `json:"source_lag_seconds"`
	TargetLag float64   `json:"target_lag_seconds"`
	Freshness float64   `json:"delivery_freshness_seconds"`
	Changes   float64   `json:"changes_per_second"`
	LoadRows  float64   `json:"full_load_rows_per_second"`
	Throttled float64   `json:"throttled_per_second"`
	Objects   float64   `json:"objects_per_second"`
}

// Step is the time between two points, and Span what the history covers.
const (
	Step = 5 * time.Second
	Span = time.Hour
)

// History keeps the points of the last hour in memory. Its methods may be called from any goroutine.
type History struct {
	take func() Sample

	mu     sync.Mutex // covers what follows
	last   Sample
	points []Point // oldest first
}

// NewHistory makes a History of what take gives.
func NewHistory(take func() Sample) *History { return &History{take: take} }

// Run takes a sample every step until ctx is done.
func (h *History) Run(ctx context.Context) error {
	tick := time.NewTicker(Step)
	defer tick.Stop()
	for {
		h.add(h.take())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *History) add(s Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := Point{Time: s.Time, SourceLag: s.SourceLag, TargetLag: s.TargetLag, Freshness: s.Freshness}
	if span := s.Time.Sub(h.last.Time).Seconds(); !h.last.Time.IsZero() && span > 0 {
		p.Changes = rate(h.last.Changes, s.Changes, span)
		p.LoadRows = rate(h.last.LoadRows, s.LoadRows, span)
		p.Throttled = rate(h.last.Throttled, s.Throttled, span)
		p.Objects = rate(h.last.Objects, s.Objects, span)
	}
	h.last = s
	h.points = append(h.points, p)
	h.points = h.points[max(0, len(h.points)-int(Span/Step)):]
}

// rate is that of a counter, which begins anew where a part does.
func rate(before, after uint64, span float64) float64 {
	if after < before {
		return float64(after) / span
	}
	return float64(after-before) / span
}

// Points gives the history, oldest first.
func (h *History) Points() []Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Point{}, h.points...)
}
