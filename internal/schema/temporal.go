package schema

import "time"

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
	negative             bool
	year, month, day     int
	hour, minute, second int
	micro                int
}

// isZero says whether c is the zero date 0000-00-00 00:00:00.
func (c clock) isZero() bool { return c == clock{} }

// fits says whether the numbers of c are ones MySQL prints for a date with a time of day.
func (c clock) fits() bool {
	return c.year <= 9999 && c.month <= 12 && c.day <= 31 &&
		c.hour <= 23 && c.minute <= 59 && c.second <= 59 && c.micro <= 999_999 && !c.negative
}

// unpackDate splits year*13+month and day, as they stand above a packed time of day.
func (c *clock) unpackDate(ymd uint64) {
	c.day = int(ymd & (1<<dayBits - 1))
	ym := ymd >> dayBits
	c.year, c.month = int(ym/13), int(ym%13)
}

func (c *clock) unpackTime(hms uint64) {
	c.second = int(hms & sixBits)
	c.minute = int(hms >> 6 & sixBits)
	c.hour = int(hms >> hourShift)
}

// fractionBytes is the number of bytes that fsp fractional digits take.
func fractionBytes(fsp int) int { return (fsp + 1) / 2 }

// microseconds turns a stored fraction into microseconds: one byte counts 1/100 s, two 1/10,000 s, three 1/1,000,000 s.
func microseconds(fraction uint64, size int) int {
	switch size {
	case 1:
		return int(fraction) * 10_000
	case 2:
		return int(fraction) * 100
	}
	return int(fraction)
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
	n := int(littleEndian(v))
	return clock{year: n >> 9, month: n >> 5 & 15, day: n & 31}
}

// imageDateTime reads a DATETIME of MySQL 5.6 and later.
func imageDateTime(v []byte, fsp int) (clock, bool) {
	size := fractionBytes(fsp)
	if len(v) != 5+size {
		return clock{}, false
	}
	n := bigEndian(v[:5])
	if n < dateOffset {
		return clock{}, false
	}
	n -= dateOffset
	var c clock
	c.unpackDate(n >> timeBits)
	c.unpackTime(n & (1<<timeBits - 1))
	c.micro = microseconds(bigEndian(v[5:]), size)
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

func unixClock(seconds uint64, micro int) (clock, bool) {
	if seconds == 0 && micro == 0 {
		return clock{}, true
	}
	t := time.Unix(int64(seconds), 0).UTC()
	c := clock{micro: micro}
	var month time.Month
	c.year, month, c.day = t.Date()
	c.month = int(month)
	c.hour, c.minute, c.second = t.Clock()
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
	date, hms := n/1_000_000, n%1_000_000
	c := clock{
		year: int(date / 10_000), month: int(date / 100 % 100), day: int(date % 100),
		hour: int(hms / 10_000), minute: int(hms / 100 % 100), second: int(hms % 100),
	}
	return c, n < 1e14 && c.fits()
}

// oldTime reads a TIME from before MySQL 5.6: the signed decimal number hhmmss.
func oldTime(v []byte) (clock, bool) {
	n := int32(littleEndian(v)<<8) >> 8
	c := clock{negative: n < 0}
	n = max(n, -n)
	c.hour, c.minute, c.second = int(n/10_000), int(n/100%100), int(n%100)
	return c, c.hour <= 838 && c.minute <= 59 && c.second <= 59
}

func appendDate(dst []byte, c clock) []byte {
	dst = appendPadded(dst, uint32(c.year), 4)
	dst = append(dst, '-')
	dst = appendTwo(dst, c.month)
	dst = append(dst, '-')
	return appendTwo(dst, c.day)
}

// appendTimeOfDay writes hours (two digits or more), minutes, seconds and fsp digits of the fraction.
func appendTimeOfDay(dst []byte, c clock, fsp int) []byte {
	if c.hour >= 100 {
		dst = append(dst, byte('0'+c.hour/100))
	}
	dst = appendTwo(dst, c.hour%100)
	dst = append(dst, ':')
	dst = appendTwo(dst, c.minute)
	dst = append(dst, ':')
	dst = appendTwo(dst, c.second)
	if fsp == 0 {
		return dst
	}
	dst = append(dst, '.')
	return appendPadded(dst, uint32(c.micro)/powersOfTen[6-fsp], fsp)
}

func appendTwo(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

// appendJSONDateTime writes "2018-05-08T00:00:00.25Z", or null for the zero date.
func appendJSONDateTime(dst []byte, c clock, fsp int) []byte {
	if c.isZero() {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = appendDate(dst, c)
	dst = append(dst, 'T')
	dst = appendTimeOfDay(dst, c, fsp)
	return append(dst, 'Z', '"')
}

// appendJSONTime writes "-12:30:00.5".
func appendJSONTime(dst []byte, c clock, fsp int) []byte {
	dst = append(dst, '"')
	if c.negative {
		dst = append(dst, '-')
	}
	dst = appendTimeOfDay(dst, c, fsp)
	return append(dst, '"')
}
