package s3sink

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what is stored.
type Metrics struct {
	Objects    prometheus.Counter
	Bytes      prometheus.Counter
	PlainBytes prometheus.Counter
	Records    prometheus.Counter
	Rejected   prometheus.Counter
	Adopted    prometheus.Counter
	Failed     prometheus.Counter
	PutSeconds prometheus.Histogram
}

// NewMetrics makes the metrics and registers them, unless r is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "binlogstreamer", Name: name, Help: help})
	}
	m := &Metrics{
		Objects:    counter("objects_total", "Objects stored."),
		Bytes:      counter("object_bytes_total", "Bytes of stored objects, as stored."),
		PlainBytes: counter("object_plain_bytes_total", "Bytes of stored objects before compression."),
		Records:    counter("object_records_total", "Records in stored objects."),
		Rejected:   counter("error_output_records_total", "Records that were stored under error_output_prefix, since no partition could be made of them."),
		Adopted:    counter("objects_adopted_total", "Objects that were found under the key of a run, and that cover another part of the shard than we were about to store."),
		Failed:     counter("object_attempts_failed_total", "Attempts to store or to find an object that failed and were repeated."),
		PutSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "binlogstreamer", Name: "object_put_seconds",
			Help: "Time to store an object, with all attempts.", Buckets: prometheus.ExponentialBuckets(0.005, 2.5, 10)}),
	}
	if r != nil {
		r.MustRegister(m.Objects, m.Bytes, m.PlainBytes, m.Records, m.Rejected, m.Adopted, m.Failed, m.PutSeconds)
	}
	return m
}

func (m *Metrics) stored(o *Object, took time.Duration) {
	m.Objects.Inc()
	m.Bytes.Add(float64(len(o.Body)))
	m.PlainBytes.Add(float64(o.Meta.Bytes))
	m.Records.Add(float64(o.Meta.Records))
	if o.Failed {
		m.Rejected.Add(float64(o.Meta.Records))
	}
	m.PutSeconds.Observe(took.Seconds())
}
