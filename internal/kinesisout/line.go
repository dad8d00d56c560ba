package kinesisout

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"
)

// line is where lanes wait for a request that takes their records. The one that has waited longest is first; one whose
// records were taken comes back behind all others when they are settled, so that none waits for more than a turn of each.
//
// A request takes what the lanes in line have, until it is full. While two are on their way, no third one follows: the
// records that come meanwhile gather, and it is a larger one that leaves when one of the two is answered, or has not been
// for a while. So requests grow where records come faster than they leave, however many shards there are, and a request
// that hangs holds back only what is in it.
type line struct {
	w    *Writer
	most int           // requests may be young
	wake chan struct{} // one token, for the one who waits in next

	mu      sync.Mutex // covers everything below. A lane's mu may be taken while it is held, and not the other way round
	ready   fifo
	resting restHeap   // lanes that wait for a time
	young   []*request // those on their way that are no older than youth; the oldest first
	spare   []*request // of which the memory may be used again; that of the one settled last is on top, and in a processor's cache
	wants   want
	due     time.Time // when the one who waits looks again anyhow; zero: it does not
}

const (
	// leastYoung is how many requests may be on their way at least: one more than one, so that making the next one does not
	// wait for an answer. With more of them, requests are smaller and a record costs more.
	leastYoung = 2

	// youth is how long nothing but a request's answer makes room for another one: long beside an answer that comes at once,
	// where requests cost more than waiting does, and short beside one that people would wait for.
	youth = 10 * time.Millisecond

	// lanesPerYoung is how many lanes one more is for: 500 records in 10 ms are what 50 shards take.
	lanesPerYoung = 50
)

// want is what the one who waits in next is to be woken for.
type want int

const (
	wantNothing  want = iota // nobody waits
	wantAnswer               // an answer makes room
	wantAnything             // that, or a lane comes
)

func newLine(w *Writer, lanes int) *line {
	return &line{w: w, most: max(leastYoung, (lanes+lanesPerYoung-1)/lanesPerYoung), wake: make(chan struct{}, 1)}
}

// push brings a lane that has something into line.
func (q *line) push(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ready.push(l)
	if q.wants == wantAnything {
		q.rouse()
	}
}

// again brings a settled request and its lanes back, and gives the next request if one may leave now. So where there is
// always something to send nobody is woken for it. It gives nil when stop is closed or ctx is done.
func (q *line) again(ctx context.Context, stop <-chan struct{}, r *request) (next *request) {
	q.back(r)
	if !over(ctx, stop) {
		next = q.fill(time.Now())
	}
	q.review()
	return next
}

// over says whether no more requests are to be made.
func over(ctx context.Context, stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// back brings a settled request and its lanes back.
func (q *line) back(r *request) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.young, r); i >= 0 {
		q.young = slices.Delete(q.young, i, i+1)
	}
	for _, l := range r.lanes {
		if l.until.After(now) {
			heap.Push(&q.resting, l)
		} else {
			q.ready.push(l)
		}
	}
	q.keep(r)
}

// review rouses the one who waits in next if there is something for it to do.
func (q *line) review() {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.wants == wantAnswer && len(q.young) < q.most,
		q.wants == wantAnything && q.ready.first != nil,
		q.wants == wantAnything && len(q.resting) > 0 && (q.due.IsZero() || q.resting[0].until.Before(q.due)):
		q.rouse()
	}
}

// keep keeps the memory of a request, unless there is enough of it. The mutex is held.
func (q *line) keep(r *request) {
	r.reset()
	if len(q.spare) < q.most {
		q.spare = append(q.spare, r)
	}
}

// memory gives an empty request. The mutex is held.
func (q *line) memory() *request {
	n := len(q.spare) - 1
	if n < 0 {
		return newRequest(q.w)
	}
	r := q.spare[n]
	q.spare = q.spare[:n]
	return r
}

// rouse wakes the one who waits. The mutex is held.
func (q *line) rouse() {
	q.wants = wantNothing
	select {
	case q.wake <- struct{}{}:
	default: // one that was woken by something else left the token
	}
}

// next waits until there is something to send, and gives a request of it, which is to be given to again when it is settled.
// Only one may be in it at a time. It gives nil when stop is closed or ctx is done.
func (q *line) next(ctx context.Context, stop <-chan struct{}) *request {
	for !over(ctx, stop) {
		now := time.Now()
		if r := q.fill(now); r != nil {
			return r
		}
		if wait, must := q.doze(now); must {
			q.await(ctx, stop, wait)
		}
	}
	return nil
}

// await waits to be woken, and no longer than wait if that is not 0.
func (q *line) await(ctx context.Context, stop <-chan struct{}, wait time.Duration) {
	var due <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-q.wake:
	case <-due:
	case <-stop:
	case <-ctx.Done():
	}
}

// fill makes a request of what may leave now, or gives nil. Several may be in it at a time.
func (q *line) fill(now time.Time) *request {
	r := q.begin(now)
	if r == nil {
		return nil
	}
	for !r.closed() {
		l := q.pop()
		if l == nil {
			break
		}
		switch l.join(r, now) {
		case joined, idles:
		case rests:
			q.rest(l)
		case waits:
			q.unpop(l)
			r.full = true
		}
	}
	return q.leave(r)
}

// begin does what is due, and gives an empty request if one may leave. It counts as on its way already.
func (q *line) begin(now time.Time) *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.resting) > 0 && !q.resting[0].until.After(now) {
		q.ready.push(heap.Pop(&q.resting).(*lane))
	}
	for len(q.young) > 0 && now.Sub(q.young[0].begun) >= youth {
		q.young = slices.Delete(q.young, 0, 1)
	}
	if len(q.young) >= q.most || q.ready.first == nil {
		return nil
	}
	r := q.memory()
	r.begun = now
	q.young = append(q.young, r)
	return r
}

// leave gives the request back unless it is empty.
func (q *line) leave(r *request) *request {
	if len(r.lanes) == 0 {
		q.back(r)
		return nil
	}
	return r
}

func (q *line) pop() *lane {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ready.pop()
}

func (q *line) unpop(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ready.unpop(l)
}

func (q *line) rest(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	heap.Push(&q.resting, l)
}

// doze says whether there is nothing to do, and for how long at the most, unless somebody rouses; 0: for ever.
func (q *line) doze(now time.Time) (wait time.Duration, must bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.young) >= q.most {
		q.wants, q.due = wantAnswer, time.Time{}
		return youth - now.Sub(q.young[0].begun), true
	}
	if q.ready.first != nil {
		return 0, false
	}
	q.wants, q.due = wantAnything, time.Time{}
	if len(q.resting) > 0 {
		q.due = q.resting[0].until
		wait = q.resting[0].until.Sub(now)
	}
	return wait, true
}

// fifo is lanes, one behind the other.
type fifo struct{ first, last *lane }

func (f *fifo) push(l *lane) {
	l.next = nil
	if f.first == nil {
		f.first = l
	} else {
		f.last.next = l
	}
	f.last = l
}

// pop takes the first one out, or nil.
func (f *fifo) pop() *lane {
	l := f.first
	if l != nil {
		f.first, l.next = l.next, nil
	}
	return l
}

// unpop makes the one that was taken out last the first again.
func (f *fifo) unpop(l *lane) {
	if f.first == nil {
		f.last = l
	}
	f.first, l.next = l, f.first
}

// restHeap is a heap for container/heap; the lane that rests no longer than others is on top.
type restHeap []*lane

func (h restHeap) Len() int           { return len(h) }
func (h restHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h restHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *restHeap) Push(x any)        { *h = append(*h, x.(*lane)) }
func (h *restHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return l
}
