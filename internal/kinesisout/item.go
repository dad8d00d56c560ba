package kinesisout

import (
	"math/bits"
	"sync"
)

// item is a record that was Put and is not acknowledged yet. It lies with its bytes in a page, or has memory of its own.
type item struct {
	order   uint64 // counts up in the order of Puts
	key64   uint64 // stands for the partition key: two keys that share one are only held apart without need
	hash    hash   // decides the lane
	hashKey string // explicit hash key, or ""
	seq     uint64
	ack     Ack
	fence   *fence // told where the record was stored, or nil
	keyLen  int
	loose   bool   // as in Record.Unplaced
	buf     []byte // partition key and data
	page    *page  // which it is part of, or nil
	class   int    // of buf where page is nil, see itemPool

	behind   *item // the next one of those that may be sent
	sameKey  *item // the next one of this key, which waits for this one
	attempts int   // how often it was sent

	packed *item // the next record of the aggregate that this one leads or is part of
	joined int   // of the leader of an aggregate: partition key and data of that
}

func (it *item) key() []byte  { return it.buf[:it.keyLen] }
func (it *item) data() []byte { return it.buf[it.keyLen:] }

// attempt counts one more attempt to send the item, and says how many of its records were sent before.
func (it *item) attempt() (again int) {
	for part := range it.records {
		if part.attempts++; part.attempts > 1 {
			again++
		}
	}
	return again
}

// overhead is what an item costs beside its bytes.
const overhead = 192

// Classes of buffers: 256, 384, 512, 768, ... 64 KiB. What is larger is made to measure and not kept.
const (
	smallest = 256
	classes  = 17
	noClass  = -1
)

// classOf is the class of buffers that n bytes fit into, and its size.
func classOf(n int) (class, size int) {
	if n <= smallest {
		return 0, smallest
	}
	power := bits.Len(uint(n - 1)) // n <= 1<<power
	size = 1 << power
	class = 2 * (power - bits.Len(uint(smallest-1)))
	if three := size / 4 * 3; n <= three {
		class, size = class-1, three
	}
	if class >= classes {
		return noClass, n
	}
	return class, size
}

// weightOf is what a record of n bytes takes of Config.MaxBytes.
func weightOf(n int) int {
	_, size := classOf(n)
	return size + overhead
}

func (it *item) weight() int { return weightOf(len(it.buf)) }

// itemPool keeps items with memory of their own for the next Puts, by the class of their buffers.
type itemPool [classes]sync.Pool

// get gives an item with room for n bytes.
func (p *itemPool) get(n int) *item {
	class, size := classOf(n)
	if class == noClass {
		return &item{buf: make([]byte, 0, n), class: noClass}
	}
	if it, ok := p[class].Get().(*item); ok {
		return it
	}
	return &item{buf: make([]byte, 0, size), class: class}
}

// put takes an item back that nobody refers to any more.
func (p *itemPool) put(it *item) {
	if it.class == noClass {
		return
	}
	*it = item{buf: it.buf[:0], class: it.class}
	p[it.class].Put(it)
}
