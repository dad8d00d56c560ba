package kinesisin

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"math/big"
)

// HashRange is the part of the space of hash keys that a shard has, both ends included. The zero value is not known.
type HashRange struct {
	first, last [md5.Size]byte
	known       bool
}

// Range is the shard's range of hash keys.
func (s Shard) Range() (HashRange, error) {
	if s.StartHash == "" && s.EndHash == "" {
		return HashRange{}, nil
	}
	var r HashRange
	var err error
	if r.first, err = parseHashKey(s.StartHash); err == nil {
		r.last, err = parseHashKey(s.EndHash)
	}
	if err != nil {
		return HashRange{}, fmt.Errorf("hash key range of %s: %w", s.ID, err)
	}
	r.known = true
	return r, nil
}

// parseHashKey reads a hash key as Kinesis writes it, a decimal number.
func parseHashKey(s string) (key [md5.Size]byte, err error) {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 8*md5.Size {
		return key, fmt.Errorf("hash key %q is not a decimal number below 2^128", s)
	}
	n.FillBytes(key[:])
	return key, nil
}

// holds reports whether the range has the hash key; one that is not known has all of them.
func (r *HashRange) holds(key [md5.Size]byte) bool {
	return !r.known || bytes.Compare(r.first[:], key[:]) <= 0 && bytes.Compare(key[:], r.last[:]) <= 0
}

// outside reports whether a record of an aggregate does not belong into the range: by its explicit hash key, or else by
// its partition key. The producer library sends all of such an aggregate again, to where it belongs by now. A key that
// cannot be read is in every range.
func (r *HashRange) outside(a *parsed) bool {
	for i := range a.records {
		rec := &a.records[i]
		if rec.hash == 0 {
			if !r.holds(md5.Sum(a.keys[rec.key])) {
				return true
			}
			continue
		}
		key, err := parseHashKey(string(a.hashKeys[rec.hash-1]))
		if err == nil && !r.holds(key) {
			return true
		}
	}
	return false
}
