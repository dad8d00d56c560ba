package record

import (
	"errors"
)

// ErrNoEnvelope is returned, wrapped, when bytes are not a record: not a JSON object, or one without a metadata
// object at its top level.
var ErrNoEnvelope = errors.New("not a DMS record")

// Header is a record's metadata. A key that is absent leaves its field at zero, so DMS's own records and ours read
// alike; a record takes part in de-duplication only if Term is not 0.
type Header struct {
	RecordType        string // data or control
	Operation         string
	PartitionKeyType  string
	PartitionKeyValue string
	Schema, Table     string
	Timestamp         string // see ParseTime
	CommitTimestamp   string
	StreamPosition    string
	GTID              string
	TxID              uint64 // transaction-id
	RecordID          uint64 // transaction-record-id
	PrevTxID          uint64
	PrevTxRecordID    uint64
	Term, Epoch       uint64 // writer-term, source-epoch
	Sequence          uint64 // writer-sequence
}

// Parse reads a record's metadata. It takes either format, and any JSON of the same shape. It looks at data only as
// far as it must to step over it, so a record whose data is broken may parse; a record without a metadata object at
// its top level is ErrNoEnvelope. data is not kept. Parse never panics, and allocates the header's text once.
func Parse(data []byte) (Header, error) {
	var m members
	if err := m.read(data); err != nil {
		return Header{}, err
	}
	h := Header{
		TxID: m.number[numberTxID], RecordID: m.number[numberRecordID],
		PrevTxID: m.number[numberPrevTxID], PrevTxRecordID: m.number[numberPrevRecordID],
		Term: m.number[numberTerm], Epoch: m.number[numberEpoch], Sequence: m.number[numberSequence],
	}
	h.setTexts(data, &m.text)
	return h, nil
}

// Op is the operation of a data record, and 0 for a control record or an operation that is unknown.
func (h *Header) Op() Operation {
	return operation(h.RecordType, h.Operation)
}

func operation[T string | []byte](recordType, name T) Operation {
	if string(recordType) != "data" {
		return 0
	}
	for op := Load; op <= Delete; op++ {
		if operationNames[op] == string(name) {
			return op
		}
	}
	return 0
}

// Position is where the change stands in its source epoch.
func (h *Header) Position() (Position, error) {
	place, _, err := ParseStreamPosition(h.StreamPosition)
	if err != nil {
		return Position{}, err
	}
	return place.Position(h.Op())
}

// setTexts fills the header's texts. All that hold no escape share one copy of the record from the first to the last
// of them; the words that most records have in common need none.
func (h *Header) setTexts(data []byte, spans *[textFields]span) {
	from, to := len(data), 0
	for field, s := range spans {
		if s.to > s.from && !isWord(field) {
			from, to = min(from, s.from), max(to, s.to)
		}
	}
	shared := string(data[min(from, to):to])
	for field, to := range [textFields]*string{
		textRecordType: &h.RecordType, textOperation: &h.Operation, textKeyType: &h.PartitionKeyType,
		textKeyValue: &h.PartitionKeyValue, textSchema: &h.Schema, textTable: &h.Table, textTimestamp: &h.Timestamp,
		textCommitTimestamp: &h.CommitTimestamp, textStreamPosition: &h.StreamPosition, textGTID: &h.GTID,
	} {
		s := spans[field]
		switch {
		case s.to == s.from:
		case s.escaped:
			*to = string(s.bytes(data))
		case isWord(field):
			*to = word(data[s.from:s.to])
		default:
			*to = shared[s.from-from : s.to-from]
		}
	}
}

// isWord says whether the field holds one of a few words.
func isWord(field int) bool { return field <= textKeyType }

// word is the text of a field that isWord, without an allocation for the words that records usually hold.
func word(b []byte) string {
	switch string(b) {
	case "data":
		return "data"
	case "insert":
		return "insert"
	case "update":
		return "update"
	case "delete":
		return "delete"
	case "load":
		return "load"
	case "control":
		return "control"
	case "primary-key":
		return "primary-key"
	case "schema-table":
		return "schema-table"
	case "task-id":
		return "task-id"
	}
	return string(b)
}
