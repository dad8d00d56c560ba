package pipeline

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// replicateMetrics answers how far behind replication is and what it has done. Gauges are computed when they are
// asked for, so that they stay true while nothing moves.
type replicateMetrics struct {
	changes  *prometheus.CounterVec
	loads    *prometheus.CounterVec
	unlogged *prometheus.CounterVec
	large    *prometheus.CounterVec
	ddls     *prometheus.CounterVec
	counters map[*schema.Table]*[record.Delete + 1]prometheus.Counter // the emitter's goroutine only, under its mutex
	newest   atomic.Int64                                             // commit time of the newest change read, Unix nanoseconds; 0: caught up
	last     atomic.Int64                                             // the same, as the session before this one left it

	stale atomic.Bool // counters are to be looked up again

	mu            sync.Mutex // covers what follows
	oldestUnacked func() (time.Time, bool)
	checkpointAge func() time.Duration
	tables        func() []tableDoc
	retention     func() float64
	keeps         func() float64
	watch         *retention            // which these two are of
	paused        *pausedLag            // while the half is paused; else nil
	gone          map[tableID]time.Time // tables that were dropped lately
}

func newReplicateMetrics(reg prometheus.Registerer) *replicateMetrics {
	m := &replicateMetrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "binlogstreamer_changes_total", Help: "Row changes handed to the stream writer.",
		}, []string{"schema", "table", "operation"}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "binlogstreamer_full_load_rows_total", Help: "Full-load rows handed to the stream writer.",
		}, []string{"schema", "table"}),
		unlogged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "binlogstreamer_unlogged_changes_total", Help: "Statements that changed rows without logging them, of tables that could not be loaded again.",
		}, []string{"schema", "table"}),
		large: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "binlogstreamer_oversized_records_total", Help: "Records that were larger than the stream takes, by what became of them.",
		}, []string{"schema", "table", "policy"}),
		ddls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "binlogstreamer_ddl_statements_total", Help: "Statements that changed a table's definition, or emptied, dropped or renamed it.",
		}, []string{"schema", "table"}),
		counters: make(map[*schema.Table]*[record.Delete + 1]prometheus.Counter),
		gone:     make(map[tableID]time.Time),
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.changes, m.loads, m.unlogged, m.large, m.ddls, tableStates{m},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "binlogstreamer_source_lag_seconds", Help: "Age of the newest change read from the source; 0 when idle and caught up.",
		}, func() float64 { return m.sourceLag().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "binlogstreamer_target_lag_seconds", Help: "Age of the oldest change that the stream has not acknowledged; 0 when there is none.",
		}, func() float64 { return m.targetLag().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "binlogstreamer_checkpoint_age_seconds", Help: "Time since the newest checkpoint of replicate was saved.",
		}, func() float64 { return m.age().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "binlogstreamer_binlog_retention_seconds",
			Help: "Time until the source may purge the binlog that a restart from the saved checkpoint needs; 0 if it has, +Inf if it keeps everything, NaN while that is not known.",
		}, func() float64 { return m.measured(&m.retention) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "binlogstreamer_binlog_retention_period_seconds",
			Help: "How long the source keeps a binlog file after it was last written; +Inf if it keeps everything, NaN while that is not known.",
		}, func() float64 { return m.measured(&m.keeps) }),
	)
	return m
}

// observe connects the gauges with a running session.
func (m *replicateMetrics) observe(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.oldestUnacked, m.checkpointAge, m.tables = s.tracker.OldestUnacked, s.saver.age, s.progress.shown
	m.watch, m.retention, m.keeps = s.retention, s.retention.seconds, s.retention.period
}

// forget is called when a session ends: there is nothing to measure until the next one.
func (m *replicateMetrics) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.oldestUnacked, m.checkpointAge, m.tables, m.retention, m.keeps = nil, nil, nil, nil, nil
	m.watch, m.paused = nil, nil
	m.last.Store(m.newest.Swap(0))
}

// observePause connects the gauges with what is known during a pause.
func (m *replicateMetrics) observePause(saved replicateDoc, w *retention, lag *pausedLag) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tables, m.paused = func() []tableDoc { return saved.Tables }, lag
	m.watch, m.retention, m.keeps = w, w.seconds, w.period
}

// behindSince is when the newest change was committed that the last session read, or, if it had caught up or there was
// none, when its checkpoint was saved.
func (m *replicateMetrics) behindSince(saved time.Time) time.Time {
	if at := m.last.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return saved
}

// oversized counts a record that was larger than the stream takes.
func (m *replicateMetrics) oversized(t *schema.Table, became OversizedPolicy) {
	m.large.WithLabelValues(t.Schema, t.Name, string(became)).Inc()
}

// read notes that a change committed at t was read.
func (m *replicateMetrics) read(t time.Time) { m.newest.Store(t.UnixNano()) }

// boundary notes the end of a transaction, or that there was none to read.
func (m *replicateMetrics) boundary(b binlog.Boundary) {
	if b.Idle {
		m.newest.Store(0)
		return
	}
	m.newest.Store(b.Time.UnixNano())
}

func (m *replicateMetrics) changed(t *schema.Table, op record.Operation) {
	if m.stale.Load() {
		m.stale.Store(false)
		clear(m.counters)
	}
	c := m.counters[t]
	if c == nil {
		if len(m.counters) >= maxPlans {
			clear(m.counters)
		}
		c = new([record.Delete + 1]prometheus.Counter)
		for _, o := range []record.Operation{record.Insert, record.Update, record.Delete} {
			c[o] = m.changes.WithLabelValues(t.Schema, t.Name, o.String())
		}
		m.counters[t] = c
	}
	c[op].Inc()
}

func (m *replicateMetrics) loaded(t *schema.Table, rows uint64) {
	m.loads.WithLabelValues(t.Schema, t.Name).Add(float64(rows))
}

func (m *replicateMetrics) sourceLag() time.Duration {
	m.mu.Lock()
	paused := m.paused
	m.mu.Unlock()
	if paused != nil {
		return paused.age()
	}
	at := m.newest.Load()
	if at == 0 {
		return 0
	}
	return max(0, time.Since(time.Unix(0, at)))
}

func (m *replicateMetrics) targetLag() time.Duration {
	m.mu.Lock()
	f := m.oldestUnacked
	m.mu.Unlock()
	if f == nil {
		return 0
	}
	at, any := f()
	if !any {
		return 0
	}
	return max(0, time.Since(at))
}

// measured is what one of the functions that mu covers says; NaN without a session.
func (m *replicateMetrics) measured(what *func() float64) float64 {
	m.mu.Lock()
	f := *what
	m.mu.Unlock()
	if f == nil {
		return math.NaN()
	}
	return f()
}

// retentionReport knows nothing until a session says.
func (m *replicateMetrics) retentionReport() status.Retention {
	m.mu.Lock()
	w := m.watch
	m.mu.Unlock()
	if w == nil {
		return status.Retention{}
	}
	return w.report()
}

func (m *replicateMetrics) age() time.Duration {
	m.mu.Lock()
	f := m.checkpointAge
	m.mu.Unlock()
	if f == nil {
		return 0
	}
	return f()
}
