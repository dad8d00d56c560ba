package demo

import (
	"sync/atomic"

	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// figures are what the view shows of the pipeline, as its status page does.
type figures struct {
	loaded       int64 // rows of the full load
	changes      int64
	sourceLag    float64 // seconds
	targetLag    float64
	freshness    float64
	objects      int64
	objectBytes  int64
	tables       int
	tablesLoaded int
}

// reporter is how the pipeline reports, once it does. Its methods may be called from several goroutines.
type reporter struct {
	report atomic.Pointer[func() *status.Report]
}

func (r *reporter) set(report func() *status.Report) { r.report.Store(&report) }

// figures reads the present ones; they are all zero before the pipeline reports.
func (r *reporter) figures() (f figures) {
	report := r.report.Load()
	if report == nil {
		return f
	}
	now := (*report)()
	if p := now.Replicate; p != nil {
		f.loaded, f.changes, f.sourceLag, f.targetLag = int64(p.LoadRows), int64(p.Changes), p.SourceLag, p.TargetLag
		f.tables = len(p.Tables)
		for _, t := range p.Tables {
			if t.State == "Table completed" {
				f.tablesLoaded++
			}
		}
	}
	if d := now.Deliver; d != nil {
		f.freshness, f.objects, f.objectBytes = d.Freshness, int64(d.Objects), int64(d.ObjectBytes)
	}
	return f
}

// hasStarted says whether replicate has taken its start position: it knows its tables only then.
func (r *reporter) hasStarted() bool { return r.figures().tables > 0 }
