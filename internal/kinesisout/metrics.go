package kinesisout

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	records   prometheus.Counter
	bytes     prometheus.Counter
	throttled *prometheus.CounterVec
	resent    prometheus.Counter
	failures  prometheus.Counter
	latency   prometheus.Histogram
	shards    prometheus.Gauge

	aggregates  prometheus.Counter
	paced       *prometheus.CounterVec
	paceBytes   *prometheus.GaugeVec
	paceRecords *prometheus.GaugeVec
}

// forget drops what is told of a shard that is no more.
func (m *metrics) forget(shard string) {
	m.throttled.DeleteLabelValues(shard)
	m.paced.DeleteLabelValues(shard)
	m.paceBytes.DeleteLabelValues(shard)
	m.paceRecords.DeleteLabelValues(shard)
}

func newMetrics(reg prometheus.Registerer, queued func() int, bound int) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "binlogstreamer_stream_queue_bytes", Help: "Memory of the records that wait for the stream or are on their way to it.",
	}, func() float64 { return float64(queued()) })
	f.NewGauge(prometheus.GaugeOpts{
		Name: "binlogstreamer_stream_queue_limit_bytes", Help: "What binlogstreamer_stream_queue_bytes may rise to before the source is held back.",
	}).Set(float64(bound))
	return &metrics{
		records: f.NewCounter(prometheus.CounterOpts{
			Name: "binlogstreamer_stream_records_total", Help: "Records that the stream acknowledged.",
		}),
		bytes: f.NewCounter(prometheus.CounterOpts{
			Name: "binlogstreamer_stream_bytes_total", Help: "Data and partition keys of the records that the stream acknowledged.",
		}),
		throttled: f.NewCounterVec(prometheus.CounterOpts{
			Name: "binlogstreamer_stream_throttled_total", Help: "Times that a record was refused because its shard or the stream is at its limit.",
		}, []string{"shard"}),
		resent: f.NewCounter(prometheus.CounterOpts{
			Name: "binlogstreamer_stream_resent_records_total", Help: "Times that a record was sent again, for whatever reason.",
		}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "binlogstreamer_stream_request_failures_total", Help: "Requests that failed as a whole or were not answered.",
		}),
		latency: f.NewHistogram(prometheus.HistogramOpts{
			Name: "binlogstreamer_stream_request_seconds", Help: "Time that the stream took to answer a request.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15), // 1 ms to 16 s
		}),
		shards: f.NewGauge(prometheus.GaugeOpts{
			Name: "binlogstreamer_stream_shards", Help: "Open shards of the stream.",
		}),
		aggregates: f.NewCounter(prometheus.CounterOpts{
			Name: "binlogstreamer_stream_aggregates_total", Help: "Aggregated records that the stream acknowledged; binlogstreamer_stream_records_total counts what was in them.",
		}),
		paced: f.NewCounterVec(prometheus.CounterOpts{
			Name: "binlogstreamer_stream_pace_wait_seconds_total", Help: "Time that queued records were held back so that their shard need not throttle.",
		}, []string{"shard"}),
		paceBytes: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "binlogstreamer_stream_pace_bytes_per_second", Help: "Rate that a shard's records are held to; +Inf without a limit.",
		}, []string{"shard"}),
		paceRecords: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "binlogstreamer_stream_pace_records_per_second", Help: "Rate that a shard's records are held to; +Inf without a limit.",
		}, []string{"shard"}),
	}
}
