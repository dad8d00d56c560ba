package pipeline

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// Status gives a snapshot. It may be called at any time, from any goroutine.
func (r *Replicate) Status() *status.Replicate {
	now := time.Now()
	s, saved, alive := r.life.present()
	out := &status.Replicate{
		Half:   status.Half{State: r.state(s, saved, alive), Trouble: []status.Trouble{}},
		Source: net.JoinHostPort(r.cfg.Source.Host, strconv.Itoa(int(r.cfg.Source.Port))), Migration: string(r.cfg.Migration),
		Stream:    cmp.Or(r.cfg.Stream.StreamName, r.cfg.Stream.StreamARN),
		SourceLag: r.metrics.sourceLag().Seconds(), TargetLag: r.metrics.targetLag().Seconds(), CheckpointAge: r.metrics.age().Seconds(),
		Retention: r.metrics.retentionReport(), Shards: []status.WriteShard{}, Tables: []status.Table{},
	}
	if doc, _ := r.pause.now(); doc.Paused {
		out.Paused = doc.Since
	}
	out.StandingBy = r.life.standing()
	out.Trouble = troubles(out.Trouble, now, map[string]*outage.Watch{
		status.SourceTrouble: r.sourceHealth, "stream " + out.Stream: r.streamHealth, "checkpoint store": r.storeHealth, "oversized destination": r.bodiesHealth,
	})
	counts := r.metrics.byTable()
	for _, c := range counts {
		out.Changes += c.inserts + c.updates + c.deletes
		out.LoadRows += c.loaded
	}
	switch {
	case s != nil:
		r.reportSession(out, s, counts, now)
	case saved != nil:
		out.Position = position(saved)
		for _, d := range saved.Tables {
			if r.cfg.Rules.Selected(d.Schema, d.Table) || r.cfg.Rules.SelectedView(d.Schema, d.Table) {
				out.Tables = append(out.Tables, counts[tableID{d.Schema, d.Table}].table(d, (&loadPace{}).load(&d, now)))
			}
		}
	}
	return out
}

// state says what replicate does.
func (r *Replicate) state(s *session, saved *replicateDoc, alive bool) status.State {
	switch paused := r.pause.isPaused(); {
	case r.life.standing() != nil:
		return status.StandingBy
	case saved != nil:
		return status.Paused
	case paused && alive:
		return status.Pausing
	case paused:
		return status.Paused
	case !alive:
		return status.Stopped
	case s == nil || !r.ready.Load():
		return status.Connecting
	case !s.progress.complete():
		return status.Loading
	}
	return status.Streaming
}

// reportSession tells what is known while a session runs.
func (r *Replicate) reportSession(out *status.Replicate, s *session, counts map[tableID]tableCounts, now time.Time) {
	out.Server = string(s.server.Flavor) + " " + s.server.Version
	p := s.state.savedPosition()
	out.Position = status.Position{File: p.File, Offset: p.Offset, GTIDs: p.GTIDSet}
	w := s.writer.Status()
	out.Queue = status.Room{Used: int64(w.QueueBytes), Limit: int64(w.QueueLimit)}
	out.Records, out.Throttled = w.Records, w.Throttled
	for _, sh := range w.Shards {
		out.Shards = append(out.Shards, status.WriteShard{Shard: sh.Shard, Throttled: sh.Throttled, LastThrottled: sh.LastThrottled})
	}
	loads := s.progress.loads(now)
	for _, d := range s.progress.shown() {
		id := tableID{d.Schema, d.Table}
		out.Tables = append(out.Tables, counts[id].table(d, loads[id]))
	}
}

// troubles adds what fails of the things that a half depends on, by name.
func troubles(list []status.Trouble, now time.Time, watches map[string]*outage.Watch) []status.Trouble {
	for _, what := range slices.Sorted(maps.Keys(watches)) {
		w := watches[what]
		if err := w.Trouble(); err != nil {
			list = append(list, status.Trouble{What: what, Error: err.Error(), Since: now.Add(-w.Lasts())})
		}
	}
	return list
}

func position(d *replicateDoc) status.Position {
	return status.Position{File: d.Position.File, Offset: d.Position.Offset, GTIDs: d.Position.GTIDSet}
}

// tableCounts is what was counted of one table.
type tableCounts struct{ inserts, updates, deletes, ddls, loaded uint64 }

func (c tableCounts) table(d tableDoc, load *status.Load) status.Table {
	return status.Table{
		Schema: d.Schema, Table: d.Table, State: d.State, Error: d.Error, Load: load,
		Inserts: c.inserts, Updates: c.updates, Deletes: c.deletes, DDLs: c.ddls,
	}
}

// byTable reads the counters. They are the metrics' own, so that the two agree.
func (m *replicateMetrics) byTable() map[tableID]tableCounts {
	out := make(map[tableID]tableCounts)
	each(m.changes, func(labels map[string]string, n uint64) {
		id := tableID{labels["schema"], labels["table"]}
		c := out[id]
		switch labels["operation"] {
		case "insert":
			c.inserts += n
		case "update":
			c.updates += n
		case "delete":
			c.deletes += n
		}
		out[id] = c
	})
	each(m.ddls, func(labels map[string]string, n uint64) {
		id := tableID{labels["schema"], labels["table"]}
		c := out[id]
		c.ddls += n
		out[id] = c
	})
	each(m.loads, func(labels map[string]string, n uint64) {
		id := tableID{labels["schema"], labels["table"]}
		c := out[id]
		c.loaded += n
		out[id] = c
	})
	return out
}

// each gives the counters of a vector.
func each(v prometheus.Collector, use func(labels map[string]string, n uint64)) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(v)
	families, _ := registry.Gather() // what could be gathered is there even if something could not
	for _, m := range metricsOf(families) {
		labels := make(map[string]string, len(m.GetLabel()))
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		use(labels, uint64(m.GetCounter().GetValue()))
	}
}

func metricsOf(families []*dto.MetricFamily) (all []*dto.Metric) {
	for _, f := range families {
		all = append(all, f.GetMetric()...)
	}
	return all
}
