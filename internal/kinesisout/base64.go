package kinesisout

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/segmentio/asm/base64" // encoding/base64 takes longer than everything else between Put and the network
)

// appendBase64 appends data as the standard's base64.
func appendBase64(dst, data []byte) []byte {
	begin, size := len(dst), base64.StdEncoding.EncodedLen(len(data))
	dst = slices.Grow(dst, size)[:begin+size]
	base64.StdEncoding.Encode(dst[begin:], data)
	return dst
}

// texts encodes the data of several records in one call, since a call costs the library as much as some hundred bytes do:
// the records are put side by side, each filled up to a multiple of three bytes, so that each begins a group of characters.
// A large record is left out and encoded where it will stand.
type texts struct {
	plain   []byte
	encoded []byte
	next    int // where the text of the next record begins in encoded
}

const (
	groupBytes = 3 // become four characters

	// textsAtOnce is how many bytes are encoded in one call; they and their characters stay in a processor's cache.
	textsAtOnce = 8 << 10
)

// fill encodes the data of the first records, and says of how many.
func (t *texts) fill(records []types.PutRecordsRequestEntry) (n int) {
	t.plain, t.next = t.plain[:0], 0
	for n < len(records) && t.add(records[n].Data) {
		n++
	}
	size := base64.StdEncoding.EncodedLen(len(t.plain))
	t.encoded = slices.Grow(t.encoded[:0], size)[:size]
	base64.StdEncoding.Encode(t.encoded, t.plain)
	return n
}

// add puts a record behind those that are there, if there is room for it. There always is for one.
func (t *texts) add(data []byte) bool {
	if isLong(data) {
		return true
	}
	if len(t.plain)+len(data)+groupBytes > textsAtOnce && len(t.plain) > 0 {
		return false
	}
	t.plain = append(t.plain, data...)
	for len(t.plain)%groupBytes != 0 {
		t.plain = append(t.plain, 0)
	}
	return true
}

func isLong(data []byte) bool { return len(data) > textsAtOnce/4 }

// appendNext appends the text of the first of these records that was not appended yet, and whose data is given.
func (t *texts) appendNext(dst, data []byte) []byte {
	if isLong(data) {
		return appendBase64(dst, data)
	}
	end := t.next + base64.StdEncoding.EncodedLen(len(data))
	dst = append(dst, t.encoded[t.next:end]...)
	t.next = end
	// A group that was filled up shows its zeros as A.
	switch len(data) % groupBytes {
	case 1:
		dst[len(dst)-2], dst[len(dst)-1] = '=', '='
	case 2:
		dst[len(dst)-1] = '='
	}
	return dst
}
