package kinesisout

import (
	"bytes"
	"crypto/md5" // the format's choice
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The aggregation format of the Kinesis Producer Library: a magic number, a protobuf message, its MD5. The message holds
// a table of partition keys and the records; a record holds an index into that table and its data.
const (
	aggregateMagic = "\xf3\x89\x9a\xc2"

	fieldKey    = 1 // of the message
	fieldRecord = 3

	fieldKeyIndex = 1 // of a record
	fieldData     = 3
)

// maxAggregate is how large an aggregated record may become. With one request under way at a time, and 20 ms for each,
// a single key comes to 12 MiB/s, far more than a shard takes; and it is small beside what readers get in one answer.
const maxAggregate = 256 << 10

// joins says whether next may stand in one record with it: both are ordinary records of the same key, and both have a
// position or neither does. Keys that only share their 64 bits are kept apart, so that whatever shard the aggregate lands
// in, all of it belongs there.
func (it *item) joins(next *item) bool {
	return it.fence == nil && next.fence == nil && it.hashKey == "" && next.hashKey == "" && it.loose == next.loose && bytes.Equal(it.key(), next.key())
}

// records gives the records that leave with this one, in their order, itself first.
func (it *item) records(yield func(*item) bool) {
	for ; it != nil; it = it.packed {
		if !yield(it) {
			return
		}
	}
}

// wireSize is what the item takes of a request's and a record's limit: partition key and data.
func (it *item) wireSize() int {
	if it.packed == nil {
		return len(it.buf)
	}
	return it.joined
}

// sizeWith is wireSize if next were added to the aggregate.
func (it *item) sizeWith(next *item) int {
	size := it.joined
	if it.packed == nil {
		size = it.keyLen + len(aggregateMagic) + md5.Size + 1 + protowire.SizeBytes(it.keyLen) + subrecordSize(it)
	}
	return size + subrecordSize(next)
}

// subrecordSize is what a record takes in an aggregate.
func subrecordSize(it *item) int { return 1 + protowire.SizeBytes(subrecordBody(it)) }

func subrecordBody(it *item) int { return 3 + protowire.SizeBytes(len(it.buf)-it.keyLen) }

// pack moves records that wait behind it into its aggregate, as long as that stays within limit bytes.
func (it *item) pack(limit int) {
	tail := it
	for tail.packed != nil {
		tail = tail.packed
	}
	for next := it.sameKey; next != nil && it.joins(next); next = it.sameKey {
		size := it.sizeWith(next)
		if size > limit {
			return
		}
		it.sameKey, next.sameKey = next.sameKey, nil
		tail.packed, it.joined, tail = next, size, next
	}
}

// appendAggregate appends the data of the aggregated record that first leads.
func appendAggregate(dst []byte, first *item) []byte {
	dst = append(dst, aggregateMagic...)
	body := len(dst)
	dst = protowire.AppendTag(dst, fieldKey, protowire.BytesType)
	dst = protowire.AppendBytes(dst, first.key())
	for it := range first.records {
		dst = protowire.AppendTag(dst, fieldRecord, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(subrecordBody(it)))
		dst = protowire.AppendTag(dst, fieldKeyIndex, protowire.VarintType)
		dst = protowire.AppendVarint(dst, 0)
		dst = protowire.AppendTag(dst, fieldData, protowire.BytesType)
		dst = protowire.AppendBytes(dst, it.data())
	}
	sum := md5.Sum(dst[body:])
	return append(dst, sum[:]...)
}

// largestPacks is how much memory for aggregates is kept for the next request.
const largestPacks = 1 << 20

// packs gives empty memory for all aggregates of the request: it must not move while entries point into it.
func (r *request) packs() []byte {
	size := 0
	for _, l := range r.lanes {
		for _, it := range l.batch {
			if it.packed != nil {
				size += it.joined - it.keyLen
			}
		}
	}
	if size > largestPacks {
		r.scratch = nil
		return make([]byte, 0, size)
	}
	r.scratch = slices.Grow(r.scratch[:0], size)
	return r.scratch
}
