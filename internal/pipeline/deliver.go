package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/lease"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// DeliverConfig holds what Deliver needs.
type DeliverConfig struct {
	Stream      kinesisin.Config // Health, Gate, Metrics and Logger are filled in
	Destination s3sink.Destination
	Layout      s3sink.LayoutConfig
	Bodies      s3sink.Bodies // where the writer puts records that are too large for the stream; nil: they stay references
	Store       checkpoint.Store
	Leases      func(stream string) lease.Table // of a stream, by its lease.StreamID; nil: one process has all shards
	Failover    time.Duration                   // after which a silent process's leases go to others; default 10 s
	Start       DeliverStart                    // used where nothing is saved
	Size        int64                           // plain bytes after which an object is closed; default 5 MiB
	Interval    time.Duration                   // time after which it is closed; 0 closes it with every answer of the stream
	MaxBytes    int64                           // memory for records of all shards; default 64 MiB
	Partitions  int                             // that a run may have at most; default 500, as Firehose's
	Once        bool                            // end when everything that is there is stored
	AcceptLoss  bool                            // go on where records have expired unread
	// HashRangeFilter drops an aggregated record as a whole if one in it belongs into another shard.
	HashRangeFilter bool
	Grace           time.Duration // for storing what is held at the end; default 25 s
	ListEvery       time.Duration // between looks for new shards; default 1 min
	SaveEvery       time.Duration // between checkpoints of a shard that stores nothing; default 5 min
	Log             *slog.Logger
	Registerer      prometheus.Registerer
}

// DeliverStart is where delivery begins in a stream of which nothing is stored yet. The zero value is the oldest
// record there is.
type DeliverStart struct {
	Latest bool      // with what arrives from the first start on
	Time   time.Time // with what arrived from then on
}

// Deliver is the half that takes records from the stream to objects.
//
// Every shard has a worker of its own; a child's begins when all its parents' have ended. All workers share one
// budget of bytes. What is stored is decided by the objects alone; the checkpoints say where to look. With leases, several
// processes share the shards; else one has them all, by a lock.
type Deliver struct {
	cfg       DeliverConfig
	stream    *kinesisin.Stream
	committer *s3sink.Committer
	budget    *budget
	metrics   *deliverMetrics
	reading   *kinesisin.Metrics
	written   *s3sink.Metrics
	pause     *pause
	life      life
	leases    *lease.Metrics // nil without leases
	compress  chan struct{}  // bounds how many objects are compressed at a time

	streamHealth, destinationHealth, storeHealth, bodiesHealth *outage.Watch
	active                                                     prometheus.Gauge

	drainOnce sync.Once
	drainTime time.Time     // when draining was closed; read after it was
	draining  chan struct{} // closed when Deliver is to end once it has stored what is there
	started   atomic.Bool
	standby   atomic.Bool // another process delivers
	hints     atomic.Pointer[hints]
	looks     atomic.Uint64 // how often the supervisor has gone round
	motion    motion

	mu      sync.Mutex // covers what follows
	workers map[string]*shardWorker
	about   kinesisin.Description
	listed  []kinesisin.Shard // of the stream
	sharing shares            // nil: it does not run
	latest  []status.Object   // stored by this process, newest last
}

// NewDeliver makes a Deliver. It does no I/O.
func NewDeliver(cfg DeliverConfig) *Deliver {
	if cfg.Size <= 0 {
		cfg.Size = 5 << 20
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 64 << 20
	}
	if cfg.Partitions <= 0 {
		cfg.Partitions = 500
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 25 * time.Second
	}
	if cfg.ListEvery <= 0 {
		cfg.ListEvery = time.Minute
	}
	if cfg.SaveEvery <= 0 {
		cfg.SaveEvery = 5 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Deliver{
		cfg:               cfg,
		budget:            newBudget(cfg.MaxBytes),
		draining:          make(chan struct{}),
		pause:             newPause("deliver", cfg.Store, cfg.Log),
		compress:          make(chan struct{}, compressors()),
		workers:           map[string]*shardWorker{},
		streamHealth:      outage.New(cfg.Log, "reading stream "+cfg.Stream.Stream),
		destinationHealth: outage.New(cfg.Log, "storing in "+cfg.Destination.String()),
		storeHealth:       outage.New(cfg.Log, "checkpoint store"),
		bodiesHealth:      outage.New(cfg.Log, "reading oversized records"),
		active:            newActive("deliver"),
	}
	d.Hint(cfg.Size, cfg.Interval)
	in := cfg.Stream
	in.Health, in.Gate, in.Logger, in.AcceptLoss = d.streamHealth, intake{d}, cfg.Log, cfg.AcceptLoss
	d.reading = kinesisin.NewMetrics(cfg.Registerer)
	in.Metrics = d.reading
	in.MaxRead = min(max(cfg.MaxBytes/16, minRead), maxRead)
	d.stream = kinesisin.New(in)
	d.written = s3sink.NewMetrics(cfg.Registerer)
	d.committer = s3sink.NewCommitter(s3sink.CommitterConfig{
		Destination: cfg.Destination, Health: d.destinationHealth, Metrics: d.written, Logger: cfg.Log,
	})
	d.metrics = newDeliverMetrics(cfg.Registerer, d)
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(d.pause.gauge())
	}
	d.register(cfg.Registerer)
	if cfg.Leases != nil {
		d.leases = lease.NewMetrics(cfg.Registerer)
	}
	if cfg.Once {
		d.Drain()
	}
	return d
}

const (
	maxCompressors = 4
	minRead        = 64 << 10
	maxRead        = 4 << 20
)

// compressors is how many objects are compressed at a time: half of the processors, so that reading goes on meanwhile. A
// second compressor on two of them only stops the reading of what the next object is made of.
func compressors() int { return min(max(runtime.GOMAXPROCS(0)/2, 1), maxCompressors) }

// Drain makes Run end once it has stored what is in the stream now. It may be called at any time.
func (d *Deliver) Drain() {
	d.drainOnce.Do(func() {
		d.drainTime = time.Now()
		close(d.draining)
	})
}

func (d *Deliver) isDraining() bool {
	select {
	case <-d.draining:
		return true
	default:
		return false
	}
}

// Ready says whether the stream has been reached, and the destination and the stream answered lately.
func (d *Deliver) Ready() bool {
	return d.started.Load() && d.streamHealth.OK() && d.destinationHealth.OK()
}

// Run delivers until ctx is done, everything is stored after Drain, or something fails that waiting cannot cure. When
// ctx ends, what is held is stored within the grace period; *UnstoredError says what was not. With leases, other
// processes may deliver with the same store at the same time. Else Run stands by while one does, unless it is to end by itself.
func (d *Deliver) Run(ctx context.Context) error {
	work := d.run
	if d.cfg.Leases == nil {
		t := &tenancy{
			store: d.cfg.Store, name: deliverLock, standBy: !d.cfg.Once, enough: d.draining, waits: &d.standby, stands: d.life.stands, log: d.cfg.Log,
			health: d.storeHealth,
		}
		work = func(ctx context.Context) error { return t.run(ctx, d.run) }
	}
	d.pause.tell(d.budget.pressAll)
	err := d.pause.beside(ctx, work)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = nil
	}
	return err
}

var errGraceOver = errors.New("the grace period is over")

// UnstoredError is returned by Run when the grace period was not enough, or what is held could not be stored without
// reading on. Nothing is lost: the stream still has it.
type UnstoredError struct {
	Records int
	Bytes   int64
	Unread  string // "", or the record up to which objects that another process had begun to store go; it was not read yet
}

// Error says what was not stored.
func (e *UnstoredError) Error() string {
	why := ""
	if e.Unread != "" {
		why = " (another process had begun to store them in objects that go up to record " + e.Unread + ", which was not read yet)"
	}
	return fmt.Sprintf("stopped with %d records (%d bytes) read and not yet stored%s; they are read again at the next start", e.Records, e.Bytes, why)
}

// know notes what the stream says of itself, and its shards.
func (d *Deliver) know(about kinesisin.Description, listed []kinesisin.Shard) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.about, d.listed = about, listed
}

// share notes how the shards are shared; nil: not at all.
func (d *Deliver) share(s shares) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sharing = s
}

// forget ends what is told of the things that the workers depend on: nobody uses them any more. The store is asked on for the lock.
func (d *Deliver) forget() {
	for _, w := range []*outage.Watch{d.streamHealth, d.destinationHealth, d.bodiesHealth} {
		w.Reset()
	}
}

// run reaches both ends and supervises the workers.
func (d *Deliver) run(ctx context.Context) error {
	d.budget.clear()
	d.life.begin()
	defer d.life.end()
	d.active.Set(1)
	defer d.active.Set(0)
	defer d.forget()
	var layouts *layoutVersions
	err := d.agreed(func() (err error) {
		layouts, err = d.prepareLayouts(ctx)
		return err
	})
	if err != nil {
		return err
	}
	about, err := d.stream.Describe(ctx)
	if err != nil {
		return err
	}
	if about.Spread && d.cfg.HashRangeFilter {
		return errors.New("delivery.kpl_hash_range_filter: the stream spreads records over its shards without regard to their keys, so that nearly all aggregated records would be dropped; " +
			"remove the key, or set the stream's record distribution strategy to USER_PARTITION_KEY")
	}
	if about.Spread {
		d.cfg.Log.Warn("the stream spreads records over its shards without regard to their keys: their order is lost, and records that are sent twice are stored twice; "+
			"set its record distribution strategy to USER_PARTITION_KEY", "stream", about.Name)
	}
	docs := &deliverDocs{store: d.cfg.Store, about: about}
	var start startDoc
	err = d.agreed(func() (err error) {
		start, err = docs.start(ctx, d.cfg.Start, d.stream.Shards)
		return err
	})
	if err != nil {
		return err
	}
	if err := d.committer.Probe(ctx, layouts.current().layout.ProbeKey()); err != nil {
		return err
	}
	d.know(about, nil)
	d.started.Store(true)
	defer d.started.Store(false)
	d.cfg.Log.Info("delivering", "stream", about.Name, "destination", d.cfg.Destination.String(), "layout_version", layouts.current().version)
	sharing := d.shares(about)
	d.share(sharing)
	defer d.share(nil)
	s := &supervisor{
		Deliver: d, layouts: layouts, docs: docs, start: start, shares: sharing,
		have: map[string]share{}, running: map[string]bool{}, stored: map[string]bool{}, ended: make(chan workerEnd),
	}
	return s.run(ctx)
}

// agreed saves a document that the processes that start at the same time all save: who comes later takes what is there.
func (d *Deliver) agreed(save func() error) error {
	for {
		err := save()
		if d.cfg.Leases == nil || !errors.Is(err, checkpoint.ErrConflict) {
			return err
		}
	}
}

// shares is how the shards are divided among processes.
func (d *Deliver) shares(about kinesisin.Description) shares {
	if d.cfg.Leases == nil {
		return newAllShares()
	}
	account := "000000000000"
	if part := strings.Split(about.ARN, ":"); len(part) > 4 && part[4] != "" {
		account = part[4]
	}
	return leasedShares{lease.New(lease.Config{
		Table: d.cfg.Leases(lease.StreamID(account, about.Name, about.Created)), Failover: d.cfg.Failover,
		Health: d.storeHealth, Metrics: d.leases, Log: d.cfg.Log,
	})}
}
