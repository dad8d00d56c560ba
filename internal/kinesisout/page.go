package kinesisout

import (
	"sync"
	"sync/atomic"
)

// page is memory for records that were Put one after the other into one lane and can leave in that order. Written and read
// from begin to end, it comes to a processor's cache ahead of its use; a record in memory of its own is waited for.
//
// A page is free again when all its records are settled, so nothing that may wait for long is kept in it: a record whose
// key is busy has memory of its own, and so has a large one.
type page struct {
	items []item
	bytes []byte
	held  atomic.Int32 // by records that are not settled, and by the lane that fills it
}

const (
	largestPage  = 32 << 10
	smallestPage = 4 << 10
	bytesPerItem = 512 // of a page; a record that is smaller wastes some

	// largestInPage is which part of a page a record may take: so much of it may be left empty.
	largestInPage = 8
)

// pageSize is how many bytes of records a page has: those that the lanes fill take no more than an eighth of the queue.
func pageSize(maxBytes, lanes int) int {
	return min(max(maxBytes/8/max(1, lanes), smallestPage), largestPage)
}

// add gives an item with room for n bytes, or nil if the page has none.
func (p *page) add(n int) *item {
	used := len(p.bytes)
	if len(p.items) == cap(p.items) || n > cap(p.bytes)-used {
		return nil
	}
	p.items, p.bytes = p.items[:len(p.items)+1], p.bytes[:used+n]
	p.held.Add(1)
	it := &p.items[len(p.items)-1]
	it.page, it.buf = p, p.bytes[used:used:used+n]
	return it
}

// lone says whether nobody but the lane that fills the page holds it.
func (p *page) lone() bool { return p.held.Load() == 1 }

// reset makes a page empty of which no record is used any more.
func (p *page) reset() {
	clear(p.items)
	p.items, p.bytes = p.items[:0], p.bytes[:0]
}

// pagePool keeps pages for the lanes of a Writer.
type pagePool struct {
	pool sync.Pool
	size atomic.Int64 // of the pages that are wanted
}

// get gives an empty page, which the caller holds.
func (pp *pagePool) get() *page {
	size := int(pp.size.Load())
	p, _ := pp.pool.Get().(*page)
	if p == nil || cap(p.bytes) != size {
		p = &page{items: make([]item, 0, size/bytesPerItem), bytes: make([]byte, 0, size)}
	}
	p.held.Store(1)
	return p
}

// release says that a holder is done with the page.
func (pp *pagePool) release(p *page) {
	if p.held.Add(-1) == 0 {
		p.reset()
		pp.pool.Put(p)
	}
}
