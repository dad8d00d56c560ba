package kinesisout

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
)

// Writer writes into one stream. New makes it, Run does its work, everything else needs a Run beside it.
type Writer struct {
	cfg     Config
	metrics *metrics
	trouble *outage.Watch // its parts are the shards of lanes, and calls
	budget  budget
	items   itemPool
	pages   pagePool
	bodies  sync.Pool // of *[]byte, for wire
	order   atomic.Uint64
	look    chan struct{} // one token: the shards may have changed

	ready     chan struct{} // closed when Run knows the stream
	maxRecord atomic.Int64  // what the stream takes; set before ready is closed
	paced     atomic.Bool   // the limits of its shards are known; the same
	warned    atomic.Bool   // that it ignores partition keys was said

	stopped chan struct{} // closed when Run has returned
	err     error         // why; set before stopped is closed

	looking sync.Mutex // covers looked
	looked  time.Time  // when a record was too large and the stream was asked again

	routing sync.RWMutex // covers layout and lanes: held for reading while a record is routed. Taken before a lane's mu
	layout  layout
	lanes   []*lane // of layout's shards
	line    *line   // in which these stand; of Run's goroutine and, through them, of senders
}

// New makes a Writer. It does no I/O.
func New(cfg Config) *Writer {
	cfg = cfg.withDefaults()
	w := &Writer{
		cfg:     cfg,
		trouble: cfg.Health,
		look:    make(chan struct{}, 1),
		ready:   make(chan struct{}),
		stopped: make(chan struct{}),
	}
	w.budget = budget{max: cfg.MaxBytes, stopped: w.stopped}
	w.metrics = newMetrics(cfg.Registerer, w.budget.used, cfg.MaxBytes)
	return w
}

// Put queues a copy of r. It blocks while the queue is full, and until Run knows the stream. Records of one key are
// stored in the order of their Puts. It may be called from several goroutines. After an *OversizedError or a *KeyError
// nothing was queued and the Writer goes on.
func (w *Writer) Put(ctx context.Context, r Record) error { return w.put(ctx, &r, nil) }

func (w *Writer) put(ctx context.Context, r *Record, f *fence) error {
	if err := w.awaitReady(ctx); err != nil {
		return err
	}
	size := len(r.Key) + len(r.Data)
	if err := w.takes(ctx, size); err != nil {
		return err
	}
	own, place, err := hashesOf(r)
	if err != nil {
		return err
	}
	if ok, err := w.budget.take(ctx, weightOf(size)); err != nil {
		return err
	} else if !ok {
		return w.failure()
	}
	w.route(r, own, place, f)
	return nil
}

// Takes says with an *OversizedError if the stream takes no record with size bytes of key and data. Like Put it waits
// until Run knows the stream.
func (w *Writer) Takes(ctx context.Context, size int) error {
	if err := w.awaitReady(ctx); err != nil {
		return err
	}
	return w.takes(ctx, size)
}

// lookAfresh is the least time between two looks at whether the stream takes larger records by now.
const lookAfresh = 5 * time.Second

// takes is Takes when the stream is known. The limit may have been raised since that was read.
func (w *Writer) takes(ctx context.Context, size int) error {
	if size <= int(w.maxRecord.Load()) {
		return nil
	}
	w.looking.Lock()
	defer w.looking.Unlock()
	if w.looked.IsZero() || time.Since(w.looked) >= lookAfresh {
		if err := w.describeAgain(ctx); err != nil {
			return err
		}
		w.looked = time.Now()
	}
	if limit := int(w.maxRecord.Load()); size > limit {
		return &OversizedError{Size: size, Limit: limit}
	}
	return nil
}

// maxPack is how large an aggregated record may be; 0: there are none.
func (w *Writer) maxPack() int {
	if !w.cfg.Aggregate {
		return 0
	}
	return min(maxAggregate, int(w.maxRecord.Load()))
}

// hashesOf gives the hash of the partition key itself, and the one that decides where the record goes.
func hashesOf(r *Record) (own, place hash, err error) {
	switch {
	case len(r.Key) == 0:
		return own, place, &KeyError{"it is empty"}
	case !utf8.Valid(r.Key):
		return own, place, &KeyError{fmt.Sprintf("%q is not UTF-8", r.Key)}
	case len(r.Key) > maxKeyChars && utf8.RuneCount(r.Key) > maxKeyChars:
		return own, place, &KeyError{fmt.Sprintf("it has %d characters, Kinesis takes %d", utf8.RuneCount(r.Key), maxKeyChars)}
	}
	own = hashOf(r.Key)
	if r.HashKey == "" {
		return own, own, nil
	}
	if place, err = parseHash(r.HashKey); err != nil {
		return own, place, &KeyError{err.Error()}
	}
	return own, place, nil
}

// maxKeyChars is how long a partition key may be.
const maxKeyChars = 256

// route gives a copy of a record to the lane of its shard.
func (w *Writer) route(r *Record, own, place hash, f *fence) {
	w.routing.RLock()
	defer w.routing.RUnlock()
	w.lanes[w.layout.find(place)].put(r, own, place, f)
}

// recycle takes the memory of an item and those of its aggregate back, to which nobody refers any more.
func (w *Writer) recycle(it *item) {
	for it != nil {
		next := it.packed
		if it.page != nil {
			w.pages.release(it.page)
		} else {
			w.items.put(it)
		}
		it = next
	}
}

// Flush waits until everything Put before is acknowledged. Records that are Put while it waits are waited for too.
func (w *Writer) Flush(ctx context.Context) error {
	ok, err := w.budget.drained(ctx)
	if err == nil && !ok {
		err = w.failure()
	}
	if err != nil {
		return fmt.Errorf("flush stream %s: %w", w.cfg.stream(), err)
	}
	return nil
}

// awaitReady waits until Run knows the stream.
func (w *Writer) awaitReady(ctx context.Context) error {
	select {
	case <-w.stopped:
		return w.failure()
	default:
	}
	select {
	case <-w.ready:
		return nil
	default:
	}
	select {
	case <-w.ready:
		return nil
	case <-w.stopped:
		return w.failure()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failure is why Run has returned.
func (w *Writer) failure() error {
	if w.err != nil {
		return w.err
	}
	return ErrStopped
}

// lookAgain asks for the shards to be listed soon.
func (w *Writer) lookAgain() {
	select {
	case w.look <- struct{}{}:
	default:
	}
}
