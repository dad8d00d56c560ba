package record

import "fmt"

// Mark is what de-duplication looks at in a record.
type Mark struct {
	Term, Epoch uint64    // writer-term, source-epoch; Term is 0 for a record that takes no part
	Op          Operation // 0 for a control record
	Placed      bool      // the record is a change and has a Position
	Position    Position
	RecordID    uint64
	Sequence    uint64 // writer-sequence; 0: it has none, as a change that is Placed
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

// Marks is ParseMark for the records of a shard in their order. What a record has in common with the one before it, which
// is all of its metadata but two numbers within an event, is only compared. The zero value is ready; it is used by one
// goroutine.
type Marks struct {
	former former
	whole  bool
}

// Parse is ParseMark, with the same result.
func (s *Marks) Parse(data []byte) (Mark, error) {
	if mark, ok := s.former.next(data); ok {
		s.whole = true
		return mark, nil
	}
	var m members
	s.whole = false
	if err := m.read(data); err != nil {
		return Mark{}, err
	}
	s.whole = m.key != 0
	mark, err := m.mark(data)
	if err == nil {
		s.former.keep(&m, data, &mark)
	}
	return mark, err
}

// Whole reports whether the record that was parsed last is known to refer to no body elsewhere, as there is no object in
// its metadata. If this is false, ParseSpilled can tell.
func (s *Marks) Whole() bool { return s.whole }

func (m *members) mark(data []byte) (Mark, error) {
	mark := Mark{
		Term: m.number[numberTerm], Epoch: m.number[numberEpoch], RecordID: m.number[numberRecordID], Sequence: m.number[numberSequence],
		Op:   operation(m.text[textRecordType].bytes(data), m.text[textOperation].bytes(data)),
		GTID: m.text[textGTID].bytes(data),
	}
	if mark.Term == 0 || mark.Op == 0 || mark.Op == Load {
		return mark, nil
	}
	text := m.text[textStreamPosition].bytes(data)
	f, ok := splitPosition(text)
	if !ok {
		return Mark{}, fmt.Errorf("%w: it has a writer-term, but its stream-position is %q", ErrNoEnvelope, text)
	}
	number, ok := fileNumber(f.file)
	if !ok {
		return Mark{}, fmt.Errorf("%w: the binlog file of its stream-position %q does not end in a number", ErrNoEnvelope, text)
	}
	m.file = len(f.file)
	mark.Placed, mark.Position = true, position(number, f.eventStart, f.row, mark.Op)
	return mark, nil
}
