package kinesisout

import (
	"cmp"
	"crypto/md5" // Kinesis's choice
	"encoding/binary"
	"fmt"
	"math/big"
)

// hash is a place in the range of 128 bits that the shards divide among themselves.
type hash struct{ hi, lo uint64 }

// hashOf is where Kinesis places a partition key.
func hashOf(key []byte) hash {
	sum := md5.Sum(key)
	return hash{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

func (h hash) compare(o hash) int {
	return cmp.Or(cmp.Compare(h.hi, o.hi), cmp.Compare(h.lo, o.lo))
}

// parseHash reads an explicit hash key: a decimal number below 2^128 without sign or leading zeros.
func parseHash(s string) (hash, error) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || s[0] == '0' && len(s) > 1 {
			return hash{}, fmt.Errorf("hash key %q is not a decimal number", s)
		}
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.BitLen() > 128 {
		return hash{}, fmt.Errorf("hash key %q is not a decimal number below 2^128", s)
	}
	var b [16]byte
	n.FillBytes(b[:])
	return hash{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}, nil
}
