package record

import (
	"bytes"
	"fmt"
)

// Parse reads a record's metadata. It takes either format, and any JSON of the same shape. It looks at data only as
// far as it must to step over it, so a record whose data is broken may parse; a record without a metadata object at
// its top level is ErrNoEnvelope. data is not kept. Parse never panics, and allocates the header's text once.
func Parse(data []byte) (Header, error) {
	if h, ok := parseAtEnd(data); ok {
		return h, nil
	}
	at, err := findMetadata(data)
	if err != nil {
		return Header{}, err
	}
	var h Header
	var spans [textFields]span
	if _, err := h.readAny(data, at, &spans); err != nil {
		return Header{}, err
	}
	h.setTexts(data, &spans)
	return h, nil
}

// parseAtEnd reads the metadata object where the writers we know put it, last in the record and with no object in it,
// without a look at what stands before it. If the record's last opening brace follows the key's bytes, these are not
// preceded by a backslash, and the object is followed by one closing brace and the end, then the key can only be one
// of the outermost object.
func parseAtEnd(data []byte) (Header, bool) {
	if first := skipSpace(data, 0); first == len(data) || data[first] != '{' {
		return Header{}, false
	}
	start := bytes.LastIndexByte(data, '{')
	if !followsMetadataKey(data, start) {
		return Header{}, false
	}
	var h Header
	var spans [textFields]span
	end, ok := h.readKnown(data, start, &spans)
	if !ok {
		var err error
		h, spans = Header{}, [textFields]span{}
		if end, err = h.readAny(data, start, &spans); err != nil {
			return Header{}, false
		}
	}
	brace := skipSpace(data, end)
	if brace == len(data) || data[brace] != '}' || skipSpace(data, brace+1) != len(data) {
		return Header{}, false
	}
	h.setTexts(data, &spans)
	return h, true
}

// followsMetadataKey says whether the key metadata and a colon stand in front of data[i].
func followsMetadataKey(data []byte, i int) bool {
	const key = `"metadata":`
	for i > 0 && isSpace(data[i-1]) {
		i--
	}
	from := i - len(key)
	return from > 0 && string(data[from:i]) == key && data[from-1] != '\\'
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
func (h *Header) readAny(data []byte, at int, spans *[textFields]span) (int, error) {
	return eachMember(data, at, func(key []byte, start, end int) error {
		if data[start] != '"' {
			return h.setNumber(key, data[start:end])
		}
		if field, ok := textField(key); ok {
			spans[field] = span{start + 1, end - 1}
		}
		return nil
	})
}

// metadataKeys are the keys in the order in which records have them, as they are written.
var metadataKeys = [...]string{
	`"timestamp":`, `"record-type":`, `"operation":`, `"partition-key-type":`, `"partition-key-value":`, `"schema-name":`,
	`"table-name":`, `"transaction-id":`, `"transaction-record-id":`, `"prev-transaction-id":`,
	`"prev-transaction-record-id":`, `"commit-timestamp":`, `"stream-position":`, `"gtid":`, `"writer-term":`, `"source-epoch":`,
}

// readKnown is readAny for a metadata object that has only keys we know, in the usual order, texts without escapes
// and whole numbers: it guesses the next key where readAny would look for its end.
func (h *Header) readKnown(data []byte, at int, spans *[textFields]span) (int, bool) {
	i := skipSpace(data, at+1)
	for _, key := range metadataKeys {
		behind := i + len(key)
		if behind >= len(data) || string(data[i:behind]) != key {
			continue
		}
		start := skipSpace(data, behind)
		if start == len(data) {
			return 0, false
		}
		quoted := data[i : behind-1]
		end := start + 1
		if data[start] == '"' {
			for ; end < len(data) && data[end] != '"'; end++ {
				if data[end] == '\\' {
					return 0, false
				}
			}
			if field, ok := textField(quoted); ok {
				spans[field] = span{start + 1, end}
			}
			end++
		} else {
			for end < len(data) && data[end]-'0' <= 9 {
				end++
			}
			if h.setNumber(quoted, data[start:end]) != nil {
				return 0, false
			}
		}
		if i = skipSpace(data, end); i >= len(data) {
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

// span is where a text stands in a record, between its quotes.
type span struct{ from, to int }

// setTexts fills the header's texts. All that hold no escape share one copy of the record from the first to the last
// of them; the words that most records have in common need none.
func (h *Header) setTexts(data []byte, spans *[textFields]span) {
	from, to := len(data), 0
	for field, s := range spans {
		if s.to > s.from && !isWord(field) {
			from, to = min(from, s.from), max(to, s.to)
		}
	}
	if from > to {
		from = to
	}
	shared := string(data[from:to])
	for field, s := range spans {
		if s.to == s.from {
			continue
		}
		raw := data[s.from:s.to]
		switch {
		case bytes.IndexByte(raw, '\\') >= 0:
			*h.text(field) = string(appendText(nil, raw))
		case isWord(field):
			*h.text(field) = word(raw)
		default:
			*h.text(field) = shared[s.from-from : s.to-from]
		}
	}
}
