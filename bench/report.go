package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/renameio/v2"
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

// report is everything that a run found out, with what is needed to judge it later.
type report struct {
	Time     time.Time     `json:"time"`
	Commit   string        `json:"commit"`
	CPU      string        `json:"cpu"`
	Cores    int           `json:"cores"`
	Go       string        `json:"go"`
	Server   string        `json:"server"`
	Settings settings      `json:"settings"`
	Lines    []line        `json:"lines"`
	Runs     []measurement `json:"runs"`
}

func newReport(s settings) *report {
	return &report{Time: time.Now().UTC().Truncate(time.Second), Commit: commit(), CPU: cpuModel(),
		Cores: runtime.NumCPU(), Go: runtime.Version(), Settings: s}
}

func (r *report) add(l line) { r.Lines = append(r.Lines, l) }

// memory adds a line about the peak memory of a step, against the product's default ceiling.
func (r *report) memory(what string, m measurement) {
	const ceiling = float64(productMemory >> 20)
	rss := float64(m.RSS) / (1 << 20)
	r.add(line{"5", "peak resident memory: " + what, "MiB", rss, ceiling, rss / ceiling, 1, true})
}

// print writes the table. previous may be nil.
func (r *report) print(w io.Writer, previous *report) {
	fmt.Fprintf(w, "\n%s, %d cores, %s, %s, %d changes, median of %d\n\n", r.CPU, r.Cores, r.Go, r.Server, r.Settings.Changes, r.Settings.Repeat)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\twhat\tours\tbaseline\tratio\tgoal\t\tlast run")
	for _, l := range r.Lines {
		goal, before := "", ""
		if l.Goal != 0 {
			goal = "≥ " + number(l.Goal)
			if l.AtMost {
				goal = "≤ " + number(l.Goal)
			}
		}
		if p, ok := previous.find(l.What); ok {
			before = number(p.Ratio)
		}
		fmt.Fprintf(t, "%s\t%s\t%s %s\t%s %s\t%s\t%s\t%s\t%s\n", l.Number, l.What, number(l.Ours), l.Unit, number(l.Other), l.Unit,
			number(l.Ratio), goal, l.verdict(), before)
	}
	_ = t.Flush()
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

// number prints three significant digits or all whole ones.
func number(f float64) string {
	switch {
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
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

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	if _, rest, ok := bytes.Cut(data, []byte("model name\t: ")); ok {
		name, _, _ := bytes.Cut(rest, []byte("\n"))
		return string(name)
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}
