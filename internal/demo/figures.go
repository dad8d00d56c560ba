package demo

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// figures are what the view shows of the pipeline, read from its metrics as a dashboard would.
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

const metricPrefix = "binlogstreamer_"

func readFigures(g prometheus.Gatherer) (f figures) {
	for _, s := range samples(g) {
		switch s.name {
		case "full_load_rows_total":
			f.loaded += int64(s.value)
		case "changes_total":
			f.changes += int64(s.value)
		case "source_lag_seconds":
			f.sourceLag = s.value
		case "target_lag_seconds":
			f.targetLag = s.value
		case "delivery_freshness_seconds":
			f.freshness = max(f.freshness, s.value)
		case "objects_total":
			f.objects += int64(s.value)
		case "object_bytes_total":
			f.objectBytes += int64(s.value)
		case "table_state":
			if s.value == 1 {
				f.tables++
			}
			if s.value == 1 && s.state == "Table completed" {
				f.tablesLoaded++
			}
		}
	}
	return f
}

// sample is one value of a metric of ours, without the prefix of its name.
type sample struct {
	name  string
	state string // the label state
	value float64
}

func samples(g prometheus.Gatherer) (out []sample) {
	families, _ := g.Gather() // what could be gathered is there even if something could not
	for _, family := range families {
		name, ours := strings.CutPrefix(family.GetName(), metricPrefix)
		if !ours {
			continue
		}
		for _, m := range family.GetMetric() {
			s := sample{name: name, value: m.GetCounter().GetValue() + m.GetGauge().GetValue()}
			for _, label := range m.GetLabel() {
				if label.GetName() == "state" {
					s.state = label.GetValue()
				}
			}
			out = append(out, s)
		}
	}
	return out
}

// pipelineHasStarted says whether replicate has taken its start position: it knows its tables only then.
func pipelineHasStarted(g prometheus.Gatherer) bool { return readFigures(g).tables > 0 }
