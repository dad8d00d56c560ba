package s3sink

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// Run is a contiguous run of one shard's records that wait to be stored. It keeps a copy of the records' bytes as they
// were given. It is cut only between Kinesis records, never inside an aggregated one.
type Run struct {
	layout  *Layout
	version int
	bodies  Bodies // may be nil

	entries    []entry
	data       [][]byte // in plain
	plain      plain
	partOf     []int // of data, into partitions; nil if the layout makes one object of a run
	partitions []partition
	known      map[string]int // partitions by their ids
	use        []int          // how many records each partition has
	open       int            // partitions that have any, without the one of records that have none

	bytes   int64
	away    int64  // of bytes, what is not in memory
	refers  bool   // some records may be references to bodies elsewhere
	changed bool   // some records are stored with other bytes than they have here
	end     string // see EndAt
}

type entry struct {
	sequence string
	arrival  time.Time
	end      int // of its records in data
	bytes    int64
	away     int64
}

// What a run takes in memory beside the records' bytes.
const (
	entryCost     = 160 // of an entry, the text of its sequence number, and a slice
	partitionCost = 400 // of a partition, its values and its id
)

// Grow makes room for as many Kinesis records as another run has, with one record in each.
func (r *Run) Grow(other *Run) {
	r.entries = slices.Grow(r.entries, len(other.entries))
	r.data = slices.Grow(r.data, len(other.data))
}

// NewRun is an empty run that is to be stored under a version of a layout. Records whose bodies are elsewhere get them
// back from bodies, if that is not nil.
func NewRun(l *Layout, version int, bodies Bodies) *Run {
	r := &Run{layout: l, version: version, bodies: bodies}
	if l.owns {
		r.known = map[string]int{}
	}
	return r
}

// Next is the kept records of one Kinesis record, with what they say of their partitions.
type Next struct {
	Sequence   string
	Arrival    time.Time
	Records    [][]byte
	Whole      bool        // none of the records refers to a body elsewhere; if false, each is asked
	partitions []partition // nil if the layout makes one object of a run
}

// Prepare looks at what is to be added. It is the costly part of adding and changes nothing.
func (r *Run) Prepare(sequence string, arrival time.Time, records ...[]byte) *Next {
	n := &Next{Sequence: sequence, Arrival: arrival, Records: records}
	r.partition(n)
	return n
}

func (r *Run) partition(n *Next) {
	if !r.layout.owns {
		return
	}
	for _, data := range n.Records {
		n.partitions = append(n.partitions, r.layout.partition(data, n.Arrival))
	}
}

// Fits reports whether the run would have at most limit partitions with n in it. One Kinesis record always fits an
// empty run. Records without a partition do not count.
func (r *Run) Fits(n *Next, limit int) bool {
	if r.known == nil || r.Empty() || r.open+len(n.partitions) <= limit {
		return true
	}
	opens := map[string]bool{}
	for i := range n.partitions {
		p := &n.partitions[i]
		id := p.id()
		if number, ok := r.known[id]; p.failure == nil && (!ok || r.use[number] == 0) {
			opens[id] = true
		}
	}
	return r.open+len(opens) <= limit
}

// Add puts the kept records of one Kinesis record at the end.
func (r *Run) Add(sequence string, arrival time.Time, records ...[]byte) {
	r.Append(r.Prepare(sequence, arrival, records...))
}

// Append is Add for records that were prepared, by this run or by one of the same layout.
func (r *Run) Append(n *Next) {
	e := entry{sequence: n.Sequence, arrival: n.Arrival, end: len(r.data) + len(n.Records)}
	for _, d := range n.Records {
		r.data = append(r.data, r.plain.add(d))
		size := int64(len(d))
		if !n.Whole {
			if body, ok := r.reference(d); ok {
				size = body.Bytes
				e.away += body.Bytes - int64(len(d))
				r.changed, r.refers = true, true
			}
		}
		e.bytes += size
		if r.delimits(d) {
			e.bytes++
			r.changed = true
		}
	}
	r.bytes += e.bytes
	r.away += e.away
	r.entries = append(r.entries, e)
	for i := range n.partitions {
		r.count(&n.partitions[i])
	}
}

// count books the partition of the next record.
func (r *Run) count(p *partition) {
	id := p.id()
	number, ok := r.known[id]
	if !ok {
		number = len(r.partitions)
		if p.failure != nil {
			p = &partition{failure: &failure{}} // each record has a reason of its own
		}
		r.partitions = append(r.partitions, *p)
		r.use = append(r.use, 0)
		r.known[id] = number
	}
	if r.use[number]++; r.use[number] == 1 && p.failure == nil {
		r.open++
	}
	r.partOf = append(r.partOf, number)
}

func (r *Run) delimits(d []byte) bool {
	return r.layout.config.AppendDelimiter && !bytes.HasSuffix(d, newline)
}

var newline = []byte{'\n'}

// Empty reports whether there is nothing to store.
func (r *Run) Empty() bool { return len(r.entries) == 0 }

// Bytes is the size of the run's objects before compression.
func (r *Run) Bytes() int64 { return r.bytes }

// Memory is about what the run occupies.
func (r *Run) Memory() int64 {
	return r.bytes - r.away + r.plain.free() + int64(len(r.entries))*entryCost + int64(len(r.partOf))*8 + int64(len(r.partitions))*partitionCost
}

// Records is how many records the run's objects will hold.
func (r *Run) Records() int { return len(r.data) }

// First is the record that the run's keys are made of.
func (r *Run) First() (sequence string, arrival time.Time) {
	return r.entries[0].sequence, r.entries[0].arrival
}

// Last is the sequence number of the last record.
func (r *Run) Last() string {
	if r.end != "" {
		return r.end
	}
	return r.entries[len(r.entries)-1].sequence
}

// Arrived is when the last record arrived.
func (r *Run) Arrived() time.Time { return r.entries[len(r.entries)-1].arrival }

// Spilled reports whether the bodies of some records are elsewhere.
func (r *Run) Spilled() bool { return r.away != 0 }

// EndAt says where the run ends, if that is settled by an object that is stored. It is the last record's sequence
// number unless that record was lost.
func (r *Run) EndAt(last string) { r.end = last }

// Layout is the layout of the run's objects.
func (r *Run) Layout() *Layout { return r.layout }

// Version is the layout version of the run's objects.
func (r *Run) Version() int { return r.version }

// through is how many entries end at or before a sequence number.
func (r *Run) through(sequence string) int {
	n, found := slices.BinarySearchFunc(r.entries, sequence, func(e entry, s string) int { return CompareSequence(e.sequence, s) })
	if found {
		n++
	}
	return n
}

// DropThrough takes the records up to a sequence number out: other objects hold them. Nothing may refer to them any more.
func (r *Run) DropThrough(sequence string) {
	if n := r.through(sequence); n < len(r.entries) {
		r.split(n)
		return
	}
	r.plain.release()
	end := r.end
	*r = *NewRun(r.layout, r.version, r.bodies)
	r.end = end
}

// CutBehind takes the records behind a sequence number out, and gives them as a run of their own.
func (r *Run) CutBehind(sequence string) *Run {
	head := r.split(r.through(sequence))
	tail := *r
	*r = *head
	return &tail
}

// Join puts the records of a later run of the same layout at the end.
func (r *Run) Join(later *Run) {
	from := 0
	for _, e := range later.entries {
		n := &Next{Sequence: e.sequence, Arrival: e.arrival, Records: later.data[from:e.end]}
		if later.partOf != nil {
			for _, number := range later.partOf[from:e.end] {
				n.partitions = append(n.partitions, later.partitions[number])
			}
		}
		from = e.end
		r.Append(n)
	}
}

// split takes the first n entries out and gives them as a run of their own.
func (r *Run) split(n int) (head *Run) {
	head = NewRun(r.layout, r.version, r.bodies)
	head.refers = r.refers
	if n == 0 {
		return head
	}
	r.plain = plain{} // the pieces are in both parts
	cut := r.entries[n-1].end
	head.entries, r.entries = r.entries[:n:n], slices.Clone(r.entries[n:])
	head.data, r.data = r.data[:cut:cut], r.data[cut:]
	for i := range head.entries {
		head.bytes += head.entries[i].bytes
		head.away += head.entries[i].away
	}
	r.bytes -= head.bytes
	r.away -= head.away
	for i := range r.entries {
		r.entries[i].end -= cut
	}
	if r.partOf != nil {
		head.partitions, r.partitions = r.partitions, slices.Clone(r.partitions)
		head.recount(r.partOf[:cut:cut])
		r.recount(r.partOf[cut:])
	}
	return head
}

// recount books the partitions of the records anew.
func (r *Run) recount(partOf []int) {
	all := r.partitions
	r.partOf, r.partitions, r.use, r.known, r.open = nil, nil, nil, map[string]int{}, 0
	for _, number := range partOf {
		r.count(&all[number])
	}
}

// Group is one object of a run.
type Group struct {
	key     string
	number  int    // from 1
	of      int    // how many the run has
	failed  bool   // its records have no partition
	members []bool // by partition; nil for all records
}

// First reports whether the object holds the run's first record. It is stored before the others, and where it ends is
// where they all do.
func (g *Group) First() bool { return g.number == 1 }

// Groups is the objects that the run makes, in the order in which they are stored: that of their first records. They
// follow from the run's first record, the layout and the records up to the run's end.
func (r *Run) Groups(c Chain) []Group {
	sequence, arrival := r.First()
	s := start{c, r.version, sequence, arrival}
	if r.partOf == nil {
		key, err := r.layout.key(s, &partition{})
		return []Group{{key: key, number: 1, of: 1, failed: err != nil}} // there is no error without values
	}
	var groups []Group
	seen := make([]bool, len(r.partitions))
	byKey := map[string]int{}
	for _, number := range r.partOf {
		if seen[number] {
			continue
		}
		seen[number] = true
		key, err := r.layout.key(s, &r.partitions[number])
		if err != nil {
			key = r.layout.errorKey(s)
		}
		at, ok := byKey[key]
		if !ok {
			at = len(groups)
			byKey[key] = at
			groups = append(groups, Group{key: key, number: at + 1, failed: err != nil, members: make([]bool, len(r.partitions))})
		}
		groups[at].members[number] = true
	}
	for i := range groups {
		groups[i].of = len(groups)
	}
	return groups
}

// Key is under which key the object is stored.
func (g *Group) Key() string { return g.key }

// Identity is what the metadata of the object says of whose it is. Where the run ends and how many objects it makes is
// no part of the first one's: that is what it tells.
func (r *Run) Identity(c Chain, g *Group) Meta {
	first, _ := r.First()
	m := Meta{Stream: c.Stream, StreamCreated: c.Created.Unix(), Shard: c.Shard, First: first}
	if !g.First() {
		m.Last, m.Part, m.Parts = r.Last(), g.number, g.of
	}
	return m
}

// Key is the key of the run's first object.
func (r *Run) Key(c Chain) string { return r.Groups(c)[0].key }

// Object makes an object of the run. The buffer's content is replaced; the object's body is that of the buffer. It is
// a *BodyError if a record's body cannot be had.
func (r *Run) Object(ctx context.Context, c Chain, g *Group, buf *bytes.Buffer) (*Object, error) {
	first, _ := r.First()
	o := &Object{
		Key: g.key,
		Meta: Meta{
			Stream: c.Stream, StreamCreated: c.Created.Unix(), Shard: c.Shard,
			First: first, Last: r.Last(), CRC32: "00000000", Layout: r.version,
		},
		ContentEncoding: r.layout.config.Compression.contentEncoding(),
		Failed:          g.failed,
	}
	m := &o.Meta
	if g.of > 1 {
		m.Part, m.Parts = g.number, g.of
	}
	r.measure(g, m)
	kind := ""
	if g.failed {
		kind = processingFailed
	}
	buf.Reset()
	t := &tally{}
	if r.layout.config.Compression != GZIP { // which has that checksum anyway
		t.sum = crc32.NewIEEE()
	}
	err := compress(buf, r.layout.config.Compression, m, c.id(first, kind).String(), func(w io.Writer) error {
		t.to = w
		return r.writeTo(ctx, t, g)
	})
	if err != nil {
		return nil, err
	}
	o.Body = buf.Bytes()
	m.Bytes = t.bytes
	if t.sum != nil {
		m.CRC32 = fmt.Sprintf("%08x", t.sum.Sum32())
		return o, nil
	}
	m.CRC32 = fmt.Sprintf("%08x", gzipSum(o.Body))
	return o, patchGzipMeta(o.Body, m)
}

// measure counts the object's records, and its bytes: no fewer digits than they will have.
func (r *Run) measure(g *Group, m *Meta) {
	if g.members == nil && !g.failed && !r.refers {
		m.Records, m.Bytes = len(r.data), r.bytes
		return
	}
	const perError = 8 * maxMessage // of a document, beside the record's base64
	for i, d := range r.data {
		if !g.holds(r, i) {
			continue
		}
		m.Records++
		m.Bytes += int64(len(d))
		if body, ok := r.spilled(d); ok {
			m.Bytes += body.Bytes
		}
		if r.delimits(d) {
			m.Bytes++
		}
		if g.failed {
			m.Bytes += int64(len(d)) + perError
		}
	}
}

func (g *Group) holds(r *Run, i int) bool { return g.members == nil || g.members[r.partOf[i]] }

// writeTo writes the object's plain bytes.
func (r *Run) writeTo(ctx context.Context, w io.Writer, g *Group) error {
	if g.members == nil && !g.failed && r.asTheyAre() {
		return r.plain.writeTo(w)
	}
	from := 0
	for _, e := range r.entries {
		for i := from; i < e.end; i++ {
			if !g.holds(r, i) {
				continue
			}
			if err := r.writeRecord(ctx, w, g, &e, r.data[i]); err != nil {
				return err
			}
		}
		from = e.end
	}
	return nil
}

// asTheyAre reports whether an object of all records is made of their bytes and nothing else, and all of them are in
// pieces of this run.
func (r *Run) asTheyAre() bool { return !r.changed && r.bytes == r.plain.bytes }

func (r *Run) writeRecord(ctx context.Context, w io.Writer, g *Group, e *entry, data []byte) error {
	if g.failed {
		return r.writeError(w, e, data)
	}
	if body, ok := r.spilled(data); ok {
		return r.writeBody(ctx, w, body)
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if r.delimits(data) {
		_, err := w.Write(newline)
		return err
	}
	return nil
}

// spilled says where the body of one of the run's records is, if it is elsewhere and may be read.
func (r *Run) spilled(data []byte) (record.Spilled, bool) {
	if !r.refers {
		return record.Spilled{}, false
	}
	return r.reference(data)
}

// reference is spilled for a record that is to be added.
func (r *Run) reference(data []byte) (record.Spilled, bool) {
	if r.bodies == nil {
		return record.Spilled{}, false
	}
	s, ok := record.ParseSpilled(data)
	return s, ok && r.bodies.Owns(s.Location)
}

// tally counts what is written, and sums it up if there is a sum.
type tally struct {
	to    io.Writer
	bytes int64
	sum   hash.Hash32 // may be nil
}

func (t *tally) Write(p []byte) (int, error) {
	n, err := t.to.Write(p)
	t.bytes += int64(n)
	if t.sum != nil {
		_, _ = t.sum.Write(p[:n]) // never fails
	}
	return n, err
}
