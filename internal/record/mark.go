package record

import (
	"bytes"
	"fmt"
)

// Mark is what de-duplication looks at in a record.
type Mark struct {
	Term, Epoch uint64    // writer-term, source-epoch; Term is 0 for a record that takes no part
	Op          Operation // 0 for a control record
	Placed      bool      // the record is a change and has a Position
	Position    Position
	RecordID    uint64
	GTID        []byte // "" where the source has none; lies in the record or, where it holds escapes, in a copy
}

// ParseMark is Parse for the few fields that de-duplication needs. It allocates nothing. A record of a change with a
// term whose stream-position cannot be read is an error: it can be neither kept nor dropped safely.
func ParseMark(data []byte) (Mark, error) {
	var m members
	if err := m.read(data); err != nil {
		return Mark{}, err
	}
	return m.mark(data)
}

func (m *members) mark(data []byte) (Mark, error) {
	mark := Mark{
		Term: m.number[numberTerm], Epoch: m.number[numberEpoch], RecordID: m.number[numberRecordID],
		Op:   operation(m.text[textRecordType].bytes(data), m.text[textOperation].bytes(data)),
		GTID: m.text[textGTID].bytes(data),
	}
	if mark.Term == 0 || mark.Op == 0 || mark.Op == Load {
		return mark, nil
	}
	text := m.text[textStreamPosition].bytes(data)
	p, ok := splitPosition(text)
	if !ok {
		return Mark{}, fmt.Errorf("%w: it has a writer-term, but its stream-position is %q", ErrNoEnvelope, text)
	}
	number, ok := fileNumber(p.file)
	if !ok {
		return Mark{}, fmt.Errorf("%w: the binlog file of its stream-position %q does not end in a number", ErrNoEnvelope, text)
	}
	m.fileEnd = m.text[textStreamPosition].from + len(p.file)
	mark.Placed, mark.Position = true, position(number, p.eventStart, p.row, mark.Op)
	return mark, nil
}

// MarkReader is ParseMark for the records of one shard, one after the other. It remembers the last change's metadata:
// that of the next row of the same event differs in three places only, and then need not be read again. A MarkReader
// serves one goroutine. The zero value is ready for use.
type MarkReader struct {
	mark Mark
	text []byte // the last change's metadata, from its key to the record's end

	// The parts of text that a record must share: the key and what follows up to the timestamp, then up to the value
	// of transaction-record-id, then up to the row in stream-position, then to the end.
	open, head, middle, tail []byte
	timestamp                int // its length
}

// Read is ParseMark. The mark's GTID is valid until the next call.
func (r *MarkReader) Read(data []byte) (Mark, error) {
	if mark, ok := r.again(data); ok {
		return mark, nil
	}
	var m members
	if err := m.read(data); err != nil {
		return Mark{}, err
	}
	mark, err := m.mark(data)
	if err == nil && mark.Placed && m.known && m.recordID.to > 0 {
		r.remember(data, &m, mark)
	}
	return mark, err
}

// again reads a record whose metadata is like that of the last change.
func (r *MarkReader) again(data []byte) (Mark, bool) {
	mark := r.mark
	if first := skipSpace(data, 0); !mark.Placed || first == len(data) || data[first] != '{' {
		return Mark{}, false
	}
	rest, ok := bytes.CutSuffix(data, r.tail)
	if !ok {
		return Mark{}, false
	}
	row, at, ok := trailingUint(rest)
	if !ok || row > 1<<32-1 {
		return Mark{}, false
	}
	if rest, ok = bytes.CutSuffix(rest[:at], r.middle); !ok {
		return Mark{}, false
	}
	if mark.RecordID, at, ok = trailingUint(rest); !ok {
		return Mark{}, false
	}
	if rest, ok = bytes.CutSuffix(rest[:at], r.head); !ok || len(rest) < r.timestamp {
		return Mark{}, false
	}
	timestamp := rest[len(rest)-r.timestamp:]
	if bytes.IndexByte(timestamp, '"') >= 0 || bytes.IndexByte(timestamp, '\\') >= 0 {
		return Mark{}, false
	}
	rest, ok = bytes.CutSuffix(rest[:len(rest)-r.timestamp], r.open)
	if !ok || len(rest) == 0 || rest[len(rest)-1] == '\\' {
		return Mark{}, false
	}
	mark.Position.Row = uint32(row)
	return mark, true
}

// remember keeps the metadata of a change for the next record.
func (r *MarkReader) remember(data []byte, m *members, mark Mark) {
	key := bytes.LastIndexByte(data[:m.start], 'm') - 1 // the quote of "metadata"
	cut := func(from, to int) []byte { return r.text[from-key : to-key] }
	_, eventStart, _ := leadingUint(data, m.fileEnd+1)
	_, rowEnd, _ := leadingUint(data, eventStart+1)
	at := m.text[textTimestamp]
	r.text = append(r.text[:0], data[key:]...)
	r.open, r.timestamp = cut(key, at.from), at.to-at.from
	r.head = cut(at.to, m.recordID.from)
	r.middle = cut(m.recordID.to, eventStart+1)
	r.tail = cut(rowEnd, len(data))
	r.mark = mark
	gtid := m.text[textGTID]
	r.mark.GTID = nil
	if gtid.to > gtid.from {
		r.mark.GTID = cut(gtid.from, gtid.to)
	}
}
