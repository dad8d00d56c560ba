package lease

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what becomes of leases.
type Metrics struct {
	Held    prometheus.Gauge
	Unowned prometheus.Gauge
	Taken   prometheus.Counter
	Stolen  prometheus.Counter
	Lost    prometheus.Counter
}

// NewMetrics makes the metrics and registers them, unless r is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "binlogstreamer", Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "binlogstreamer", Name: name, Help: help})
	}
	m := &Metrics{
		Held:    gauge("leases_held", "Shards that this process works on."),
		Unowned: gauge("leases_unowned", "Shards that could be worked on and that no live process has, as this one sees it."),
		Taken:   counter("leases_taken_total", "Shards that became this process's."),
		Stolen:  counter("leases_stolen_total", "Shards that this process asked another one for, since that had more."),
		Lost:    counter("leases_lost_total", "Shards that this process lost without giving them back: it could not renew in time, or was slower than another."),
	}
	if r != nil {
		r.MustRegister(m.Held, m.Unowned, m.Taken, m.Stolen, m.Lost)
	}
	return m
}
