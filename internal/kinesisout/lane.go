package kinesisout

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// lane sends the records of one shard's hash range, one request at a time.
type lane struct {
	w     *Writer
	shard shard
	wake  chan struct{} // one token: something was pushed while the lane was idle

	throttledAt atomic.Int64 // when the shard refused something last, Unix nanoseconds

	mu    sync.Mutex // covers queue, page and idle
	queue queue
	page  *page // which is filled; nil: none is
	idle  bool

	// What follows belongs to the goroutine of run.
	batch   []*item
	scratch []byte // memory of aggregates
	pace    pace
	told    rates // what the metrics say of it
	entries []types.PutRecordsRequestEntry
	keys    []string
	took    []bool // which of the batch were accepted
	wire    wire
	attempt int // requests since the last that was answered with an accepted record
	barren  int // requests in a row without an accepted record
}

func newLane(w *Writer, s shard) *lane {
	return &lane{w: w, shard: s, wake: make(chan struct{}, 1), queue: newQueue(), wire: wire{bodies: &w.bodies}}
}

// put queues a copy of a record.
func (l *lane) put(r *Record, own, place hash, f *fence) {
	l.mu.Lock()
	order := l.w.order.Add(1) // here, so that it agrees with the queue's
	before := l.queue.tails[own.lo]
	it := l.memory(len(r.Key)+len(r.Data), before != nil)
	it.buf = append(append(it.buf, r.Key...), r.Data...)
	it.keyLen, it.key64, it.hash, it.hashKey = len(r.Key), own.lo, place, r.HashKey
	it.seq, it.ack, it.fence, it.loose = r.Seq, r.Ack, f, r.Unplaced
	it.order = order
	l.queue.pushBehind(before, it)
	l.unlockAndWake()
}

// memory gives an item with room for n bytes.
func (l *lane) memory(n int, waits bool) *item {
	if waits || n > int(l.w.pages.size.Load())/largestInPage {
		return l.w.items.get(n)
	}
	if l.page != nil {
		if l.page.lone() {
			l.page.reset()
		}
		if it := l.page.add(n); it != nil {
			return it
		}
		l.w.pages.release(l.page)
	}
	l.page = l.w.pages.get()
	return l.page.add(n)
}

// inherit queues a record that another lane had.
func (l *lane) inherit(it *item) {
	l.mu.Lock()
	l.queue.push(it)
	l.unlockAndWake()
}

// unlockAndWake ends what has put something into the queue.
func (l *lane) unlockAndWake() {
	idle := l.idle
	l.idle = false
	l.mu.Unlock()
	if idle {
		l.wake <- struct{}{}
	}
}

// leave takes everything out of the queue of a lane that does not run any more, and appends it to out.
func (l *lane) leave(out []*item) []*item {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.page != nil {
		l.w.pages.release(l.page)
		l.page = nil
	}
	return l.queue.drain(out)
}

// take fills the batch, or says that the lane is idle: the next push then wakes it.
func (l *lane) take(room room) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batch = l.queue.take(l.batch[:0], room.records, min(room.bytes, l.w.cfg.MaxRequestBytes), l.w.maxPack())
	l.idle = len(l.batch) == 0
	return !l.idle
}

// run sends until stop is closed or ctx is done; a request that is under way when stop is closed is finished. The
// error is one that ends the Writer.
func (l *lane) run(ctx context.Context, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		room := l.pace.room(time.Now(), l.w.paced.Load())
		l.tellPace()
		if room.wait > 0 {
			l.hold(ctx, stop, room.wait)
			continue
		}
		if !l.take(room) {
			select {
			case <-l.wake:
			case <-stop:
			case <-ctx.Done():
			}
			continue
		}
		pause, err := l.send(ctx)
		if err != nil {
			return err
		}
		if pause > 0 {
			sleep(ctx, stop, pause)
		}
	}
}

// hold waits until the shard's pace allows more.
func (l *lane) hold(ctx context.Context, stop <-chan struct{}, wait time.Duration) {
	l.mu.Lock()
	waiting := !l.queue.empty()
	l.mu.Unlock()
	begun := time.Now()
	sleep(ctx, stop, wait)
	if waiting {
		l.w.metrics.paced.WithLabelValues(l.shard.id).Add(time.Since(begun).Seconds())
	}
}

// tellPace shows the limits in the metrics, when they are others than before.
func (l *lane) tellPace() {
	now := l.pace.limitOrNone()
	if now == l.told {
		return
	}
	l.told = now
	l.w.metrics.paceBytes.WithLabelValues(l.shard.id).Set(now.bytes)
	l.w.metrics.paceRecords.WithLabelValues(l.shard.id).Set(now.records)
}

// send makes one request of the batch and deals with its answer. It returns how long to wait before the next one.
func (l *lane) send(ctx context.Context) (pause time.Duration, err error) {
	out, err := l.call(ctx)
	if err != nil {
		return l.failed(ctx, err)
	}
	return l.answered(out.Records)
}

// call makes the request.
func (l *lane) call(ctx context.Context) (*kinesis.PutRecordsOutput, error) {
	w := l.w
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CallTimeout)
	defer cancel()
	begun := time.Now()
	out, err := w.cfg.API.PutRecords(ctx, &kinesis.PutRecordsInput{
		StreamName: w.cfg.name(), StreamARN: w.cfg.arn(), Records: l.request(),
	}, l.wire.use)
	w.metrics.latency.Observe(time.Since(begun).Seconds())
	if err == nil && len(out.Records) != len(l.batch) {
		err = fmt.Errorf("the answer tells of %d records, %d were sent", len(out.Records), len(l.batch))
	}
	return out, err
}

// request makes the request's entries. Data and keys are the queue's memory.
func (l *lane) request() []types.PutRecordsRequestEntry {
	clear(l.entries)
	l.entries = slices.Grow(l.entries[:0], len(l.batch))
	l.keys = slices.Grow(l.keys[:0], len(l.batch)) // it must not move while entries point into it
	packs, resent := l.packs(), 0
	for _, it := range l.batch {
		resent += it.attempt()
		l.keys = append(l.keys, textOf(it.key()))
		entry := types.PutRecordsRequestEntry{Data: it.data(), PartitionKey: &l.keys[len(l.keys)-1]}
		if it.packed != nil {
			mark := len(packs)
			packs = appendAggregate(packs, it)
			entry.Data = packs[mark:]
		}
		if it.hashKey != "" {
			entry.ExplicitHashKey = aws.String(it.hashKey)
		}
		l.entries = append(l.entries, entry)
	}
	l.w.metrics.resent.Add(float64(resent))
	return l.entries
}
