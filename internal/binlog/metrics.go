package binlog

import (
	"errors"

	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics answer: is the source being read, how fast, and how far behind.
type metrics struct {
	events     *prometheus.CounterVec
	byKind     [256]prometheus.Counter // of events, looked up once per kind
	bytes      prometheus.Counter
	rows       prometheus.Counter
	skipped    prometheus.Counter
	passed     prometheus.Counter
	ahead      prometheus.Counter
	reconnects prometheus.Counter
	connected  prometheus.Gauge
	lastEvent  prometheus.Gauge
	lastHeard  prometheus.Gauge
	fileNumber prometheus.Gauge
	offset     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return register(reg, prometheus.NewCounter(prometheus.CounterOpts{Namespace: "binlogstreamer", Subsystem: "binlog", Name: name, Help: help}))
	}
	gauge := func(name, help string) prometheus.Gauge {
		return register(reg, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "binlogstreamer", Subsystem: "binlog", Name: name, Help: help}))
	}
	return &metrics{
		events: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "binlogstreamer", Subsystem: "binlog", Name: "events_total", Help: "Binary log events read, by type.",
		}, []string{"type"})),
		bytes:      counter("read_bytes_total", "Bytes of binary log events read."),
		rows:       counter("rows_events_handed_over_total", "Rows events of selected tables handed over."),
		skipped:    counter("rows_events_repeated_total", "Rows events read again after a lost connection and not handed over twice."),
		passed:     counter("rows_events_of_failed_tables_total", "Rows events passed over because their tables cannot be read."),
		ahead:      counter("looked_ahead_bytes_total", "Bytes of binary log read ahead to find changes of table definitions."),
		reconnects: counter("reconnects_total", "Attempts to reach the source again after a lost connection."),
		connected:  gauge("connected", "1 while the source sends its binary log."),
		lastEvent:  gauge("last_event_timestamp_seconds", "When the source logged the event that was read last."),
		lastHeard:  gauge("last_heard_timestamp_seconds", "When the source was last heard of, heartbeats included."),
		fileNumber: gauge("file_number", "Number of the binary log file that is read."),
		offset:     gauge("file_offset_bytes", "Offset in that file behind the event that was read last."),
	}
}

// register registers a collector, or finds the one that an earlier Reader registered under the same name.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, ok := already.ExistingCollector.(C); ok {
			return old
		}
	}
	if err != nil {
		panic(err) // two different metrics have one name
	}
	return c
}

// count counts one event.
func (m *metrics) count(k replication.EventType, size int) {
	c := m.byKind[byte(k)]
	if c == nil {
		c = m.events.WithLabelValues(eventName(k))
		m.byKind[byte(k)] = c
	}
	c.Inc()
	m.bytes.Add(float64(size))
}
