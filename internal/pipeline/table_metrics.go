package pipeline

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// showGone is for how long metrics tell of a table that was dropped. Afterwards it is forgotten, so that a source that
// makes and drops tables all day does not fill the memory of whoever collects them.
const showGone = time.Hour

// dropped notes that a table does not exist any more.
func (m *replicateMetrics) dropped(id tableID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone[id] = time.Now()
}

// tableStates collects one gauge a table: 1 for the state it is in.
type tableStates struct{ m *replicateMetrics }

var tableStateDesc = prometheus.NewDesc("binlogstreamer_table_state", "1 for the state that a table is in.", []string{"schema", "table", "state"}, nil)

// Describe implements prometheus.Collector.
func (tableStates) Describe(ch chan<- *prometheus.Desc) { ch <- tableStateDesc }

// Collect implements prometheus.Collector.
func (s tableStates) Collect(ch chan<- prometheus.Metric) {
	s.m.mu.Lock()
	f := s.m.tables
	s.m.mu.Unlock()
	if f == nil {
		return
	}
	for _, d := range f() {
		if d.State == StateGone && !s.m.showsGone(tableID{d.Schema, d.Table}) {
			continue
		}
		ch <- prometheus.MustNewConstMetric(tableStateDesc, prometheus.GaugeValue, 1, d.Schema, d.Table, d.State)
	}
}

// showsGone says whether a table that does not exist was dropped so lately that it is still told of. What was counted of
// one that is not goes with it.
func (m *replicateMetrics) showsGone(id tableID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, lately := m.gone[id]
	if lately && time.Since(at) < showGone {
		return true
	}
	if lately {
		delete(m.gone, id)
		of := prometheus.Labels{"schema": id.Schema, "table": id.Table}
		for _, v := range []*prometheus.CounterVec{m.changes, m.loads, m.unlogged, m.large, m.ddls} {
			v.DeletePartialMatch(of)
		}
		m.stale.Store(true)
	}
	return false
}
