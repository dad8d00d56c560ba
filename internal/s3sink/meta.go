package s3sink

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
)

// metaFormat is the version of the metadata's form.
const metaFormat = 1

// Meta is what an object says about itself.
type Meta struct {
	Stream        string `json:"stream"`
	StreamCreated int64  `json:"stream-created"` // Unix seconds: shard names repeat when a stream is made anew
	Shard         string `json:"shard"`
	First         string `json:"first"`  // sequence number of the first Kinesis record in the object
	Last          string `json:"last"`   // and of the last
	Records       int    `json:"count"`  // records in the object, after de-aggregation
	Bytes         int64  `json:"bytes"`  // plain bytes
	CRC32         string `json:"crc32"`  // of the plain bytes, as gzip computes it: eight hexadecimal digits
	Layout        int    `json:"layout"` // the layout version in the key

	// A run whose records belong under several prefixes makes an object for each. First and last are the run's in all.
	Part  int `json:"part,omitempty"`  // the object's number in its run, from 1; 0 if it is the only one
	Parts int `json:"parts,omitempty"` // of the run
}

// ErrNoMeta is returned, wrapped, when an object carries no metadata of ours.
var ErrNoMeta = errors.New("no binlogstreamer metadata")

// The metadata's keys in an object store, where each becomes a header.
const (
	metaPrefix = "binlogstreamer-"
	keyFormat  = metaPrefix + "format"
	keyStream  = metaPrefix + "stream"
	keyCreated = metaPrefix + "stream-created"
	keyShard   = metaPrefix + "shard"
	keyFirst   = metaPrefix + "first"
	keyLast    = metaPrefix + "last"
	keyCount   = metaPrefix + "count"
	keyBytes   = metaPrefix + "bytes"
	keyCRC32   = metaPrefix + "crc32"
	keyLayout  = metaPrefix + "layout"
	keyPart    = metaPrefix + "part"
	keyParts   = metaPrefix + "parts"
)

// Map is the metadata as an object store keeps it.
func (m *Meta) Map() map[string]string {
	out := map[string]string{
		keyFormat:  strconv.Itoa(metaFormat),
		keyStream:  m.Stream,
		keyCreated: strconv.FormatInt(m.StreamCreated, 10),
		keyShard:   m.Shard,
		keyFirst:   m.First,
		keyLast:    m.Last,
		keyCount:   strconv.Itoa(m.Records),
		keyBytes:   strconv.FormatInt(m.Bytes, 10),
		keyCRC32:   m.CRC32,
		keyLayout:  strconv.Itoa(m.Layout),
	}
	if m.Parts != 0 {
		out[keyPart], out[keyParts] = strconv.Itoa(m.Part), strconv.Itoa(m.Parts)
	}
	return out
}

// MetaFromMap reads the metadata of an object in a store.
func MetaFromMap(in map[string]string) (Meta, error) {
	if in[keyFormat] == "" {
		return Meta{}, ErrNoMeta
	}
	m := Meta{Stream: in[keyStream], Shard: in[keyShard], First: in[keyFirst], Last: in[keyLast], CRC32: in[keyCRC32]}
	var err error
	number := func(key string) int64 {
		n, e := strconv.ParseInt(in[key], 10, 64)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("metadata %s: %w", key, e))
		}
		return n
	}
	format := number(keyFormat)
	m.StreamCreated, m.Records, m.Bytes, m.Layout = number(keyCreated), int(number(keyCount)), number(keyBytes), int(number(keyLayout))
	if in[keyParts] != "" {
		m.Part, m.Parts = int(number(keyPart)), int(number(keyParts))
	}
	if err != nil {
		return Meta{}, err
	}
	return m, m.check(int(format))
}

// check refuses metadata that a chain could not be continued from.
func (m *Meta) check(format int) error {
	switch {
	case format != metaFormat:
		return fmt.Errorf("metadata has format %d, this program knows %d: use the program version that wrote the object", format, metaFormat)
	case m.Shard == "" || !validSequence(m.First) || !validSequence(m.Last):
		return fmt.Errorf("metadata names shard %q, first %q, last %q", m.Shard, m.First, m.Last)
	case m.Part < 0 || m.Part > m.Parts || m.Parts == 1 || m.Part == 0 && m.Parts != 0:
		return fmt.Errorf("metadata says that it is part %d of %d", m.Part, m.Parts)
	}
	return nil
}

// CompareSequence orders the sequence numbers of one shard: decimal numbers of any length without leading zeros.
func CompareSequence(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func validSequence(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
