package s3sink

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"
)

// Run is a contiguous run of one shard's records that wait to be stored. It keeps the records' bytes as they were
// given. It is cut only between Kinesis records, never inside an aggregated one.
type Run struct {
	entries []entry
	data    [][]byte
	bytes   int64
	delimit bool
}

type entry struct {
	sequence string
	arrival  time.Time
	end      int // of its records in data
	bytes    int64
}

// entryCost is the memory that a record takes beside its bytes: its entry, the text of its sequence number and a slice.
const entryCost = 160

// NewRun is an empty run. If delimit is set, records that do not end in a newline get one.
func NewRun(delimit bool) *Run { return &Run{delimit: delimit} }

// Add puts the kept records of one Kinesis record at the end. They belong to the run from then on.
func (r *Run) Add(sequence string, arrival time.Time, records ...[]byte) {
	r.data = append(r.data, records...)
	size := int64(0)
	for _, d := range records {
		size += int64(len(d))
		if r.delimit && !bytes.HasSuffix(d, newline) {
			size++
		}
	}
	r.bytes += size
	r.entries = append(r.entries, entry{sequence, arrival, len(r.data), size})
}

var newline = []byte{'\n'}

// Empty reports whether there is nothing to store.
func (r *Run) Empty() bool { return len(r.entries) == 0 }

// Bytes is the size of the object before compression.
func (r *Run) Bytes() int64 { return r.bytes }

// Memory is about what the run occupies.
func (r *Run) Memory() int64 { return r.bytes + int64(len(r.entries))*entryCost }

// Records is how many records the object will hold.
func (r *Run) Records() int { return len(r.data) }

// First is the record that the run's key is made of.
func (r *Run) First() (sequence string, arrival time.Time) {
	return r.entries[0].sequence, r.entries[0].arrival
}

// Last is the sequence number of the last record.
func (r *Run) Last() string { return r.entries[len(r.entries)-1].sequence }

// DropThrough takes the records up to a sequence number out: another object holds them.
func (r *Run) DropThrough(sequence string) {
	n, found := slices.BinarySearchFunc(r.entries, sequence, func(e entry, s string) int { return CompareSequence(e.sequence, s) })
	if found {
		n++
	}
	if n == 0 {
		return
	}
	for _, e := range r.entries[:n] {
		r.bytes -= e.bytes
	}
	cut := r.entries[n-1].end
	r.data = r.data[cut:]
	r.entries = r.entries[n:]
	for i := range r.entries {
		r.entries[i].end -= cut
	}
}

// writeTo writes the object's plain bytes.
func (r *Run) writeTo(w io.Writer) error {
	for _, d := range r.data {
		if _, err := w.Write(d); err != nil {
			return err
		}
		if r.delimit && !bytes.HasSuffix(d, newline) {
			if _, err := w.Write(newline); err != nil {
				return err
			}
		}
	}
	return nil
}

// Object makes the object of the whole run. The buffer's content is replaced; the object's body is that of the buffer.
func (r *Run) Object(c Chain, l *Layout, version int, buf *bytes.Buffer) (*Object, error) {
	sum := crc32.NewIEEE()
	if err := r.writeTo(sum); err != nil {
		return nil, err
	}
	first, arrival := r.First()
	o := &Object{
		Key: l.Key(c, version, first, arrival),
		Meta: Meta{
			Stream: c.Stream, StreamCreated: c.Created.Unix(), Shard: c.Shard,
			First: first, Last: r.Last(), Records: r.Records(), Bytes: r.bytes,
			CRC32: fmt.Sprintf("%08x", sum.Sum32()), Layout: version,
		},
		ContentEncoding: l.config.Compression.contentEncoding(),
	}
	buf.Reset()
	if err := compress(buf, l.config.Compression, &o.Meta, c.id(first).String(), r.writeTo); err != nil {
		return nil, err
	}
	o.Body = buf.Bytes()
	return o, nil
}
