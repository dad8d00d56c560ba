package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Problem is something that an operator should know, and what to do about it.
type Problem struct {
	Level Level     `json:"level"`
	Half  string    `json:"half"`
	What  string    `json:"what"`
	Cure  string    `json:"cure"`
	Since time.Time `json:"since,omitzero"`
}

// Limits above which a lag is a problem.
const (
	LagWarning = 60.0  // seconds
	LagError   = 600.0 // seconds
	// An object is closed after its interval and stored soon after that.
	FreshnessSlack = 60.0
	throttledFor   = time.Minute // after the last refusal
)

// Judge fills in what r's figures mean: the problems, the worst ones first, and the level.
func (r *Report) Judge() {
	r.Problems, r.Level = []Problem{}, OK
	if r.Replicate != nil {
		r.Problems = append(r.Problems, r.Replicate.problems(r.Time)...)
	}
	if r.Deliver != nil {
		r.Problems = append(r.Problems, r.Deliver.problems()...)
	}
	slices.SortStableFunc(r.Problems, func(a, b Problem) int { return cmp.Compare(b.Level.rank(), a.Level.rank()) })
	if len(r.Problems) > 0 {
		r.Level = r.Problems[0].Level
	}
}

func (l Level) rank() int { return slices.Index([]Level{OK, Warning, Error}, l) }

func (r *Replicate) problems(now time.Time) (list []Problem) {
	list = r.Half.problems("replicate", "changes wait in the source's binlog")
	for _, t := range r.Tables {
		if t.Error != "" {
			what := "suspended: " + t.Error
			if name := t.Schema + "." + t.Table; !strings.Contains(t.Error, name) {
				what = "table " + name + " is " + what
			}
			list = append(list, Problem{Level: Error, Half: "replicate", What: what, Cure: "cure what the error names, then reload the table"})
		}
	}
	if p, ok := r.Retention.problem("replicate", "the binlog that a restart needs", "Find out why reading or the stream lags, resume what is paused, or have the source keep its binlog longer",
		"Do not stop this process before it has caught up; if it stops before, the tables must be loaded again with an empty checkpoint.store"); ok {
		list = append(list, p)
	}
	if r.State != Paused && r.State != StandingBy {
		list = append(list, lagging("replicate", "reading is "+Seconds(r.SourceLag)+" behind the source", r.SourceLag,
			"look whether the stream throttles (shards), the queue is full, or a large transaction is read")...)
		list = append(list, lagging("replicate", "the stream has not acknowledged a change for "+Seconds(r.TargetLag), r.TargetLag,
			"look whether the stream throttles (shards): give it more shards, or use its on-demand mode")...)
	}
	for _, s := range r.Shards {
		if !s.LastThrottled.IsZero() && now.Sub(s.LastThrottled) < throttledFor {
			list = append(list, Problem{Level: Warning, Half: "replicate", What: "shard " + s.Shard + " throttles what is written to it",
				Cure: "if it goes on: give the stream more shards, or use its on-demand mode", Since: s.LastThrottled})
		}
	}
	return list
}

func (d *Deliver) problems() (list []Problem) {
	list = d.Half.problems("deliver", "records wait in the stream until its retention is over")
	if p, ok := d.Retention.problem("deliver", "the oldest record that is not stored", "Find out why delivery lags, resume what is paused, or have the stream keep records longer",
		"Records have left the stream unread: they are lost to the objects unless the tables are loaded again (reload-table)"); ok {
		list = append(list, p)
	}
	if late := d.Freshness - d.Interval - FreshnessSlack; late > 0 && d.State != Paused && d.State != StandingBy {
		level := Warning
		if late > LagError {
			level = Error
		}
		list = append(list, Problem{Level: level, Half: "deliver", What: "the oldest record that is not stored is " + Seconds(d.Freshness) + " old",
			Cure: "look whether the destination or the stream fails, or one shard is far behind the others"})
	}
	return list
}

// problems are those of either half; waits says what a pause means.
func (h *Half) problems(half, waits string) (list []Problem) {
	switch h.State {
	case Paused, Pausing:
		list = append(list, Problem{Level: Warning, Half: half, What: half + " is paused: " + waits, Cure: "resume it: binlogstreamer resume", Since: h.Paused})
	case StandingBy:
		what := half + " stands by for another process"
		if h.StandingBy != nil && h.StandingBy.Host != "" {
			what = fmt.Sprintf("%s stands by for process %d on %s", half, h.StandingBy.PID, h.StandingBy.Host)
		}
		list = append(list, Problem{Level: OK, Half: half, What: what, Cure: "none is needed: it takes over when that process ends"})
	}
	for _, t := range h.Trouble {
		list = append(list, Problem{Level: Error, Half: half, What: t.What + ": " + t.Error, Cure: "it is tried again until it works; nothing is lost meanwhile as long as retention lasts", Since: t.Since})
	}
	return list
}

func lagging(half, what string, lag float64, cure string) []Problem {
	switch {
	case lag >= LagError:
		return []Problem{{Level: Error, Half: half, What: what, Cure: cure}}
	case lag >= LagWarning:
		return []Problem{{Level: Warning, Half: half, What: what, Cure: cure}}
	}
	return nil
}

func (r *Retention) problem(half, what, cure, late string) (Problem, bool) {
	switch {
	case r.Lost:
		return Problem{Level: Error, Half: half, What: what + " is gone", Cure: late}, true
	case r.Low:
		return Problem{Level: Error, Half: half, What: what + " will be gone in " + Seconds(r.Left), Cure: cure}, true
	}
	return Problem{}, false
}
