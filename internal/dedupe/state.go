package dedupe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
)

// stateMagic begins a saved state; its last byte is the version of the form.
const stateMagic = "bsw\x02"

// maxState bounds what a saved state may unpack to: a full window of everything, with room to spare.
const maxState = 64 << 20

// ErrState is returned, wrapped, for bytes that are not a saved state.
var ErrState = errors.New("not a saved de-duplication state")

// AppendBinary appends the state in the form that UnmarshalBinary reads. Positions are stored as differences, so a
// full window takes some 200 KB; numbers take 8 KB at the most.
func (f *Filter) AppendBinary(dst []byte) ([]byte, error) {
	p := packers.Get().(*packer)
	defer packers.Put(p)
	body := slices.Grow(p.body[:0], 8*len(f.set.list)+1024) // mostly enough
	body = binary.AppendUvarint(body, f.term)
	body = binary.AppendUvarint(body, f.epoch)
	body, renamed := f.appendNames(body)
	body = binary.AppendUvarint(body, uint64(len(f.set.list)))
	var last position
	for i := range f.set.list {
		at := f.set.list[i].at
		body = appendPosition(body, last, at)
		last = at
	}
	pairs := pairWriter{renamed: renamed}
	for i := range f.set.list {
		body = pairs.append(body, f.set.list[i].id)
	}
	body = binary.AppendUvarint(body, uint64(len(f.former)))
	for _, g := range f.former {
		body = binary.AppendUvarint(body, uint64(g.fresh))
		body = binary.AppendUvarint(body, uint64(len(g.pairs)))
		pairs := pairWriter{renamed: renamed}
		for _, id := range g.pairs {
			body = pairs.append(body, id)
		}
	}
	p.body = f.unplaced.append(body)

	dst = append(dst, stateMagic...)
	buf := bytes.NewBuffer(dst)
	p.deflate.Reset(buf)
	if _, err := p.deflate.Write(p.body); err != nil {
		return nil, err
	}
	if err := p.deflate.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// packer is the memory that writing a state takes. States are written while a shard's records wait.
type packer struct {
	body    []byte
	deflate *flate.Writer
}

var packers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed) // differences are so much alike that no level makes a difference
	if err != nil {
		panic(err) // there is no such level
	}
	return &packer{deflate: w}
}}

func (s *numbers) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, s.high)
	if s.high == 0 {
		return dst
	}
	bits := s.bits()
	return append(binary.AppendUvarint(dst, uint64(len(bits))), bits...)
}

// appendPosition appends p as its difference to the position before it. Rows of one event take two bytes.
func appendPosition(dst []byte, last, p position) []byte {
	if p.hi == last.hi && p.lo>>32 == last.lo>>32 {
		return binary.AppendUvarint(append(dst, 0), p.lo-last.lo)
	}
	dst = append(dst, 1)
	dst = binary.AppendUvarint(dst, p.hi-last.hi)
	dst = binary.AppendVarint(dst, int64(p.lo>>32)-int64(last.lo>>32))
	return binary.AppendUvarint(dst, p.lo&(1<<32-1))
}

// pairWriter writes the pairs of a list as their differences, with the new numbers of their names.
type pairWriter struct {
	renamed map[uint64]uint64

	number, id        int64  // the last ones
	name, nameRenamed uint64 // nearly all have the same; 0 stays 0
}

func (w *pairWriter) append(dst []byte, p pair) []byte {
	number, id := int64(p.gtid&(1<<numberBits-1)), int64(p.id)
	if name := p.gtid >> numberBits; name != w.name {
		w.name, w.nameRenamed = name, w.renamed[name]
	}
	dst = binary.AppendUvarint(dst, w.nameRenamed)
	dst = binary.AppendVarint(dst, number-w.number)
	dst = binary.AppendVarint(dst, id-w.id)
	w.number, w.id = number, id
	return dst
}

// appendNames appends the names that are in use and gives their new numbers.
func (f *Filter) appendNames(dst []byte) ([]byte, map[uint64]uint64) {
	used := map[uint64]bool{}
	last := uint64(0)
	for _, m := range f.set.list {
		if n := m.id.gtid >> numberBits; n != last {
			used[n], last = true, n
		}
	}
	for _, g := range f.former {
		for _, p := range g.pairs {
			used[p.gtid>>numberBits] = true
		}
	}
	delete(used, 0)
	dst = binary.AppendUvarint(dst, uint64(len(used)))
	renamed := map[uint64]uint64{0: 0}
	for i, n := range slices.Sorted(maps.Keys(used)) {
		renamed[n] = uint64(i + 1)
		dst = binary.AppendUvarint(dst, uint64(len(f.names.list[n])))
		dst = append(dst, f.names.list[n]...)
	}
	return dst, renamed
}

// UnmarshalBinary replaces the state by a saved one. On an error the filter must not be used.
func (f *Filter) UnmarshalBinary(data []byte) error {
	if !bytes.HasPrefix(data, []byte(stateMagic)) {
		return fmt.Errorf("%w: it begins with %.4q", ErrState, data)
	}
	body, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[len(stateMagic):])), maxState))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	d := &decoder{rest: body}
	window := f.window
	if window == 0 {
		window = Window
	}
	*f = *newFilter(window)
	f.term, f.epoch = d.uint(), d.uint()
	if !f.names.read(d) {
		d.fail()
	}
	f.set.list = d.members(window, f.names)
	for range d.count(2) {
		fresh := d.uint()
		f.remember(generation{sortedPairs(d.pairs(d.count(3), f.names)), int(min(fresh, uint64(2*window)))})
	}
	f.unplaced.read(d)
	if d.bad || len(d.rest) != 0 {
		return fmt.Errorf("%w: it is damaged", ErrState)
	}
	return nil
}

// decoder reads numbers until the first fault, and zeros behind it.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) fail() { d.bad, d.rest = true, nil }

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads a number of elements of at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.rest)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) members(limit int, n *names) []member {
	count := d.count(2)
	if count > limit {
		d.fail()
		return nil
	}
	list := make([]member, count)
	var last position
	for i := range list {
		p := last
		if d.uint() == 0 {
			p.lo += d.uint()
		} else {
			p.hi += d.uint()
			p.lo = uint64(int64(last.lo>>32)+d.int())<<32 | d.uint()&(1<<32-1)
		}
		if i > 0 && p.compare(last) <= 0 {
			d.fail()
			return nil
		}
		list[i].at = p
		last = p
	}
	for i, id := range d.pairs(count, n) {
		list[i].id = id
	}
	return list
}

// read reads what append has written.
func (s *numbers) read(d *decoder) {
	high := d.uint()
	if high == 0 {
		return
	}
	size := d.count(1)
	if !s.setBits(high, d.rest[:size]) {
		d.fail()
		return
	}
	d.rest = d.rest[size:]
}

func (n *names) read(d *decoder) bool {
	count := d.count(1)
	for range count {
		size := d.count(1)
		if _, ok := n.intern(d.rest[:size]); !ok {
			return false
		}
		d.rest = d.rest[size:]
	}
	return len(n.list) == count+1 // a name twice would shift the others
}

func (d *decoder) pairs(count int, n *names) []pair {
	list := make([]pair, count)
	var number, id int64
	for i := range list {
		name := d.uint()
		number += d.int()
		id += d.int()
		if name >= uint64(len(n.list)) || number < 0 || number >= 1<<numberBits {
			d.fail()
			return nil
		}
		list[i] = pair{gtid: name<<numberBits | uint64(number), id: uint64(id)}
	}
	return list
}
