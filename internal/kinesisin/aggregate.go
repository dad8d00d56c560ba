package kinesisin

import (
	"bytes"
	"crypto/md5"

	"google.golang.org/protobuf/encoding/protowire"
)

// The aggregation format of the Kinesis Producer Library: a magic number, a protobuf message, its MD5. Field numbers of
// the message and of the records in it:
const (
	aggregateMagic = "\xf3\x89\x9a\xc2"

	fieldKey     = 1
	fieldHashKey = 2
	fieldRecord  = 3

	fieldKeyIndex  = 1
	fieldHashIndex = 2
	fieldData      = 3
)

// Deaggregate takes an aggregated record apart. The parts are slices of data. Whatever is not an aggregate, or is a
// damaged one, is one record as it stands, so that no byte is lost.
func Deaggregate(data []byte) [][]byte {
	records, _ := deaggregate(data, nil)
	return records
}

// deaggregate takes an aggregated record apart. If one of its parts lies outside of a range, all of it does.
func deaggregate(data []byte, within *HashRange) (records [][]byte, outside bool) {
	body, ok := aggregateBody(data)
	if !ok {
		return [][]byte{data}, false
	}
	a, ok := parseAggregate(body, within != nil)
	if !ok {
		return [][]byte{data}, false
	}
	if within != nil && within.outside(a) {
		return nil, true
	}
	return a.data, false
}

// mayBeAggregate tells most records from aggregates by their first bytes.
func mayBeAggregate(data []byte) bool {
	return len(data) >= len(aggregateMagic) && string(data[:len(aggregateMagic)]) == aggregateMagic
}

func aggregateBody(data []byte) ([]byte, bool) {
	if !mayBeAggregate(data) || len(data) < len(aggregateMagic)+md5.Size {
		return nil, false
	}
	body, sum := data[len(aggregateMagic):len(data)-md5.Size], data[len(data)-md5.Size:]
	want := md5.Sum(body)
	return body, bytes.Equal(want[:], sum)
}

// parsed is an aggregate taken apart.
type parsed struct {
	data           [][]byte // of the records
	keys, hashKeys [][]byte // these and the records only if they are asked for
	records        []aggregated
}

// parseAggregate collects the records of an aggregate. Fields it does not know are skipped.
func parseAggregate(body []byte, withKeys bool) (*parsed, bool) {
	a := &parsed{}
	keys, hashKeys := uint64(0), uint64(0)
	var highestKey, highestHash uint64 // one more than the highest index used
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return nil, false
		}
		body = body[n:]
		if kind != protowire.BytesType || number > fieldRecord {
			if n = protowire.ConsumeFieldValue(number, kind, body); n < 0 {
				return nil, false
			}
			body = body[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(body)
		if n < 0 {
			return nil, false
		}
		body = body[n:]
		switch number {
		case fieldKey:
			keys++
			if withKeys {
				a.keys = append(a.keys, value)
			}
		case fieldHashKey:
			hashKeys++
			if withKeys {
				a.hashKeys = append(a.hashKeys, value)
			}
		case fieldRecord:
			r, ok := parseRecord(value)
			if !ok {
				return nil, false
			}
			a.data = append(a.data, r.data)
			if withKeys {
				a.records = append(a.records, r)
			}
			highestKey, highestHash = max(highestKey, r.key+1), max(highestHash, r.hash)
		}
	}
	return a, highestKey <= keys && highestHash <= hashKeys
}

type aggregated struct {
	data []byte
	key  uint64
	hash uint64 // index + 1; 0: none
}

func parseRecord(b []byte) (r aggregated, ok bool) {
	hasKey, hasData := false, false
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return r, false
		}
		b = b[n:]
		switch {
		case kind == protowire.VarintType && (number == fieldKeyIndex || number == fieldHashIndex):
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n < 0 || v > 1<<32 {
				return r, false
			}
			if number == fieldKeyIndex {
				r.key, hasKey = v, true
			} else {
				r.hash = v + 1
			}
		case kind == protowire.BytesType && number == fieldData:
			if r.data, n = protowire.ConsumeBytes(b); n < 0 {
				return r, false
			}
			hasData = true
		default:
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return r, false
			}
		}
		b = b[n:]
	}
	return r, hasKey && hasData
}
