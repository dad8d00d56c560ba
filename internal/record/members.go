package record

import (
	"bytes"
	"fmt"
)

// The metadata's members whose values are texts, and those whose values are numbers.
const (
	textRecordType = iota
	textOperation
	textKeyType
	textKeyValue
	textSchema
	textTable
	textTimestamp
	textCommitTimestamp
	textStreamPosition
	textGTID
	textFields
)

const (
	numberTxID = iota
	numberRecordID
	numberPrevTxID
	numberPrevRecordID
	numberTerm
	numberEpoch
	numberSequence
	numberFields
)

// metadataKeys are the keys in the order in which records have them, as they are written, with the colon.
var metadataKeys = [...]struct {
	key    string
	number bool
	field  int
}{
	{`"timestamp":`, false, textTimestamp},
	{`"record-type":`, false, textRecordType},
	{`"operation":`, false, textOperation},
	{`"partition-key-type":`, false, textKeyType},
	{`"partition-key-value":`, false, textKeyValue},
	{`"schema-name":`, false, textSchema},
	{`"table-name":`, false, textTable},
	{`"transaction-id":`, true, numberTxID},
	{`"transaction-record-id":`, true, numberRecordID},
	{`"prev-transaction-id":`, true, numberPrevTxID},
	{`"prev-transaction-record-id":`, true, numberPrevRecordID},
	{`"commit-timestamp":`, false, textCommitTimestamp},
	{`"stream-position":`, false, textStreamPosition},
	{`"gtid":`, false, textGTID},
	{`"writer-term":`, true, numberTerm},
	{`"source-epoch":`, true, numberEpoch},
	{`"writer-sequence":`, true, numberSequence},
}

// members is what was found in a record's metadata.
type members struct {
	text   [textFields]span
	number [numberFields]uint64

	// Of a record that readKnown has read; else 0:
	key int                // where the key metadata begins
	at  [numberFields]span // where the numbers stand

	file int // how long the name in stream-position is, if mark has read it
}

// span is where a text stands in a record, between its quotes.
type span struct {
	from, to int
	escaped  bool
}

// bytes is the text itself.
func (s span) bytes(data []byte) []byte {
	if s.escaped {
		return appendText(nil, data[s.from:s.to])
	}
	return data[s.from:s.to]
}

// read finds the record's metadata and reads it.
func (m *members) read(data []byte) error {
	if m.readEnd(data) {
		return nil
	}
	at, err := findMetadata(data)
	if err != nil {
		return err
	}
	_, err = m.readAny(data, at)
	return err
}

// readEnd reads the metadata object where the writers we know put it, last in the record and with no object in it,
// without a look at what stands before it. If the record's last opening brace follows the key's bytes, these are not
// preceded by a backslash, and the object is followed by one closing brace and the end, then the key can only be one
// of the outermost object.
func (m *members) readEnd(data []byte) bool {
	if first := skipSpace(data, 0); first == len(data) || data[first] != '{' {
		return false
	}
	start := lastBrace(data)
	key := metadataKey(data, start)
	if key == 0 {
		return false
	}
	end, ok := m.readKnown(data, start)
	if ok {
		m.key = key
	} else {
		var err error
		if end, err = m.readAny(data, start); err != nil {
			return false
		}
	}
	brace := skipSpace(data, end)
	return brace < len(data) && data[brace] == '}' && skipSpace(data, brace+1) == len(data)
}

// metadataKey is where the key metadata begins, if it and a colon stand in front of data[i], else 0.
func metadataKey(data []byte, i int) int {
	const key = `"metadata":`
	for i > 0 && isSpace(data[i-1]) {
		i--
	}
	from := i - len(key)
	if from <= 0 || string(data[from:i]) != key || data[from-1] == '\\' {
		return 0
	}
	return from
}

// findMetadata walks over the members of the outermost object and returns where the metadata object begins.
func findMetadata(data []byte) (int, error) {
	at := -1
	end, err := eachMember(data, skipSpace(data, 0), func(key []byte, start, _ int) error {
		if at < 0 && data[start] == '{' && keyIs(key, "metadata") {
			at = start
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case skipSpace(data, end) != len(data):
		return 0, fmt.Errorf("%w: something follows the record at byte %d", ErrNoEnvelope, end)
	case at < 0:
		return 0, fmt.Errorf("%w: no metadata object at the top level", ErrNoEnvelope)
	}
	return at, nil
}

// readAny reads the metadata object that begins at data[at], whatever it looks like, and returns the index behind it.
// Keys that it does not know are ignored, as later versions may add some. Numbers that only inform may be in a form
// that we would not write (exponents) and then stay 0; those that de-duplication rests on may not.
func (m *members) readAny(data []byte, at int) (int, error) {
	*m = members{}
	return eachMember(data, at, func(key []byte, start, end int) error {
		for _, k := range metadataKeys {
			if k.key[:len(k.key)-1] != string(key) {
				continue
			}
			switch text := data[start] == '"'; {
			case k.number && !text:
				n, ok := parseUint(data[start:end])
				if !ok && k.field >= numberTerm {
					return fmt.Errorf("%w: metadata %s is %.40q, not a whole number", ErrNoEnvelope, key, data[start:end])
				}
				m.number[k.field] = n
			case !k.number && text:
				m.text[k.field] = span{start + 1, end - 1, bytes.IndexByte(data[start:end], '\\') >= 0}
			}
		}
		return nil
	})
}

// readKnown is readAny for a metadata object that has only keys we know, in the usual order, texts without escapes
// and whole numbers: it guesses the next key where readAny would look for its end.
func (m *members) readKnown(data []byte, at int) (int, bool) {
	i := skipSpace(data, at+1)
	for n := range metadataKeys {
		k := &metadataKeys[n]
		start := i + len(k.key)
		if start >= len(data) || string(data[i:start]) != k.key {
			continue
		}
		if start = skipSpace(data, start); start == len(data) {
			return 0, false
		}
		var end int
		var ok bool
		if k.number {
			m.number[k.field], end, ok = leadingUint(data, start)
			m.at[k.field] = span{from: start, to: end}
		} else {
			end, ok = plainString(data, start)
			m.text[k.field] = span{from: start + 1, to: end - 1}
		}
		if !ok {
			return 0, false
		}
		if i = skipSpace(data, end); i == len(data) {
			return 0, false
		}
		switch data[i] {
		case ',':
			i = skipSpace(data, i+1)
		case '}':
			return i + 1, true
		default:
			return 0, false
		}
	}
	return 0, false
}
