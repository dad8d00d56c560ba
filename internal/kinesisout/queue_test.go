package kinesisout

import (
	"slices"
	"testing"
	"time"
)

// queueOf makes a queue of one record for each letter, whose key it is.
func queueOf(keys string) (q queue, items []*item) {
	q = newQueue()
	for i, key := range keys {
		it := &item{order: uint64(i), key64: uint64(key), buf: []byte{byte(key)}}
		q.push(it)
		items = append(items, it)
	}
	return q, items
}

func letters(items []*item) string {
	var s []byte
	for _, it := range items {
		s = append(s, it.buf[0])
	}
	return string(s)
}

func orders(items []*item) (n []uint64) {
	for _, it := range items {
		n = append(n, it.order)
	}
	return n
}

func TestQueueGivesTheOldestFirst(t *testing.T) {
	q, _ := queueOf("abacbd")
	first := q.take(nil, 3, 100, 0)
	if got := letters(first); got != "abc" {
		t.Fatalf("took %q, want abc", got)
	}
	if more := q.take(nil, 3, 100, 0); letters(more) != "d" {
		t.Fatalf("took %q while a, b and c are out, want d", letters(more))
	} else {
		q.refuse(more[0])
	}
	q.refuse(first[2]) // c, the fourth that was pushed
	q.settle(first[1]) // makes the second b available, the fifth
	q.settle(first[0]) // and the second a, the third
	if got, want := orders(q.take(nil, 10, 100, 0)), []uint64{2, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("took %v, want the oldest first: %v", got, want)
	}
	if !q.empty() {
		t.Error("the queue is not empty")
	}
}

func TestQueueMixesNewAndWaiting(t *testing.T) {
	q, _ := queueOf("acab")
	q.settle(q.take(nil, 1, 100, 0)[0]) // the second a stands aside from c and b now
	if got, want := orders(q.take(nil, 10, 100, 0)), []uint64{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("took %v, want the oldest first: %v", got, want)
	}
}

func TestQueueStopsAtLimits(t *testing.T) {
	q, items := queueOf("abcd")
	items[1].buf = make([]byte, 50)
	items[2].buf = make([]byte, 5)
	if got := q.take(nil, 10, 20, 0); len(got) != 1 {
		t.Errorf("took %d records; one must not overtake a larger one before it", len(got))
	}
	if got := q.take(nil, 10, 20, 0); len(got) != 1 || got[0] != items[1] {
		t.Errorf("took %d records, want the large one alone", len(got))
	}
	if got := q.take(nil, 1, 20, 0); len(got) != 1 || got[0] != items[2] {
		t.Errorf("took %d records, want one", len(got))
	}
}

func TestQueueForgetsKeys(t *testing.T) {
	q, _ := queueOf("aaabbb")
	for n := 0; !q.empty(); n++ {
		if n == 10 {
			t.Fatal("never empty")
		}
		for _, it := range q.take(nil, 10, 100, 0) {
			q.settle(it)
		}
	}
	if len(q.tails) != 0 {
		t.Errorf("%d keys are remembered", len(q.tails))
	}
}

func TestQueueDrainsEverything(t *testing.T) {
	q, items := queueOf("abacbdaacb")
	out := q.take(nil, 3, 100, 0)
	q.settle(out[0])
	q.refuse(out[1])
	q.refuse(out[2])
	got := q.drain(nil)
	slices.SortFunc(got, func(a, b *item) int { return int(a.order) - int(b.order) })
	if !slices.Equal(got, items[1:]) {
		t.Errorf("drained %v, want all but the settled one", orders(got))
	}
	if !q.empty() || len(q.tails) != 0 {
		t.Error("something is left")
	}
	for _, it := range got {
		if it.behind != nil || it.sameKey != nil {
			t.Error("a drained record is linked to another")
		}
	}
}

// An aggregate may be stored although nobody was told, so what another lane sends of it is again all of it, in one.
func TestQueueKeepsAggregatesWhole(t *testing.T) {
	q, items := queueOf("aaba")
	sent := q.take(nil, 1, 100, 100)
	if got := orders(slices.Collect(sent[0].records)); !slices.Equal(got, []uint64{0, 1, 3}) {
		t.Fatalf("the aggregate holds %v, want all of a", got)
	}
	size := sent[0].wireSize()
	q.refuse(sent[0])
	moved := newQueue()
	left := q.drain(nil)
	slices.SortFunc(left, func(a, b *item) int { return int(a.order) - int(b.order) })
	for _, it := range left {
		moved.push(it)
	}
	moved.push(&item{order: 4, key64: items[0].key64, buf: []byte("a")})
	batch := moved.take(nil, 10, 100, 0)
	if got := orders(batch); !slices.Equal(got, []uint64{0, 2}) {
		t.Fatalf("took %v, want the aggregate and b", got)
	}
	if got := orders(slices.Collect(batch[0].records)); !slices.Equal(got, []uint64{0, 1, 3}) || batch[0].wireSize() != size {
		t.Errorf("the aggregate that is sent again holds %v in %d bytes, want all of it in %d", got, batch[0].wireSize(), size)
	}
}

func TestClasses(t *testing.T) {
	last, lastSize := 0, 0
	for n := range 70_000 {
		class, size := classOf(n)
		if class == noClass {
			if n <= 64<<10 || size != n {
				t.Fatalf("%d bytes have no class, size %d", n, size)
			}
			continue
		}
		if size < n || n > smallest && size >= 2*n || class < last || class >= classes || (class == last) != (size == lastSize || n == 0) {
			t.Fatalf("%d bytes: class %d of %d bytes, after class %d of %d bytes", n, class, size, last, lastSize)
		}
		last, lastSize = class, size
	}
	if last != classes-1 || lastSize != 64<<10 {
		t.Errorf("the last class is %d of %d bytes", last, lastSize)
	}
}

func TestLayoutFind(t *testing.T) {
	var l layout
	for _, start := range []string{"0", "100", "340282366920938463463374607431768211400"} {
		h, err := parseHash(start)
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, shard{id: start, start: h})
	}
	for place, want := range map[string]int{
		"0": 0, "99": 0, "100": 1, "101": 1, "18446744073709551616": 1,
		"340282366920938463463374607431768211399": 1, "340282366920938463463374607431768211400": 2,
		"340282366920938463463374607431768211455": 2,
	} {
		h, err := parseHash(place)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.find(h); got != want {
			t.Errorf("find(%s) = %d, want %d", place, got, want)
		}
	}
	if got := l[1:].find(hash{}); got != 0 {
		t.Errorf("a place before the first range is given to %d", got)
	}
}

// A steady stream of records must not leave garbage behind for each of them.
func TestPutAllocatesLittle(t *testing.T) {
	if underRace {
		t.Skip("pools forget at random under the race detector")
	}
	w := New(Config{StreamName: "s"})
	w.maxRecord.Store(1 << 20)
	w.install(layout{{id: "only"}})
	close(w.ready)
	l, r := w.lanes[0], newRequest(w)
	key, data := []byte("key 000"), make([]byte, 400)
	round := func() {
		for i := range 500 {
			key[4], key[5], key[6] = byte('0'+i/100), byte('0'+i/10%10), byte('0'+i%10)
			if err := w.Put(t.Context(), Record{Key: key, Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		l.take(room{records: MaxRecordsPerRequest, bytes: MaxRequestBytes})
		r.hold(l)
		r.records()
		l.took = l.took[:0]
		for range l.batch {
			l.took = append(l.took, true)
		}
		w.settled(l.settle(time.Now()))
	}
	round()
	if got := testing.AllocsPerRun(20, round); got > 50 {
		t.Errorf("%v allocations for 500 records", got)
	}
	if w.budget.used() != 0 {
		t.Errorf("%d bytes are held", w.budget.used())
	}
}

func BenchmarkPutAndSettle(b *testing.B) {
	w := New(Config{StreamName: "s"})
	w.maxRecord.Store(1 << 20)
	w.install(layout{{id: "only"}})
	close(w.ready)
	l, r := w.lanes[0], newRequest(w)
	key, data := []byte("key 000"), make([]byte, 500)
	n := 0
	for b.Loop() {
		key[4], key[5], key[6] = byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10)
		_ = w.Put(b.Context(), Record{Key: key, Data: data})
		if n++; n < 500 {
			continue
		}
		n = 0
		l.take(room{records: MaxRecordsPerRequest, bytes: MaxRequestBytes})
		r.hold(l)
		r.records()
		l.took = l.took[:0]
		for range l.batch {
			l.took = append(l.took, true)
		}
		w.settled(l.settle(time.Now()))
		l.mu.Lock()
		l.idle = false
		l.mu.Unlock()
	}
}
