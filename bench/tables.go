package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// goals are all lines, in the order of the goals' numbers. previous may be nil.
func (r *report) goals(previous *report) grid {
	g := grid{name: "goals", title: "Goals", header: []string{"#", "what", "ours", "other", "ratio", "goal", "reached"}}
	if previous != nil {
		g.header = append(g.header, "last run")
	}
	lines := slices.Clone(r.Lines)
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.Number, b.Number) })
	for _, l := range lines {
		goal := ""
		if l.Goal != 0 {
			goal = "≥ " + number(l.Goal)
			if l.AtMost {
				goal = "≤ " + number(l.Goal)
			}
		}
		row := []string{l.Number, l.What, number(l.Ours) + " " + l.Unit, number(l.Other) + " " + l.Unit, number(l.Ratio), goal, l.verdict()}
		if previous != nil {
			before := ""
			if p, ok := previous.find(l.What); ok {
				before = number(p.Ratio)
			}
			row = append(row, before)
		}
		g.add(row...)
	}
	return g
}

// details are all tables but the first.
func (r *report) details() []grid {
	return append([]grid{
		r.steps(), r.workloadsDecoded(), r.workloadsWhole(), r.latencies(), r.latencyHistogram(), r.growthTable(), r.memoryTable(),
		r.sourceTable(),
		r.sizing(), r.elapsedTable(), r.run(),
	}, r.prices()...)
}

// mainLines are the lines that fit a page: without those that have tables of their own.
func (r *report) mainLines() grid {
	short := *r
	short.Lines = nil
	for _, l := range r.Lines {
		if l.Number != "5" && !strings.HasPrefix(l.What, "workload: ") {
			short.Lines = append(short.Lines, l)
		}
	}
	if worst, ok := r.worstMemory(); ok {
		worst.What = "highest peak of all, " + strings.TrimPrefix(worst.What, "peak resident memory: ")
		short.Lines = append(short.Lines, worst)
	}
	return short.goals(nil)
}

func (r *report) worstMemory() (worst line, ok bool) {
	for _, l := range r.Lines {
		if l.Number == "5" && l.Ratio > worst.Ratio {
			worst, ok = l, true
		}
	}
	return worst, ok
}

// costs are the columns that every measurement has.
var costs = []string{"µs CPU", "a second", "peak MiB", "bytes allocated", "objects", "GC cycles", "GC % of CPU"}

func (m measurement) costs() []string {
	return []string{number(m.cpuPerItem()), number(m.perSecond()), mib(m.RSS), number(m.allocated()), number(m.objects()),
		grouped(m.Garbage.Cycles), number(m.gcShare())}
}

func (r *report) steps() grid {
	g := grid{name: "steps", title: "What was measured for the goals, medians; per change, row or record",
		header: append([]string{"step", "items", "MB/s"}, costs...)}
	for _, m := range r.Medians {
		g.add(append([]string{m.Step, grouped(m.Items), number(m.mbPerSecond())}, m.costs()...)...)
	}
	return g
}

func (r *report) workloadsDecoded() grid {
	g := grid{name: "workloads", title: "Workloads, binlog to record bytes, per change",
		header: []string{"workload", "binlog bytes", "record bytes", "bytes alone, µs CPU", "ours, µs CPU", "baseline, µs CPU", "ratio",
			"ours a second", "ours MiB", "baseline MiB", "ours: bytes allocated", "objects", "GC % of CPU"}}
	for _, w := range r.Workloads {
		g.add(w.Name, grouped(w.Binlog), grouped(w.Record), number(w.Raw.cpuPerItem()), number(w.Ours.cpuPerItem()), number(w.Baseline.cpuPerItem()),
			number(w.Baseline.cpuPerItem()/w.Ours.cpuPerItem()), number(w.Ours.perSecond()), mib(w.Ours.RSS), mib(w.Baseline.RSS),
			number(w.Ours.allocated()), number(w.Ours.objects()), number(w.Ours.gcShare()))
	}
	return g
}

func (r *report) workloadsWhole() grid {
	g := grid{name: "halves", title: "Workloads through each whole half, per change or record", header: append([]string{"workload", "half"}, costs...)}
	for _, w := range r.Workloads {
		g.add(append([]string{w.Name, "replicate"}, w.Replicate.costs()...)...)
		g.add(append([]string{"", "deliver"}, w.Deliver.costs()...)...)
	}
	return g
}

func (r *report) latencies() grid {
	g := grid{name: "latency", title: "From COMMIT to readable, in ms",
		header: []string{"changes a second", "achieved", "rows a transaction", "changes", "counted from", "p50", "p99", "p99.9", "highest", "product's µs CPU a change"}}
	for _, l := range r.Latency {
		row := []string{l.Name, number(l.Achieved), fmt.Sprint(l.Rows), grouped(l.Changes)}
		for i, d := range []distribution{l.Returned, l.Sent, l.Due} {
			from := []string{"the return of COMMIT", "its sending", "when it was due"}[i]
			cpu := ""
			if i == 0 {
				cpu = number(l.Process.cpuPerItem())
			}
			g.add(append(row, from, number(milliseconds(d.P50)), number(milliseconds(d.P99)), number(milliseconds(d.P999)), number(milliseconds(d.Max)), cpu)...)
			row = []string{"", "", "", ""}
		}
	}
	return g
}

// latencyHistogram counts from the return of COMMIT.
func (r *report) latencyHistogram() grid {
	g := grid{name: "histogram", title: "From the return of COMMIT to readable, changes in each span of time", header: []string{"up to"}}
	if len(r.Latency) == 0 {
		return g
	}
	highest := 0
	for _, l := range r.Latency {
		g.header = append(g.header, l.Name)
		for i, n := range l.Returned.Buckets {
			if n > 0 {
				highest = max(highest, i)
			}
		}
	}
	for i := range highest + 1 {
		row := []string{"more"}
		if i < len(bounds) {
			row[0] = fmt.Sprintf("%g ms", milliseconds(bounds[i]))
		}
		for _, l := range r.Latency {
			row = append(row, grouped(l.Returned.Buckets[i]))
		}
		g.add(row...)
	}
	return g
}

func (r *report) growthTable() grid {
	g := grid{name: "growth", title: "As work grows, per change or record", header: append([]string{"of", "number", "what"}, costs...)}
	for _, x := range r.Growth {
		g.add(append([]string{x.Of, grouped(x.N), x.Half}, x.Found.costs()...)...)
	}
	return g
}

func (r *report) sourceTable() grid {
	g := grid{name: "source", title: "What reading the table cost the server, per row",
		header: []string{"buffer pool", "step", "statements in all", "rows examined", "pages asked of the pool", "pages read from disk", "server's µs CPU"}}
	for _, l := range r.Source {
		g.add(l.Pool, l.Step, grouped(l.Statements), number(l.RowsRead), fmt.Sprintf("%.3f", l.Requests), fmt.Sprintf("%.4f", l.Reads), number(l.CPU))
	}
	return g
}

func (r *report) memoryTable() grid {
	g := grid{name: "memory", title: fmt.Sprintf("Peak resident memory, memory_limit %d MiB", productMemory>>20), header: []string{"through", "MiB", "below the limit"}}
	for _, l := range r.Lines {
		if l.Number == "5" {
			g.add(strings.TrimPrefix(l.What, "peak resident memory: "), number(l.Ours), map[bool]string{true: "yes", false: "no"}[l.Ratio <= 1])
		}
	}
	return g
}

func (r *report) elapsedTable() grid {
	g := grid{name: "elapsed", title: "How long the run took", header: []string{"part", "seconds"}}
	var total time.Duration
	for _, e := range r.Elapsed {
		g.add(e.Part, number(e.Took.Seconds()))
		total += e.Took
	}
	g.add("together", number(total.Seconds()))
	return g
}

// run says where and when.
func (r *report) run() grid {
	g := grid{name: "run", title: "The run", header: []string{"", ""}}
	g.add("date", r.Time.Format("2 January 2006, 15:04 MST"))
	g.add("commit", r.Commit)
	g.add("machine", fmt.Sprintf("%s, %d hardware threads, %s MiB", r.Machine.CPU, r.Machine.Cores, grouped(r.Machine.MemoryMiB)))
	g.add("kernel, Go", r.Machine.Kernel+", "+r.Machine.Go)
	g.add("servers", strings.Join(r.Servers, ", "))
	g.add("sizes", fmt.Sprintf("%s changes, median of %d", grouped(r.Settings.Changes), r.Settings.Repeat))
	return g
}
