package pipeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// DeliverStatus is what Deliver is doing at one moment.
type DeliverStatus struct {
	Stream      string
	Destination string
	Ready       bool
	Draining    bool
	Freshness   time.Duration // age of the oldest record that is not stored; 0 if there is none
	Retention   time.Duration // until that record, or one that arrives now, leaves the stream; 0 also if that is not known
	Memory      int64         // bytes of records held
	MemoryLimit int64
	Trouble     []string // what fails at present and is tried again
	Shards      []ShardStatus
}

// ShardStatus is what a shard's worker is doing.
type ShardStatus struct {
	Shard      string
	Behind     time.Duration // how far reading is behind the shard's end
	Answered   time.Time     // when the stream answered last
	Seen       time.Time     // everything that arrived until then has been read
	Oldest     time.Time     // arrival of the oldest record that is held; zero if none is
	Records    int           // held
	Bytes      int64         // held, plain
	Storing    bool
	Stored     string // sequence number up to which the shard is stored
	Objects    int    // stored since the start
	LastObject string // the key of the newest of them
	LastStored time.Time
}

// Status gives a snapshot. It may be called at any time.
func (d *Deliver) Status() DeliverStatus {
	s := DeliverStatus{
		Stream: d.cfg.Stream.Stream, Destination: d.cfg.Destination.String(), Ready: d.Ready(), Draining: d.isDraining(),
		Memory: d.budget.inUse(), MemoryLimit: d.cfg.MaxBytes,
	}
	for _, w := range d.watches() {
		if err := w.Trouble(); err != nil {
			s.Trouble = append(s.Trouble, err.Error())
		}
	}
	s.Shards = d.shards()
	now := time.Now()
	for i := range s.Shards {
		s.Freshness = max(s.Freshness, s.Shards[i].freshness(now))
	}
	if keep := d.keeps(); keep > 0 {
		s.Retention = max(keep-s.Freshness, 0)
	}
	return s
}

// watches are of all that Deliver depends on.
func (d *Deliver) watches() []*outage.Watch {
	return []*outage.Watch{d.streamHealth, d.destinationHealth, d.storeHealth, d.bodiesHealth}
}

// keeps is how long the stream keeps records; 0 as long as that is not known.
func (d *Deliver) keeps() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.about.Retention
}

func (d *Deliver) shards() []ShardStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]ShardStatus, 0, len(d.workers))
	for _, w := range d.workers {
		w.mu.Lock()
		list = append(list, w.status)
		w.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b ShardStatus) int { return cmp.Compare(a.Shard, b.Shard) })
	return list
}

// silentAfter is how long a stream may not answer before records are assumed to be waiting in it.
const silentAfter = 15 * time.Second

// freshness is the age of the oldest record of the shard that is not stored, as far as that is known.
func (s *ShardStatus) freshness(now time.Time) time.Duration {
	age := s.Behind
	if !s.Oldest.IsZero() {
		age = max(age, now.Sub(s.Oldest))
	}
	if !s.Seen.IsZero() && now.Sub(s.Answered) > silentAfter {
		age = max(age, now.Sub(s.Seen))
	}
	return max(age, 0)
}

// heard notes an answer of the stream.
func (w *shardWorker) heard(b *kinesisin.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Behind, w.status.Answered, w.status.Seen = b.Behind, b.Asked, b.Seen
}

// resumed notes what a former worker has read and stored. As long as the stream is not asked for more, as during a pause,
// what came after that counts as waiting.
func (w *shardWorker) resumed(seen time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Shard, w.status.Answered, w.status.Seen = w.shard.ID, time.Now(), seen
}

// keptObjects is how many of the latest objects are remembered.
const keptObjects = 20

// remember notes an object among the latest.
func (d *Deliver) remember(o status.Object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.latest = append(d.latest, o)
	d.latest = d.latest[max(0, len(d.latest)-keptObjects):]
}

// wrote notes an object.
func (w *shardWorker) wrote(o *s3sink.Object) {
	w.remember(status.Object{Key: o.Key, Shard: w.shard.ID, Records: o.Meta.Records, Bytes: int64(len(o.Body)), Stored: time.Now().UTC().Truncate(time.Millisecond)})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Objects++
	w.status.LastObject, w.status.LastStored = o.Key, time.Now()
}

// report notes what the worker holds.
func (w *shardWorker) report() {
	var oldest time.Time
	records, size := w.run.Records(), w.run.Bytes()
	switch {
	case w.storing != nil:
		oldest = w.storing.oldest
	case !w.run.Empty():
		_, oldest = w.run.First()
	case w.batch != nil && w.next < len(w.batch.Records):
		oldest = w.batch.Records[w.next].Arrival
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Shard = w.shard.ID
	w.status.Oldest, w.status.Records, w.status.Bytes, w.status.Storing = oldest, records, size, w.storing != nil
	w.status.Stored = w.stored
}

// deliverMetrics says how far behind delivery is. Gauges are computed when they are asked for, so that they stay true
// while nothing moves.
type deliverMetrics struct {
	dropped [dedupe.OtherEpoch + 1]prometheus.Counter
}

func newDeliverMetrics(reg prometheus.Registerer, d *Deliver) *deliverMetrics {
	m := &deliverMetrics{}
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "binlogstreamer_duplicates_dropped_total", Help: "Records that were not stored because they were sent twice, or by a writer that was replaced.",
	}, []string{"reason"})
	for _, v := range dedupe.Drops {
		m.dropped[v] = dropped.WithLabelValues(v.String())
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(dropped, behindCollector{d}, retentionCollector{d},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "binlogstreamer_delivery_freshness_seconds", Help: "Age of the oldest record that is not stored yet; 0 when there is none.",
		}, func() float64 { return d.Status().Freshness.Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "binlogstreamer_delivery_buffered_bytes", Help: "Memory that records take between the stream and the destination.",
		}, func() float64 { return float64(d.budget.inUse()) }),
		constant("binlogstreamer_delivery_buffer_limit_bytes",
			"What binlogstreamer_delivery_buffered_bytes may rise to before reading waits.", float64(d.cfg.MaxBytes)),
		constant("binlogstreamer_delivery_interval_seconds",
			"For how long records are gathered before an object is made of them, at the most (buffering_hints).", d.cfg.Interval.Seconds()),
	)
	return m
}

func (m *deliverMetrics) drop(dropped drops) {
	for v, n := range dropped {
		if n > 0 {
			m.dropped[v].Add(float64(n))
		}
	}
}

var behindDesc = prometheus.NewDesc("binlogstreamer_delivery_behind_seconds", "How far reading a shard is behind its newest record.", []string{"shard"}, nil)

// behindCollector gives a gauge for each shard that is read at present.
type behindCollector struct{ d *Deliver }

func (c behindCollector) Describe(ch chan<- *prometheus.Desc) { ch <- behindDesc }

func (c behindCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.d.shards() {
		ch <- prometheus.MustNewConstMetric(behindDesc, prometheus.GaugeValue, s.Behind.Seconds(), s.Shard)
	}
}

var retentionDesc = prometheus.NewDesc("binlogstreamer_stream_retention_seconds",
	"How long until the oldest record that is not stored leaves the stream and is lost; the stream's whole retention while everything is stored. "+
		"This is the one to alert on: below half of the stream's retention, wake somebody up.", nil, nil)

var retentionPeriodDesc = prometheus.NewDesc("binlogstreamer_stream_retention_period_seconds", "How long the stream keeps records.", nil, nil)

// retentionCollector gives its gauges once it is known how long the stream keeps records.
type retentionCollector struct{ d *Deliver }

func (c retentionCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- retentionDesc
	ch <- retentionPeriodDesc
}

func (c retentionCollector) Collect(ch chan<- prometheus.Metric) {
	if keep := c.d.keeps(); keep > 0 {
		ch <- prometheus.MustNewConstMetric(retentionPeriodDesc, prometheus.GaugeValue, keep.Seconds())
		ch <- prometheus.MustNewConstMetric(retentionDesc, prometheus.GaugeValue, c.d.Status().Retention.Seconds())
	}
}
