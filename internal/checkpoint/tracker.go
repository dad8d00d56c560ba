package checkpoint

import (
	"context"
	"sync"
	"time"
)

// Span is how many changes may be handed out beyond the last saved checkpoint. Readers of the stream remember as many
// places to drop what a restart sends again, so it is part of the format: a writer must not use more.
const Span = 65536

// Tracker numbers an ordered feed of changes, takes their acknowledgements in any order, and knows the frontier: up to
// where everything is acknowledged without a gap. B is a place between two transactions, where reading can begin
// again; P is the place of one change.
//
// One goroutine feeds it (Next and Boundary); everything else may be called from any goroutine. Memory is bounded by
// the span, however many boundaries come without changes.
type Tracker[B, P any] struct {
	span   uint64
	step   uint64 // Wanted is signalled after so many
	fold   func(acc *B, next B)
	clones bool          // B has a method Clone
	room   chan struct{} // signalled when Saved widens the window
	want   chan struct{}

	mu       sync.Mutex // covers everything below
	acks                // of the changes handed out by Next
	places   []P        // of change n at n & mask, and the same for times
	times    []int64    // Unix nanoseconds
	saved    uint64     // a durable checkpoint covers every change up to this one
	wantAt   uint64     // the next signal is due when acked reaches this
	boundary B          // folded: all boundaries up to covered
	covered  uint64     // the last change that belongs to boundary
	before   uint64     // changes behind the start boundary that were done before the first Next
	done     P          // the place of change acked, or of the last one of before
	pending  queue[marked[B]]
	waiting  []waiter // in the order of their changes
}

// waiter is told when everything up to change seq is acknowledged.
type waiter struct {
	seq  uint64
	tell func()
}

// marked is a boundary that waits for change seq.
type marked[B any] struct {
	seq uint64
	b   B
}

// Frontier is up to where everything is acknowledged.
type Frontier[B, P any] struct {
	Boundary    B      // everything up to here is done
	BoundarySeq uint64 // the last change that Boundary covers; 0: none
	Done        uint64 // changes behind Boundary that are done without a gap
	DonePlace   P      // the place of the last of them; zero if Done is 0
	Seq         uint64 // the last change that is done without a gap: what to give to Saved
}

// NewTracker makes a tracker that allows span changes (0: Span) beyond the last saved one. start is the boundary that
// the feed begins at, and what Frontier says until a later one is reached.
//
// fold makes one boundary of two that follow each other, into acc; nil means that the later one is all that counts. It
// is called with the tracker's mutex held. If B has a method Clone() B, Frontier gives away clones; without it a fold
// must not change anything that a plain copy of acc shares with acc.
func NewTracker[B, P any](span uint64, start B, fold func(acc *B, next B)) *Tracker[B, P] {
	if span == 0 {
		span = Span
	}
	if fold == nil {
		fold = func(acc *B, next B) { *acc = next }
	}
	acks, step := newAcks(span), max(1, span/4)
	_, clones := any(start).(interface{ Clone() B })
	return &Tracker[B, P]{
		span: span, step: step, wantAt: step, fold: fold, clones: clones, boundary: start,
		room: make(chan struct{}, 1), want: make(chan struct{}, 1),
		acks: acks, places: make([]P, acks.mask+1), times: make([]int64, acks.mask+1),
	}
}

// Resume says that done changes behind the start boundary, the last of them at place, were acknowledged before this
// tracker was made and will not be given to it again. Frontier counts them until the next Boundary, which therefore has
// to be the end of their transaction or a later one. It must be called before the first Next.
func (t *Tracker[B, P]) Resume(done uint64, place P) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before, t.done = done, place
}

// Next takes the next change and gives its number, from 1 upwards without gaps. It blocks while span changes are
// handed out beyond the last saved one. at is what OldestUnacked tells of the change.
func (t *Tracker[B, P]) Next(ctx context.Context, place P, at time.Time) (uint64, error) {
	for {
		if seq, ok := t.next(place, at); ok {
			return seq, nil
		}
		select {
		case <-t.room:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func (t *Tracker[B, P]) next(place P, at time.Time) (uint64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.given-t.saved >= t.span {
		return 0, false
	}
	t.given++
	t.places[t.given&t.mask] = place
	t.times[t.given&t.mask] = at.UnixNano()
	return t.given, true
}

// Boundary says that the changes handed out so far belong to transactions that are complete at b.
func (t *Tracker[B, P]) Boundary(b B) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.given == t.acked {
		t.reach(t.given, b)
		return
	}
	if last := t.pending.last(); last != nil && last.seq == t.given {
		t.fold(&last.b, b)
		return
	}
	t.pending.push(marked[B]{t.given, b})
}

// Acked says that change seq is durable in the stream. Saying it again, or of a change that was not handed out, does
// nothing.
func (t *Tracker[B, P]) Acked(seq uint64) {
	for _, w := range t.settle(seq) {
		w.tell()
	}
}

// settle takes an acknowledgement, and gives those who waited for it.
func (t *Tracker[B, P]) settle(seq uint64) (told []waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ack(seq) {
		return nil
	}
	t.done = t.places[t.acked&t.mask]
	for first := t.pending.first(); first != nil && first.seq <= t.acked; first = t.pending.first() {
		t.reach(first.seq, first.b)
		t.pending.pop()
	}
	if t.acked >= t.wantAt {
		t.ask()
	}
	n := 0
	for n < len(t.waiting) && t.waiting[n].seq <= t.acked {
		n++
	}
	told, t.waiting = t.waiting[:n], t.waiting[n:]
	return told
}

// Settled calls tell once, when every change handed out so far is acknowledged: at once if that is so already, else from
// the goroutine that says the last of it.
func (t *Tracker[B, P]) Settled(tell func()) {
	t.mu.Lock()
	if t.acked < t.given {
		t.waiting = append(t.waiting, waiter{t.given, tell})
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	tell()
}

// reach makes b the frontier's boundary.
func (t *Tracker[B, P]) reach(seq uint64, b B) {
	t.fold(&t.boundary, b)
	t.covered, t.before = seq, 0
}

// ask signals Wanted, and is due again a step later.
func (t *Tracker[B, P]) ask() {
	t.wantAt = t.acked + t.step
	signal(t.want)
}

// Frontier is what a checkpoint may say now.
func (t *Tracker[B, P]) Frontier() Frontier[B, P] {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := Frontier[B, P]{
		Boundary: t.boundary, BoundarySeq: t.covered,
		Done: t.before + t.acked - t.covered, Seq: t.acked,
	}
	if t.clones {
		f.Boundary = any(t.boundary).(interface{ Clone() B }).Clone()
	}
	if f.Done > 0 {
		f.DonePlace = t.done
	}
	return f
}

// Saved says that a checkpoint with Frontier().Seq == seq is durable. It widens the window.
func (t *Tracker[B, P]) Saved(seq uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seq = min(seq, t.acked)
	if seq <= t.saved {
		return
	}
	t.saved = seq
	signal(t.room)
	if t.wantAt = seq + t.step; t.acked >= t.wantAt {
		t.ask()
	}
}

// Wanted receives when a quarter of the span was acknowledged without a gap since the last Saved, and each quarter
// after: time to save.
func (t *Tracker[B, P]) Wanted() <-chan struct{} { return t.want }

// OldestUnacked is the time that was given to Next with the oldest change that is not acknowledged, if there is one.
func (t *Tracker[B, P]) OldestUnacked() (at time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.acked == t.given {
		return time.Time{}, false
	}
	return time.Unix(0, t.times[(t.acked+1)&t.mask]), true
}

// Through is up to which number all is acknowledged, and whether more was handed out.
func (t *Tracker[B, P]) Through() (acked uint64, pending bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.acked, t.acked != t.given
}

// signal leaves one token for whoever waits.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
