package schema

import (
	"math"
	"strconv"
)

// appendDouble writes f as a JSON number: 15 significant digits when they read back as f, else 17, with an exponent
// where C's %g has one.
func appendDouble(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, corrupt("%v is no JSON number", f)
	}
	if i := int64(f); f > -1e15 && f < 1e15 && float64(i) == f && (i != 0 || !math.Signbit(f)) {
		return strconv.AppendInt(dst, i, 10), nil
	}
	// The shortest digits that read back as f have at most 15 exactly when %.15g reads back, and then they are
	// the same digits.
	var buf [32]byte
	if s := strconv.AppendFloat(buf[:0], f, 'e', -1, 64); significantDigits(s) > 15 {
		return strconv.AppendFloat(dst, f, 'g', 17, 64), nil
	}
	return strconv.AppendFloat(dst, f, 'g', 15, 64), nil
}

// significantDigits counts the digits of a number in scientific notation, such as -1.25e-07.
func significantDigits(s []byte) int {
	n := 0
	for _, c := range s {
		if c == 'e' {
			break
		}
		if c >= '0' && c <= '9' {
			n++
		}
	}
	return n
}

// The digits that may stand before the point, and the zeros behind it, before MySQL turns to an exponent.
const (
	mysqlMaxPoint = 15
	mysqlMinPoint = -14
)

// appendMySQLDouble writes f as MySQL prints a DOUBLE inside a JSON document: the shortest digits that read back as
// f, "1e20" and "1.5e-7" for exponents, and ".0" behind whole numbers.
func appendMySQLDouble(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, corrupt("%v is no JSON number", f)
	}
	var buf [32]byte
	s := strconv.AppendFloat(buf[:0], f, 'e', -1, 64)
	if s[0] == '-' {
		dst = append(dst, '-')
		s = s[1:]
	}
	var digits [20]byte
	n, exponent := 0, 0
	for i, c := range s {
		if c == 'e' {
			exponent, _ = strconv.Atoi(string(s[i+1:]))
			break
		}
		if c != '.' {
			digits[n] = c
			n++
		}
	}
	point := exponent + 1 // digits before the decimal point
	switch {
	case f == 0:
		return append(dst, "0.0"...), nil
	case point < mysqlMinPoint || point > mysqlMaxPoint && point >= n:
		dst = append(dst, digits[0])
		if n > 1 {
			dst = append(dst, '.')
			dst = append(dst, digits[1:n]...)
		}
		dst = append(dst, 'e')
		return strconv.AppendInt(dst, int64(exponent), 10), nil
	case point <= 0:
		dst = append(dst, '0', '.')
		for range -point {
			dst = append(dst, '0')
		}
		return append(dst, digits[:n]...), nil
	case point < n:
		dst = append(dst, digits[:point]...)
		dst = append(dst, '.')
		return append(dst, digits[point:n]...), nil
	}
	dst = append(dst, digits[:n]...)
	for range point - n {
		dst = append(dst, '0')
	}
	return append(dst, '.', '0'), nil
}
