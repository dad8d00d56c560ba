package schema

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// pairs are the numbers 00 to 99 in digits, the first digit in the low byte.
var pairs = func() (p [100]uint16) {
	for n := range p {
		p[n] = uint16('0'+n/10) | uint16('0'+n%10)<<8
	}
	return p
}()

// putPair writes the two digits of n < 100 to the start of b.
func putPair(b []byte, n uint32) { binary.LittleEndian.PutUint16(b, pairs[n]) }

// uintPowers are the powers of ten that a uint64 holds, but for the first: no number has less than one digit.
var uintPowers = [...]uint64{
	0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// digitCount is how many decimal digits n has. From the number of its bits follow two candidates (1233/4096 is a little
// more than the logarithm of 2), which the power of ten between them tells apart.
func digitCount(n uint64) int {
	least := bits.Len64(n) * 1233 >> 12
	if n < uintPowers[least] {
		return least
	}
	return least + 1
}

// AppendUint appends the decimal digits of n. It writes them where they belong, which strconv.AppendUint, not knowing
// how many there will be, does not: half of what a number costs.
func AppendUint(dst []byte, n uint64) []byte {
	if n < 10 {
		return append(dst, '0'+byte(n))
	}
	from := len(dst)
	end := from + digitCount(n)
	dst = slices.Grow(dst, end-from)[:end]
	for n >= 100 {
		end -= 2
		putPair(dst[end:], uint32(n%100))
		n /= 100
	}
	if n >= 10 {
		putPair(dst[from:], uint32(n))
	} else {
		dst[from] = '0' + byte(n)
	}
	return dst
}

// AppendInt is AppendUint with a sign.
func AppendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return AppendUint(append(dst, '-'), -uint64(n))
	}
	return AppendUint(dst, uint64(n))
}
