package record

import (
	"bytes"
	"encoding/json"
)

// Spilled is where the whole of a record is that was too large for the stream. The record in the stream is the same
// without most of its data.
type Spilled struct {
	Location string `json:"location"` // s3://bucket/key or file:///path
	Bytes    int64  `json:"bytes"`
	SHA256   string `json:"sha256"` // of those bytes, in hexadecimal digits
}

// spilledTail is how far from a record's end the reference to its body can begin.
const spilledTail = 8 << 10

// spilledKey is the metadata key of the reference to a record's body.
const spilledKey = "oversized-record"

// ParseSpilled reads the reference to a record's body, if it has one. data is not kept.
func ParseSpilled(data []byte) (Spilled, bool) {
	if metadataKey(data, lastBrace(data)) != 0 {
		return Spilled{}, false // there is no object in the metadata, as in nearly every record
	}
	if !bytes.Contains(data[max(0, len(data)-spilledTail):], []byte(`"`+spilledKey+`"`)) {
		return Spilled{}, false
	}
	at, err := findMetadata(data)
	if err != nil {
		return Spilled{}, false
	}
	var s Spilled
	found := false
	_, err = eachMember(data, at, func(key []byte, start, end int) error {
		if keyIs(key, spilledKey) {
			found = json.Unmarshal(data[start:end], &s) == nil
		}
		return nil
	})
	return s, err == nil && found && s.Location != "" && s.Bytes > 0 && len(s.SHA256) == 64
}
