package record

import (
	"bytes"
	"fmt"
)

// Parse reads a record's metadata. It takes either format, and any JSON of the same shape. It looks at data only as
// far as it must to step over it, so a record whose data is broken may parse; a record without a metadata object at
// its top level is ErrNoEnvelope. data is not kept. Parse never panics, and allocates the header's text once.
func Parse(data []byte) (Header, error) {
	meta := metadataAtEnd(data)
	if meta == nil {
		var err error
		if meta, err = findMetadata(data); err != nil {
			return Header{}, err
		}
	}
	return parseMetadata(meta)
}

// tailWindow is where the metadata of most records lies.
const tailWindow = 1024

var metadataKey = []byte(`"metadata":`)

// metadataAtEnd finds the metadata object where the writers we know put it, last in the record, without reading what
// stands before it. If the key's bytes are not preceded by a backslash, and the object behind them is followed by one
// closing brace and the end, the key can only be one of the outermost object.
func metadataAtEnd(data []byte) []byte {
	if first := skipSpace(data, 0); first == len(data) || data[first] != '{' {
		return nil
	}
	at := lastIndex(data, metadataKey)
	if at < 1 || data[at-1] == '\\' {
		return nil
	}
	start := skipSpace(data, at+len(metadataKey))
	if start == len(data) || data[start] != '{' {
		return nil
	}
	end, ok := skipValue(data, start)
	if !ok {
		return nil
	}
	brace := skipSpace(data, end)
	if brace == len(data) || data[brace] != '}' || skipSpace(data, brace+1) != len(data) {
		return nil
	}
	return data[start:end]
}

// lastIndex is bytes.LastIndex that searches the tail forwards first, which is much faster.
func lastIndex(data, sep []byte) int {
	from := max(0, len(data)-tailWindow)
	last := -1
	for at := from; ; {
		i := bytes.Index(data[at:], sep)
		if i < 0 {
			break
		}
		last = at + i
		at = last + 1
	}
	if last < 0 && from > 0 {
		return bytes.LastIndex(data, sep)
	}
	return last
}

// findMetadata walks over the members of the outermost object.
func findMetadata(data []byte) ([]byte, error) {
	var meta []byte
	end, err := eachMember(data, skipSpace(data, 0), func(key []byte, start, end int) error {
		if meta == nil && data[start] == '{' && keyIs(key, "metadata") {
			meta = data[start:end]
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case skipSpace(data, end) != len(data):
		return nil, fmt.Errorf("%w: something follows the record at byte %d", ErrNoEnvelope, end)
	case meta == nil:
		return nil, fmt.Errorf("%w: no metadata object at the top level", ErrNoEnvelope)
	}
	return meta, nil
}

// parseMetadata reads the members of the metadata object. The header's strings share one copy of it.
func parseMetadata(meta []byte) (Header, error) {
	var h Header
	whole := string(meta)
	_, err := eachMember(meta, 0, func(key []byte, start, end int) error {
		if meta[start] != '"' {
			return h.setNumber(key, meta[start:end])
		}
		text := whole[start+1 : end-1]
		if bytes.IndexByte(meta[start:end], '\\') >= 0 {
			text = string(appendText(nil, meta[start+1:end-1]))
		}
		h.setText(key, text)
		return nil
	})
	if err != nil {
		return Header{}, err
	}
	return h, nil
}
