package kinesisout

import "container/heap"

// queue holds the records of one lane. It gives out the oldest first, and never two of one key at a time: a key's next
// record becomes available when the one before is settled, unless it leaves in one aggregated record with that. It is
// not safe for concurrent use.
type queue struct {
	// first and last are the ends of a list of records that were never sent and whose key has nothing older; by age.
	first, last *item
	// again holds records that were refused, or whose predecessor was settled; the oldest on top.
	again itemHeap
	// tails has the newest record of every key that is in the queue or out of it and not settled.
	tails map[uint64]*item
}

func newQueue() queue { return queue{tails: make(map[uint64]*item)} }

// push adds the newest record.
func (q *queue) push(it *item) { q.pushBehind(q.tails[it.key64], it) }

// pushBehind is push where before is what tails has of the key.
func (q *queue) pushBehind(before, it *item) {
	q.tails[it.key64] = it
	switch {
	case before != nil:
		before.sameKey = it
	case q.last == nil:
		q.first, q.last = it, it
	default:
		q.last.behind = it
		q.last = it
	}
}

// head is the record that is taken next, or nil, and whether it is one of again.
func (q *queue) head() (it *item, fromAgain bool) {
	if len(q.again) > 0 && (q.first == nil || q.again[0].order < q.first.order) {
		return q.again[0], true
	}
	return q.first, false
}

// take appends to batch what one request may hold, and at least one record if there is one. What it takes must be given
// to settle or refuse. maxPack is how large an aggregated record may be; 0: there are none.
func (q *queue) take(batch []*item, maxRecords, maxBytes, maxPack int) []*item {
	size := 0
	for len(batch) < maxRecords {
		it, fromAgain := q.head()
		if it == nil || len(batch) > 0 && size+it.wireSize() > maxBytes {
			break
		}
		if fromAgain {
			heap.Pop(&q.again)
		} else if q.first = it.behind; q.first == nil {
			q.last = nil
		}
		it.behind = nil
		q.pack(it, min(maxPack, maxBytes-size))
		size += it.wireSize()
		batch = append(batch, it)
	}
	return batch
}

// pack lets records that wait behind it leave with it.
func (q *queue) pack(it *item, limit int) {
	if it.sameKey == nil || limit <= 0 {
		return
	}
	if it.pack(limit); it.sameKey == nil {
		q.tails[it.key64] = it
	}
}

// settle forgets an acknowledged record, and makes the next one of its key available.
func (q *queue) settle(it *item) {
	if it.sameKey != nil {
		heap.Push(&q.again, it.sameKey)
		it.sameKey = nil
		return
	}
	delete(q.tails, it.key64)
}

// refuse takes a record back that has to be sent again.
func (q *queue) refuse(it *item) { heap.Push(&q.again, it) }

// empty says whether there is nothing to take.
func (q *queue) empty() bool { return q.first == nil && len(q.again) == 0 }

// drain appends everything to out, in no order, and leaves the queue empty. Nothing may be out of it.
func (q *queue) drain(out []*item) []*item {
	for head := q.first; head != nil; {
		next := head.behind
		out = appendChain(out, head)
		head = next
	}
	for _, head := range q.again {
		out = appendChain(out, head)
	}
	*q = newQueue()
	return out
}

// appendChain appends a record and those of its key that wait for it, and unlinks them. An aggregate stays whole: it was
// sent and may be stored, so its repetition has to end with its newest record as well.
func appendChain(out []*item, it *item) []*item {
	for it != nil {
		next := it.sameKey
		it.behind, it.sameKey = nil, nil
		out = append(out, it)
		it = next
	}
	return out
}

// itemHeap is a heap for container/heap, by age.
type itemHeap []*item

func (h itemHeap) Len() int           { return len(h) }
func (h itemHeap) Less(i, j int) bool { return h[i].order < h[j].order }
func (h itemHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *itemHeap) Push(x any)        { *h = append(*h, x.(*item)) }
func (h *itemHeap) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}
