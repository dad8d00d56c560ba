package schema

import "encoding/binary"

// maxPrecision is the most digits a DECIMAL can have.
const maxPrecision = 65

// A packed DECIMAL keeps nine digits in four bytes; digits left over at either end take as few bytes as hold them.
const groupDigits = 9

var groupBytes = [groupDigits + 1]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

var powersOfTen = [...]uint32{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000}

// decimalSize is the number of bytes of a packed DECIMAL(precision, scale).
func decimalSize(precision, scale int) int {
	whole := precision - scale
	return whole/groupDigits*4 + groupBytes[whole%groupDigits] + scale/groupDigits*4 + groupBytes[scale%groupDigits]
}

// appendPackedDecimal writes the packed DECIMAL v exactly. With trim the zeros that end a fraction are left out, as
// JSON numbers have it; without it all digits of the scale are written, as MySQL prints decimals.
func appendPackedDecimal(dst, v []byte, precision, scale int, trim bool) ([]byte, error) {
	if precision <= 0 || scale < 0 || scale > precision || precision > maxPrecision || len(v) != decimalSize(precision, scale) {
		return dst, corrupt("%d bytes are no DECIMAL(%d,%d)", len(v), precision, scale)
	}
	return unpackDecimal(dst, v, precision, scale, trim)
}

// unpackDecimal is appendPackedDecimal for a v whose size is known to be right.
func unpackDecimal(dst, v []byte, precision, scale int, trim bool) ([]byte, error) {
	// The top bit is set for numbers ≥ 0; all other bits of a negative number are inverted.
	negative := v[0]&0x80 == 0
	var flip uint32
	if negative {
		flip = 0xffffffff
	}
	p := packedDigits{v: v, flip: flip, top: 0x80}

	start := len(dst)
	if negative {
		dst = append(dst, '-')
	}
	nonZero := false // a digit other than 0 was written
	whole := precision - scale
	for digits := whole % groupDigits; whole > 0; digits = groupDigits {
		if digits == 0 {
			continue
		}
		n, ok := p.next(digits)
		if !ok {
			return dst[:start], corrupt("%x is no DECIMAL(%d,%d)", v, precision, scale)
		}
		switch {
		case nonZero:
			dst = appendPadded(dst, n, digits)
		case n != 0:
			dst = AppendUint(dst, uint64(n))
			nonZero = true
		}
		whole -= digits
	}
	if !nonZero {
		dst = append(dst, '0')
	}
	point := len(dst)
	if scale > 0 {
		dst = append(dst, '.')
	}
	for left := scale; left > 0; {
		digits := min(left, groupDigits)
		n, ok := p.next(digits)
		if !ok {
			return dst[:start], corrupt("%x is no DECIMAL(%d,%d)", v, precision, scale)
		}
		nonZero = nonZero || n != 0
		dst = appendPadded(dst, n, digits)
		left -= digits
	}
	if trim {
		dst = trimFraction(dst, point)
	}
	if negative && !nonZero { // there is no negative zero
		dst = append(dst[:start], dst[start+1:]...)
	}
	return dst, nil
}

// packedDigits reads the digit groups of a packed DECIMAL one after the other.
type packedDigits struct {
	v    []byte
	flip uint32
	top  uint32 // the sign bit, still to be taken off the first byte
}

// next reads a group of the given number of digits and says whether it is one.
func (p *packedDigits) next(digits int) (uint32, bool) {
	size := groupBytes[digits]
	v := p.v[:size]
	var n uint32
	switch size {
	case 1:
		n = uint32(v[0])
	case 2:
		n = uint32(binary.BigEndian.Uint16(v))
	case 3:
		n = uint32(v[0])<<16 | uint32(v[1])<<8 | uint32(v[2])
	default:
		n = binary.BigEndian.Uint32(v)
	}
	bits := uint(8 * size)
	n = (n ^ p.flip) & (1<<bits - 1)
	if p.top != 0 {
		n ^= p.top << (bits - 8) // it reads as 1 either way: set, or flipped
		p.top = 0
	}
	p.v = p.v[size:]
	return n, n < powersOfTen[digits]
}

// appendPadded writes n in the given number of digits, at most 9, with leading zeros.
func appendPadded(dst []byte, n uint32, digits int) []byte {
	if digits == 2 { // most fractions are cents
		pair := pairs[n%100]
		return append(dst, byte(pair), byte(pair>>8))
	}
	var buf [groupDigits + 1]byte
	for i := len(buf); i > len(buf)-digits; i -= 2 {
		putPair(buf[i-2:i], n%100)
		n /= 100
	}
	return append(dst, buf[len(buf)-digits:]...)
}

// trimFraction removes the zeros that end dst after the decimal point at index point, and a point left bare.
func trimFraction(dst []byte, point int) []byte {
	if point >= len(dst) {
		return dst
	}
	end := len(dst)
	for end > point+1 && dst[end-1] == '0' {
		end--
	}
	if end == point+1 {
		end = point
	}
	return dst[:end]
}

// appendTextDecimal writes a decimal number as MySQL prints it in the form of appendPackedDecimal with trim: no
// zeros in front (ZEROFILL), none at the end of a fraction, no negative zero.
func appendTextDecimal(dst, v []byte) ([]byte, error) {
	s := v
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	start := len(dst)
	if negative {
		dst = append(dst, '-')
	}
	digits, point, nonZero := 0, -1, false
	for i, c := range s {
		switch {
		case c >= '0' && c <= '9':
			digits++
			nonZero = nonZero || c != '0'
		case c == '.' && point < 0 && i > 0 && i < len(s)-1:
			point = i
		default:
			return dst[:start], corrupt("%q is no decimal number", v)
		}
	}
	if digits == 0 {
		return dst[:start], corrupt("%q is no decimal number", v)
	}
	if negative && !nonZero {
		dst = dst[:start]
	}
	end := len(s)
	if point >= 0 {
		end = point
	}
	lead := 0
	for lead < end-1 && s[lead] == '0' {
		lead++
	}
	dst = append(dst, s[lead:end]...)
	if point >= 0 {
		at := len(dst)
		dst = append(dst, s[point:]...)
		dst = trimFraction(dst, at)
	}
	return dst, nil
}
