package localstream

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
)

// hashKey is a 128-bit unsigned integer: a place in the space that the shards divide among them.
type hashKey struct{ hi, lo uint64 }

var maxHash = hashKey{^uint64(0), ^uint64(0)}

// hashOf is where a partition key stands.
func hashOf(partitionKey string) hashKey {
	sum := md5.Sum([]byte(partitionKey))
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// parseHashKey reads a decimal number without sign or leading zeros that is below 2^128.
func parseHashKey(s string) (hashKey, error) {
	if s == "" || len(s) > 39 || s[0] == '0' && len(s) > 1 {
		return hashKey{}, fmt.Errorf("%q is not a number between 0 and 2^128-1 in plain decimal digits", s)
	}
	var h hashKey
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return hashKey{}, fmt.Errorf("%q is not a number in plain decimal digits", s)
		}
		over, lo := bits.Mul64(h.lo, 10)
		tooFar, hi := bits.Mul64(h.hi, 10)
		hi, carry := bits.Add64(hi, over, 0)
		lo, carry2 := bits.Add64(lo, uint64(c-'0'), 0)
		hi, carry3 := bits.Add64(hi, 0, carry2)
		if tooFar != 0 || carry != 0 || carry3 != 0 {
			return hashKey{}, fmt.Errorf("%q is above 2^128-1", s)
		}
		h = hashKey{hi, lo}
	}
	return h, nil
}

func (h hashKey) String() string { return h.big().String() }

func (h hashKey) big() *big.Int {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], h.hi)
	binary.BigEndian.PutUint64(b[8:], h.lo)
	return new(big.Int).SetBytes(b[:])
}

func (h hashKey) less(o hashKey) bool { return h.hi < o.hi || h.hi == o.hi && h.lo < o.lo }

// next is h+1, and prev h-1; the callers see to it that there is one.
func (h hashKey) next() hashKey {
	lo, carry := bits.Add64(h.lo, 1, 0)
	return hashKey{h.hi + carry, lo}
}

func (h hashKey) prev() hashKey {
	lo, borrow := bits.Sub64(h.lo, 1, 0)
	return hashKey{h.hi - borrow, lo}
}

// evenStarts divides the space into n ranges as equal as can be and returns where each begins.
func evenStarts(n int) []hashKey {
	width := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(int64(n)))
	starts := make([]hashKey, n)
	for i := range starts {
		var b [16]byte
		new(big.Int).Mul(width, big.NewInt(int64(i))).FillBytes(b[:])
		starts[i] = hashKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	}
	return starts
}

// MarshalText and UnmarshalText give the decimal form, in the metadata file as on the wire.
func (h hashKey) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

func (h *hashKey) UnmarshalText(b []byte) (err error) {
	*h, err = parseHashKey(string(b))
	return err
}
