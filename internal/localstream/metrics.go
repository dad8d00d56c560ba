package localstream

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the serving process counts.
type metrics struct {
	serving prometheus.Gauge
	records prometheus.Counter
	bytes   prometheus.Counter
	failed  prometheus.Counter
	commit  prometheus.Histogram
	stored  prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	const prefix = "binlogstreamer_localstream_"
	m := &metrics{
		serving: prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "serving",
			Help: "1 if this process serves the embedded stream, 0 if another one does."}),
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "stored_records_total",
			Help: "Records stored in the embedded stream."}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "written_bytes_total",
			Help: "Bytes written for records of the embedded stream."}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "failed_commits_total",
			Help: "Writes to disk that failed; what they held was answered with InternalFailure."}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + "commit_seconds",
			Help:    "Time to write and sync one group of records.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}),
		stored: prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "disk_bytes",
			Help: "Bytes that the embedded stream occupies on disk, as of the last sweep."}),
	}
	if r != nil {
		r.MustRegister(m.serving, m.records, m.bytes, m.failed, m.commit, m.stored)
	}
	return m
}

func (m *metrics) committed(records, bytes int, took time.Duration, err error) {
	m.commit.Observe(took.Seconds())
	if err != nil {
		m.failed.Inc()
		return
	}
	m.records.Add(float64(records))
	m.bytes.Add(float64(bytes))
}
