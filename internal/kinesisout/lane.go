package kinesisout

import (
	"sync"
	"sync/atomic"
	"time"
)

// lane has the records of one shard's hash range. A request takes some of them; until it is answered, the lane stands in
// no line and no other request takes more.
type lane struct {
	w     *Writer
	line  *line
	shard shard

	throttledAt atomic.Int64 // when the shard refused something last, Unix nanoseconds

	mu    sync.Mutex // covers queue, page and idle
	queue queue
	page  *page // which is filled; nil: none is
	idle  bool  // it had nothing, and left the line: the next push brings it back

	// What follows belongs to whoever has the lane: the sender that took it out of the line, until the lane is back.
	batch   []*item
	pace    pace
	told    rates     // what the metrics say of it
	held    time.Time // since when its pace has held records back; zero: it does not
	took    []bool    // which of the batch were accepted
	attempt int       // requests since the last that was answered with an accepted record
	barren  int       // requests in a row without an accepted record
	suspect bool      // its last request failed as a whole

	next  *lane     // behind it in the line
	until time.Time // how long it rests, or has rested
}

func newLane(w *Writer, s shard, q *line) *lane {
	return &lane{w: w, line: q, shard: s, queue: newQueue()}
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
		l.line.push(l)
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

// outcome is what came of a lane whose turn it was.
type outcome int

const (
	joined outcome = iota // its records are in the request
	idles                 // it has none
	rests                 // its pace, or a pause, does not allow any yet
	waits                 // the request has no room for its next one
)

// join gives the request what the lane may send now.
func (l *lane) join(r *request, now time.Time) outcome {
	if l.suspect && len(r.lanes) > 0 {
		return waits
	}
	room := l.pace.room(now, l.w.paced.Load())
	l.tellPace()
	l.hold(now, room.wait)
	if room.wait > 0 {
		return rests
	}
	rest := r.rest()
	if len(r.lanes) > 0 && !l.fits(rest.bytes) {
		return waits
	}
	if !l.take(room.min(rest)) {
		return idles
	}
	r.add(l)
	return joined
}

// fits says whether the next record has no more than so many bytes.
func (l *lane) fits(bytes int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, _ := l.queue.head()
	return next == nil || next.wireSize() <= bytes
}

// hold notes for how long the shard's pace holds records back, and makes the lane rest for that long.
func (l *lane) hold(now time.Time, wait time.Duration) {
	if !l.held.IsZero() {
		l.w.metrics.paced.WithLabelValues(l.shard.id).Add(now.Sub(l.held).Seconds())
		l.held = time.Time{}
	}
	if wait == 0 {
		return
	}
	l.until = now.Add(wait)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.queue.empty() {
		l.held = now
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
