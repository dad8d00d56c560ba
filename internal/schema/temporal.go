package schema

import (
	"encoding/binary"
	"time"
)

// A packed date and time counts, from the top: year*13+month, five bits of day, and 17 bits of time of day. A
// packed time of day has the hour above 12 bits of minute and second. Both stand in front of 24 bits of microseconds.
const (
	dayBits    = 5
	timeBits   = 17
	microBits  = 24
	hourShift  = 12
	sixBits    = 1<<6 - 1
	dateOffset = 0x8000000000 // added to a DATETIME's five bytes so that they sort
	timeOffset = 0x800000     // added to a TIME's three bytes
)

// clock is a point in time or a span as MySQL keeps it: any number may be zero, a TIME has up to 838 hours.
type clock struct {
	micro          uint32
	hour           uint32
	year           uint16
	month, day     uint8
	minute, second uint8
	negative       bool
}

// isZero says whether c is the zero date 0000-00-00 00:00:00.
func (c *clock) isZero() bool { return *c == clock{} }

// fits says whether the numbers of c are ones MySQL prints for a date with a time of day.
func (c *clock) fits() bool {
	return c.year <= 9999 && c.month <= 12 && c.day <= 31 &&
		c.hour <= 23 && c.minute <= 59 && c.second <= 59 && c.micro <= 999_999 && !c.negative
}

// unpackDate splits year*13+month and day, as they stand above a packed time of day.
func (c *clock) unpackDate(ymd uint64) {
	c.day = uint8(ymd & (1<<dayBits - 1))
	ym := uint32(ymd >> dayBits)
	c.year, c.month = uint16(ym/13), uint8(ym%13)
}

func (c *clock) unpackTime(hms uint64) {
	c.second = uint8(hms & sixBits)
	c.minute = uint8(hms >> 6 & sixBits)
	c.hour = uint32(hms >> hourShift)
}

// fractionBytes is the number of bytes that fsp fractional digits take.
func fractionBytes(fsp int) int { return (fsp + 1) / 2 }

// microseconds turns a stored fraction into microseconds: one byte counts 1/100 s, two 1/10,000 s, three 1/1,000,000 s.
func microseconds(fraction uint64, size int) uint32 {
	switch size {
	case 1:
		return uint32(fraction) * 10_000
	case 2:
		return uint32(fraction) * 100
	}
	return uint32(fraction)
}

// bigEndian reads all of v as one number.
func bigEndian(v []byte) uint64 {
	var n uint64
	for _, b := range v {
		n = n<<8 | uint64(b)
	}
	return n
}

// littleEndian reads all of v as one number.
func littleEndian(v []byte) uint64 {
	var n uint64
	for i := len(v) - 1; i >= 0; i-- {
		n = n<<8 | uint64(v[i])
	}
	return n
}

// imageDate reads the three bytes of a DATE.
func imageDate(v []byte) clock {
	n := littleEndian(v)
	return clock{year: uint16(n >> 9), month: uint8(n >> 5 & 15), day: uint8(n & 31)}
}

// imageDateTime reads a DATETIME of MySQL 5.6 and later.
func imageDateTime(v []byte, fsp int) (clock, bool) {
	size := fractionBytes(fsp)
	if len(v) != 5+size {
		return clock{}, false
	}
	n := uint64(binary.BigEndian.Uint32(v))<<8 | uint64(v[4])
	if n < dateOffset {
		return clock{}, false
	}
	n -= dateOffset
	var c clock
	c.unpackDate(n >> timeBits)
	c.unpackTime(n & (1<<timeBits - 1))
	if size > 0 {
		c.micro = microseconds(bigEndian(v[5:]), size)
	}
	return c, c.fits()
}

// imageTimestamp reads a TIMESTAMP of MySQL 5.6 and later: seconds since 1970 and a fraction. Zero is the zero date.
func imageTimestamp(v []byte, fsp int) (clock, bool) {
	size := fractionBytes(fsp)
	if len(v) != 4+size {
		return clock{}, false
	}
	return unixClock(bigEndian(v[:4]), microseconds(bigEndian(v[4:]), size))
}

func unixClock(seconds uint64, micro uint32) (clock, bool) {
	if seconds == 0 && micro == 0 {
		return clock{}, true
	}
	t := time.Unix(int64(seconds), 0).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	c := clock{
		year: uint16(year), month: uint8(month), day: uint8(day),
		hour: uint32(hour), minute: uint8(minute), second: uint8(second), micro: micro,
	}
	return c, c.fits()
}

// imageTime reads a TIME of MySQL 5.6 and later: a number with its fraction as the low digits, offset so that
// negative times sort before positive ones.
func imageTime(v []byte, fsp int) (clock, bool) {
	size := fractionBytes(fsp)
	if len(v) != 3+size {
		return clock{}, false
	}
	n := int64(bigEndian(v)) - timeOffset<<(8*size)
	var c clock
	if n < 0 {
		c.negative = true
		n = -n
	}
	c.micro = microseconds(uint64(n)&(1<<(8*size)-1), size)
	c.unpackTime(uint64(n) >> (8 * size))
	return c, c.hour <= 838 && c.minute <= 59 && c.second <= 59 && c.micro <= 999_999
}

// oldDateTime reads a DATETIME from before MySQL 5.6: the decimal number YYYYMMDDhhmmss.
func oldDateTime(v []byte) (clock, bool) {
	n := littleEndian(v)
	if n >= 1e14 {
		return clock{}, false
	}
	date, hms := n/1_000_000, n%1_000_000
	c := clock{
		year: uint16(date / 10_000), month: uint8(date / 100 % 100), day: uint8(date % 100),
		hour: uint32(hms / 10_000), minute: uint8(hms / 100 % 100), second: uint8(hms % 100),
	}
	return c, c.fits()
}

// oldTime reads a TIME from before MySQL 5.6: the signed decimal number hhmmss.
func oldTime(v []byte) (clock, bool) {
	n := int32(littleEndian(v)<<8) >> 8
	c := clock{negative: n < 0}
	n = max(n, -n)
	c.hour, c.minute, c.second = uint32(n/10_000), uint8(n/100%100), uint8(n%100)
	return c, c.hour <= 838 && c.minute <= 59 && c.second <= 59
}

func appendDate(dst []byte, c *clock) []byte {
	dst = append(dst, "0000-00-00"...)
	putDate(dst[len(dst)-10:], c)
	return dst
}

// putDate fills in the digits of 0000-00-00.
func putDate(b []byte, c *clock) {
	_ = b[9]
	putPair(b[0:], uint32(c.year/100))
	putPair(b[2:], uint32(c.year%100))
	putPair(b[5:], uint32(c.month))
	putPair(b[8:], uint32(c.day))
}

// appendTimeOfDay writes hours (two digits or more), minutes, seconds and fsp digits of the fraction.
func appendTimeOfDay(dst []byte, c *clock, fsp int) []byte {
	if c.hour >= 100 {
		dst = append(dst, byte('0'+c.hour/100))
	}
	dst = append(dst, "00:00:00"...)
	putTime(dst[len(dst)-8:], c)
	return appendFraction(dst, c, fsp)
}

// putTime fills in the digits of 00:00:00.
func putTime(b []byte, c *clock) {
	_ = b[7]
	putPair(b[0:], c.hour%100)
	putPair(b[3:], uint32(c.minute))
	putPair(b[6:], uint32(c.second))
}

func appendFraction(dst []byte, c *clock, fsp int) []byte {
	if fsp == 0 {
		return dst
	}
	dst = append(dst, '.')
	return appendPadded(dst, c.micro/powersOfTen[6-fsp], fsp)
}

// appendJSONDateTime writes "2018-05-08T00:00:00.25Z", or null for the zero date.
func appendJSONDateTime(dst []byte, c *clock, fsp int) []byte {
	if c.isZero() {
		return append(dst, "null"...)
	}
	dst = append(dst, `"0000-00-00T00:00:00`...)
	putDate(dst[len(dst)-19:], c)
	putTime(dst[len(dst)-8:], c)
	dst = appendFraction(dst, c, fsp)
	return append(dst, 'Z', '"')
}

// appendJSONTime writes "-12:30:00.5".
func appendJSONTime(dst []byte, c *clock, fsp int) []byte {
	dst = append(dst, '"')
	if c.negative {
		dst = append(dst, '-')
	}
	dst = appendTimeOfDay(dst, c, fsp)
	return append(dst, '"')
}
