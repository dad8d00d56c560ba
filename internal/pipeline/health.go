package pipeline

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
)

// Parts of what the replicate half depends on, as log lines name them.
const (
	partConnect     = "connect"
	partCheckpoint  = "checkpoint"
	partDefinitions = "table definitions"
)

// newActive makes the gauge that tells a process that works from one that stands by.
func newActive(half string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "binlogstreamer_active", Help: "1 while this process does the work of a half of the pipeline, 0 while it stands by or has ended it.",
		ConstLabels: prometheus.Labels{"half": half},
	})
}

// constant is a gauge of a setting.
func constant(name, help string, value float64) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	g.Set(value)
	return g
}

// register shows what Replicate depends on, and whether it works.
func (r *Replicate) register(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	reg.MustRegister(r.active, r.sourceHealth.Gauge("replicate", "source"), r.streamHealth.Gauge("replicate", "stream"),
		r.storeHealth.Gauge("replicate", "checkpoint_store"),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "binlogstreamer_full_load_buffered_bytes", Help: "Memory that chunks of the full load take between the source and the stream's queue.",
		}, func() float64 { return float64(r.buffered()) }),
		constant("binlogstreamer_full_load_buffer_limit_bytes",
			"What binlogstreamer_full_load_buffered_bytes may rise to before readers wait; a larger row passes alone.", float64(r.cfg.LoadBytes)))
	if r.cfg.Oversized.Policy == OversizedSpill {
		reg.MustRegister(r.bodiesHealth.Gauge("replicate", "oversized_destination"))
	}
}

// buffered is the memory that the full load takes.
func (r *Replicate) buffered() int {
	if b := r.budget.Load(); b != nil {
		return b.InUse()
	}
	return 0
}

// forget ends what is told of the things that a session depends on: nobody uses them any more. The store is asked on for the lock.
func (r *Replicate) forget() {
	for _, w := range []*outage.Watch{r.sourceHealth, r.streamHealth, r.bodiesHealth} {
		w.Reset()
	}
}

// register shows what Deliver depends on, and whether it works.
func (d *Deliver) register(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	reg.MustRegister(d.active, d.streamHealth.Gauge("deliver", "stream"), d.destinationHealth.Gauge("deliver", "destination"),
		d.storeHealth.Gauge("deliver", "checkpoint_store"), d.bodiesHealth.Gauge("deliver", "oversized_destination"))
}
