package schema

import (
	"math"
	"strconv"
)

// A double that has a fraction, or 16 digits and more, is printed with an exponent when it is below 0.0001 or has as
// many digits in front of the point as are printed at all: the rule of C's %g.
const (
	fewDigits  = 15 // read back as the same double when the number was a decimal one of so many digits
	mostDigits = 17 // always read back as the same double
	minGPoint  = -3 // the point stands 3 places in front of the digits: 0.0001
	smallestOK = 0x1p-1022
)

// appendDouble writes f as a JSON number: 15 significant digits when they read back as f, else 17, with an exponent
// where C's %g has one.
func appendDouble(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, corrupt("%v is no JSON number", f)
	}
	if i := int64(f); f > -1e15 && f < 1e15 && float64(i) == f && (i != 0 || !math.Signbit(f)) {
		return AppendInt(dst, i), nil
	}
	d, precision := shortest(f), fewDigits
	switch {
	case d.count > fewDigits:
		d, precision = rounded(f, mostDigits), mostDigits
	case math.Abs(f) < smallestOK: // so imprecise that 15 digits are not the shortest followed by zeros
		d = rounded(f, fewDigits)
	}
	if d.point < minGPoint || d.point > precision {
		dst = d.appendScientific(dst)
		return d.appendExponent(dst, true), nil
	}
	return d.appendFixed(dst), nil
}

// The places of the point, seen from the first digit, beyond which MySQL turns to an exponent.
const (
	mysqlMaxPoint = 15
	mysqlMinPoint = -14
)

// appendMySQLDouble writes f as MySQL prints a DOUBLE inside a JSON document: the shortest digits that read back as
// f, "1e20" and "1.5e-17" for exponents, and ".0" behind whole numbers.
func appendMySQLDouble(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, corrupt("%v is no JSON number", f)
	}
	d := shortest(f)
	if d.point < mysqlMinPoint || d.point > mysqlMaxPoint && d.point >= d.count {
		dst = d.appendScientific(dst)
		return d.appendExponent(dst, false), nil
	}
	dst = d.appendFixed(dst)
	if d.point >= d.count {
		dst = append(dst, '.', '0')
	}
	return dst, nil
}

// digits are the decimal digits of a double, without zeros at the end, as 0.ddd times 10 to the power of point.
type digits struct {
	negative bool
	text     [mostDigits]byte
	count    int
	point    int
}

// shortest has the fewest digits that read back as f.
func shortest(f float64) digits {
	var buf [32]byte
	return readDigits(strconv.AppendFloat(buf[:0], f, 'e', -1, 64))
}

// rounded has f rounded to so many digits.
func rounded(f float64, precision int) digits {
	var buf [32]byte
	return readDigits(strconv.AppendFloat(buf[:0], f, 'e', precision-1, 64))
}

// readDigits takes a number such as -1.25e-07 apart.
func readDigits(s []byte) (d digits) {
	if s[0] == '-' {
		d.negative = true
		s = s[1:]
	}
	i := 0
	for ; s[i] != 'e'; i++ {
		if s[i] != '.' && d.count < mostDigits {
			d.text[d.count] = s[i]
			d.count++
		}
	}
	below := s[i+1] == '-'
	for _, c := range s[i+2:] {
		d.point = 10*d.point + int(c-'0')
	}
	if below {
		d.point = -d.point
	}
	d.point++
	for d.count > 1 && d.text[d.count-1] == '0' {
		d.count--
	}
	return d
}

// appendFixed writes the number without an exponent.
func (d *digits) appendFixed(dst []byte) []byte {
	if d.negative {
		dst = append(dst, '-')
	}
	switch {
	case d.point <= 0:
		dst = append(dst, '0', '.')
		for range -d.point {
			dst = append(dst, '0')
		}
		return append(dst, d.text[:d.count]...)
	case d.point < d.count:
		dst = append(dst, d.text[:d.point]...)
		dst = append(dst, '.')
		return append(dst, d.text[d.point:d.count]...)
	}
	dst = append(dst, d.text[:d.count]...)
	for range d.point - d.count {
		dst = append(dst, '0')
	}
	return dst
}

// appendScientific writes d.ddde, for an exponent to follow.
func (d *digits) appendScientific(dst []byte) []byte {
	if d.negative {
		dst = append(dst, '-')
	}
	dst = append(dst, d.text[0])
	if d.count > 1 {
		dst = append(dst, '.')
		dst = append(dst, d.text[1:d.count]...)
	}
	return append(dst, 'e')
}

// appendExponent writes the exponent: like C's with a sign and two digits at least, else as short as it can be.
func (d *digits) appendExponent(dst []byte, likeC bool) []byte {
	exponent := d.point - 1
	if !likeC {
		return AppendInt(dst, int64(exponent))
	}
	sign := byte('+')
	if exponent < 0 {
		sign, exponent = '-', -exponent
	}
	dst = append(dst, sign)
	if exponent < 10 {
		dst = append(dst, '0')
	}
	return AppendInt(dst, int64(exponent))
}
