package kinesisin

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what is read.
type Metrics struct {
	Records   prometheus.Counter
	Bytes     prometheus.Counter
	Throttled *prometheus.CounterVec // by shard
	Failed    prometheus.Counter
	Outside   prometheus.Counter
}

// Forget drops what is told of a shard that is not read any more.
func (m *Metrics) Forget(shard string) { m.Throttled.DeleteLabelValues(shard) }

// NewMetrics makes the metrics and registers them, unless r is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "binlogstreamer", Name: name, Help: help}
	}
	m := &Metrics{
		Records:   prometheus.NewCounter(opts("read_records_total", "Kinesis records read.")),
		Bytes:     prometheus.NewCounter(opts("read_bytes_total", "Bytes of Kinesis records read.")),
		Throttled: prometheus.NewCounterVec(opts("read_throttled_total", "Reading calls that Kinesis throttled."), []string{"shard"}),
		Failed:    prometheus.NewCounter(opts("read_calls_failed_total", "Calls for reading that failed and were repeated, apart from throttled ones.")),
		Outside: prometheus.NewCounter(opts("read_aggregates_dropped_total", "Aggregated records that were dropped because a record in them "+
			"belongs to another shard's hash keys (delivery.kpl_hash_range_filter).")),
	}
	if r != nil {
		r.MustRegister(m.Records, m.Bytes, m.Throttled, m.Failed, m.Outside)
	}
	return m
}
