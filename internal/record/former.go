package record

import "bytes"

// former is how the record before was written. In a shard the next one's metadata is mostly the same, but for the few
// numbers that each record has for itself.
type former struct {
	mark    Mark     // what it said, but for the GTID
	gtid    span     // the GTID, counted from the record's end
	texts   [][]byte // from the metadata's key to the record's end, without the numbers; none: nothing is known
	numbers []number // what stands between them
	memory  []byte   // of texts
}

// number is one that each record has for itself.
type number struct {
	in     span
	target int
}

const (
	ofRecordID = iota
	ofRow
	ofSequence
)

// next gives the Mark of a record that is the former one but for the numbers and what precedes the metadata, and says
// whether it is. From the metadata's opening brace on there are only texts that readEnd has seen and digits, so that all
// it rests on holds again if there is an object in front, and no backslash before the key.
func (f *former) next(data []byte) (Mark, bool) {
	if len(f.texts) == 0 {
		return Mark{}, false
	}
	mark, end := f.mark, len(data)
	for i := len(f.texts) - 1; ; i-- {
		if !bytes.HasSuffix(data[:end], f.texts[i]) {
			return Mark{}, false
		}
		if end -= len(f.texts[i]); i == 0 {
			break
		}
		from := end
		for from > 0 && data[from-1]-'0' <= 9 {
			from--
		}
		if !mark.set(f.numbers[i-1].target, data[from:end]) {
			return Mark{}, false
		}
		end = from
	}
	if first := skipSpace(data, 0); first >= end || data[first] != '{' || data[end-1] == '\\' {
		return Mark{}, false
	}
	mark.GTID = data[len(data)-f.gtid.from : len(data)-f.gtid.to]
	return mark, true
}

// set takes a number over, if it is one.
func (m *Mark) set(target int, digits []byte) bool {
	n, ok := parseUint(digits)
	switch target {
	case ofRecordID:
		m.RecordID = n
	case ofSequence:
		m.Sequence = n
	case ofRow:
		m.Position.Row = uint32(n)
		ok = ok && n <= 1<<32-1
	}
	return ok
}

// keep remembers how a record that says mark was written, if it is one that readKnown knows.
func (f *former) keep(m *members, data []byte, mark *Mark) {
	f.texts, f.numbers = f.texts[:0], f.numbers[:0]
	if m.key == 0 {
		return
	}
	f.mark, f.mark.GTID, f.gtid = *mark, nil, span{}
	if len(mark.GTID) > 0 {
		f.gtid = span{from: len(data) - m.text[textGTID].from, to: len(data) - m.text[textGTID].to}
	}
	f.add(m.at[numberRecordID], ofRecordID)
	if mark.Placed {
		f.add(m.row(data), ofRow)
	}
	f.add(m.at[numberSequence], ofSequence)
	f.memory = append(f.memory[:0], data[m.key:]...)
	from := 0
	for _, n := range f.numbers {
		f.texts = append(f.texts, f.memory[from:n.in.from-m.key])
		from = n.in.to - m.key
	}
	f.texts = append(f.texts, f.memory[from:])
}

// add notes where a number stands, if it is there. They are added in the order in which they stand.
func (f *former) add(in span, target int) {
	if in.to > 0 {
		f.numbers = append(f.numbers, number{in, target})
	}
}

// row is where the row stands in stream-position, <file>:<event start>:<row>:...
func (m *members) row(data []byte) span {
	from := m.text[textStreamPosition].from + m.file + 1
	from += bytes.IndexByte(data[from:], ':') + 1
	return span{from: from, to: from + bytes.IndexByte(data[from:], ':')}
}
