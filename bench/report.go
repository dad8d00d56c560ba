package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// line is one comparison. Ratio is made so that more is better, except where AtMost says that Goal is a ceiling.
type line struct {
	Number string  `json:"number"` // of the goal that it belongs to
	What   string  `json:"what"`
	Unit   string  `json:"unit"`
	Ours   float64 `json:"ours"`
	Other  float64 `json:"baseline"`
	Ratio  float64 `json:"ratio"`
	Goal   float64 `json:"goal"` // 0: none
	AtMost bool    `json:"at_most"`
}

func (l line) verdict() string {
	switch {
	case l.Goal == 0:
		return ""
	case l.AtMost && l.Ratio <= l.Goal, !l.AtMost && l.Ratio >= l.Goal:
		return "reached"
	}
	return "not reached"
}

// part of a run, and how long it took.
type elapsed struct {
	Part string        `json:"part"`
	Took time.Duration `json:"took_ns"`
}

// report is everything that a run found out, with what is needed to judge it later.
type report struct {
	Time      time.Time        `json:"time"`
	Commit    string           `json:"commit"`
	Machine   machine          `json:"machine"`
	Servers   []string         `json:"servers"`
	Settings  settings         `json:"settings"`
	Elapsed   []elapsed        `json:"elapsed"`
	Lines     []line           `json:"lines"`
	Medians   []measurement    `json:"medians"` // of what the goals are measured with
	Workloads []workloadResult `json:"workloads,omitempty"`
	Latency   []latencyResult  `json:"latency,omitempty"`
	Growth    []growthResult   `json:"growth,omitempty"`
	Source    []sourceLoad     `json:"source,omitempty"`
	Runs      []measurement    `json:"runs"`
}

func newReport(s settings) *report {
	return &report{Time: time.Now().UTC().Truncate(time.Second), Commit: commit(), Machine: thisMachine(), Settings: s}
}

// server notes a server that was measured with.
func (r *report) server(db *dbserver.Server) {
	name := fmt.Sprintf("%s %s", map[dbserver.Flavor]string{dbserver.MySQL: "MySQL", dbserver.MariaDB: "MariaDB"}[db.Program.Flavor], db.Program.Version)
	if !slices.Contains(r.Servers, name) {
		r.Servers = append(r.Servers, name)
	}
}

// took notes how long a part took, with what it had to prepare.
func (r *report) took(part string, d time.Duration) {
	r.Elapsed = append(r.Elapsed, elapsed{part, d})
	progress("%s: %s", part, d.Round(time.Second/10))
}

func (r *report) median(m ...measurement) { r.Medians = append(r.Medians, m...) }

func (r *report) add(l line) { r.Lines = append(r.Lines, l) }

// cheaper adds a line about a cost: the ratio says how many times as much the other costs. Goal 0 is none.
func (r *report) cheaper(number, what, unit string, ours, other, goal float64) {
	r.add(line{number, what, unit, ours, other, other / ours, goal, false})
}

// faster adds a line about a speed: the ratio says how many times as fast we are.
func (r *report) faster(number, what, unit string, ours, other, goal float64) {
	r.add(line{number, what, unit, ours, other, ours / other, goal, false})
}

// atMost adds a line about something that may be at most so many times the other.
func (r *report) atMost(number, what, unit string, ours, other, goal float64) {
	r.add(line{number, what, unit, ours, other, ours / other, goal, true})
}

// memory adds a line about the peak memory of a step, against the product's default ceiling.
func (r *report) memory(what string, m measurement) {
	r.atMost("5", "peak resident memory: "+what, "MiB", float64(m.RSS)/(1<<20), productMemory>>20, 1)
}

// latency adds a pace, and its lines where it has goals.
func (r *report) latency(l latencyResult) {
	r.Latency = append(r.Latency, l)
	goal := 0.0
	if l.Wanted <= 2000 {
		goal = 1
	}
	r.atMost("6", l.Name+": from the return of COMMIT to readable, p50, against 20 ms", "ms", milliseconds(l.Returned.P50), 20, goal)
	r.atMost("6", l.Name+": from the return of COMMIT to readable, p99, against 100 ms", "ms", milliseconds(l.Returned.P99), 100, goal)
}

// print writes the tables. previous may be nil.
func (r *report) print(w io.Writer, previous *report) {
	for _, g := range append([]grid{r.goals(previous)}, r.details()...) {
		if len(g.rows) > 0 {
			g.text(w)
		}
	}
}

// find looks for a line; a nil report has none.
func (r *report) find(what string) (line, bool) {
	if r == nil {
		return line{}, false
	}
	for _, l := range r.Lines {
		if l.What == what {
			return l, true
		}
	}
	return line{}, false
}

func (r *report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(path, append(data, '\n'), 0o644)
}

// readReport reads what a former run wrote; nil if there is none that can be read.
func readReport(path string) *report {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var r report
	if json.Unmarshal(data, &r) != nil {
		return nil
	}
	return &r
}
