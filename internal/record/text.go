package record

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// appendString appends s as a JSON string the way cJSON escapes one: the quote, the backslash and control
// characters, nothing else; a slash and non-ASCII text stay as they are. Bytes that are not UTF-8 become U+FFFD.
func appendString[T string | []byte](dst []byte, s T) []byte {
	return append(appendInside(append(dst, '"'), s), '"')
}

// appendInside is appendString without the quotes.
func appendInside[T string | []byte](dst []byte, s T) []byte {
	done := 0
	for i := 0; i < len(s); {
		if n := schema.PlainRun([]byte(s[i:])); n > 0 { // (The conversion copies nothing.)
			i += n
			continue
		}
		if c := s[i]; c < utf8.RuneSelf {
			dst = append(dst, s[done:i]...)
			dst = schema.AppendEscape(dst, c)
			i++
			done = i
			continue
		}
		r, size := decodeRune(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(append(dst, s[done:i]...), "\uFFFD"...)
			done = i + 1
		}
		i += size
	}
	return append(dst, s[done:]...)
}

// decodeRune is utf8.DecodeRune for either kind of text. It looks at no more than one rune's bytes.
func decodeRune[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	return utf8.DecodeRune(b[:copy(b[:], s)])
}

// appendTime appends t as records write instants: UTC, always six fractional digits.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	}
	hour, minute, second := t.Clock()
	dst = append(dst,
		digit(year/1000), digit(year/100), digit(year/10), digit(year), '-',
		digit(int(month)/10), digit(int(month)), '-',
		digit(day/10), digit(day), 'T',
		digit(hour/10), digit(hour), ':',
		digit(minute/10), digit(minute), ':',
		digit(second/10), digit(second), '.')
	return appendMicros(dst, t.Nanosecond()/1000)
}

// appendMicros appends the six fractional digits and what follows them.
func appendMicros(dst []byte, micro int) []byte {
	return append(dst, digit(micro/100000), digit(micro/10000), digit(micro/1000), digit(micro/100), digit(micro/10), digit(micro), 'Z')
}

// digit is the last decimal digit of n.
func digit(n int) byte { return '0' + byte(n%10) }

// ParseTime reads a timestamp or commit-timestamp.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, err
	}
	return t.UTC(), nil
}

func appendUint(dst []byte, n uint64) []byte { return schema.AppendUint(dst, n) }

// unquote replaces the JSON string that begins at dst[mark] and ends dst by its text, in place: text is never longer
// than its quoted form. Anything but a whole string is left as it is.
func unquote(dst []byte, mark int) []byte {
	if inside, ok := quoted(dst[mark:]); ok {
		return appendText(dst[:mark], inside)
	}
	return dst
}

// quoted is the inside of a JSON string, and false if value is none.
func quoted(value []byte) ([]byte, bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return nil, false
	}
	return value[1 : len(value)-1], true
}

// appendText appends the text of a JSON string's inside. dst may overlap s from below.
func appendText(dst, s []byte) []byte {
	first := bytes.IndexByte(s, '\\')
	if first < 0 {
		return append(dst, s...)
	}
	dst = append(dst, s[:first]...)
	for i := first; i < len(s); i++ {
		c := s[i]
		if c != '\\' || i+1 == len(s) {
			dst = append(dst, c)
			continue
		}
		i++
		switch s[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := unicodeEscape(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n - 1
		default:
			dst = append(dst, s[i])
		}
	}
	return dst
}

// unicodeEscape reads uXXXX, or a surrogate pair uXXXX\uXXXX, and says how many bytes it took.
func unicodeEscape(s []byte) (rune, int) {
	hi, ok := hex4(s)
	if !ok {
		return utf8.RuneError, 1
	}
	if hi < 0xD800 || hi > 0xDBFF {
		return hi, 5 // a lone low surrogate becomes U+FFFD in AppendRune
	}
	if len(s) > 6 && s[5] == '\\' {
		if lo, ok := hex4(s[6:]); ok && lo >= 0xDC00 && lo <= 0xDFFF {
			return (hi-0xD800)<<10 + (lo - 0xDC00) + 0x10000, 11
		}
	}
	return utf8.RuneError, 5
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s[1:5]), 16, 16)
	return rune(n), err == nil
}
