package record

import (
	"errors"
	"fmt"
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
}

// Op is the operation of a data record, and 0 for a control record or an operation that is unknown.
func (h *Header) Op() Operation {
	if h.RecordType != "data" {
		return 0
	}
	for op := Load; op <= Delete; op++ {
		if operationNames[op] == h.Operation {
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

// The header's text fields.
const (
	fieldRecordType = iota
	fieldOperation
	fieldKeyType
	fieldKeyValue
	fieldSchema
	fieldTable
	fieldTimestamp
	fieldCommitTimestamp
	fieldStreamPosition
	fieldGTID
	textFields
)

// textField finds the field of a key as it is written. Keys that it does not know are ignored, as later versions may
// add some.
func textField(key []byte) (int, bool) {
	switch string(key) {
	case `"record-type"`:
		return fieldRecordType, true
	case `"operation"`:
		return fieldOperation, true
	case `"partition-key-type"`:
		return fieldKeyType, true
	case `"partition-key-value"`:
		return fieldKeyValue, true
	case `"schema-name"`:
		return fieldSchema, true
	case `"table-name"`:
		return fieldTable, true
	case `"timestamp"`:
		return fieldTimestamp, true
	case `"commit-timestamp"`:
		return fieldCommitTimestamp, true
	case `"stream-position"`:
		return fieldStreamPosition, true
	case `"gtid"`:
		return fieldGTID, true
	}
	return 0, false
}

func (h *Header) text(field int) *string {
	return [textFields]*string{
		fieldRecordType: &h.RecordType, fieldOperation: &h.Operation, fieldKeyType: &h.PartitionKeyType,
		fieldKeyValue: &h.PartitionKeyValue, fieldSchema: &h.Schema, fieldTable: &h.Table, fieldTimestamp: &h.Timestamp,
		fieldCommitTimestamp: &h.CommitTimestamp, fieldStreamPosition: &h.StreamPosition, fieldGTID: &h.GTID,
	}[field]
}

// isWord says whether the field holds one of a few words.
func isWord(field int) bool { return field <= fieldKeyType }

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

// setNumber stores a member of the metadata whose value is no string. Numbers that only inform may be in a form that
// we would not write (exponents) and then stay 0; those that de-duplication rests on may not.
func (h *Header) setNumber(key, value []byte) error {
	switch string(key) {
	case `"transaction-id"`:
		h.TxID, _ = parseUint(value)
	case `"transaction-record-id"`:
		h.RecordID, _ = parseUint(value)
	case `"prev-transaction-id"`:
		h.PrevTxID, _ = parseUint(value)
	case `"prev-transaction-record-id"`:
		h.PrevTxRecordID, _ = parseUint(value)
	case `"writer-term"`:
		return setUint(&h.Term, key, value)
	case `"source-epoch"`:
		return setUint(&h.Epoch, key, value)
	}
	return nil
}

func setUint(to *uint64, key, value []byte) error {
	n, ok := parseUint(value)
	if !ok {
		return fmt.Errorf("%w: metadata %s is %.40q, not a whole number", ErrNoEnvelope, key, value)
	}
	*to = n
	return nil
}

// parseUint reads a JSON number that is a whole one of 64 bits at most.
func parseUint(s []byte) (uint64, bool) {
	if len(s) == 0 || len(s) > 20 {
		return 0, false
	}
	var n uint64
	for _, c := range s {
		d := uint64(c - '0')
		if d > 9 || n > (1<<64-1)/10 || n*10 > 1<<64-1-d {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
