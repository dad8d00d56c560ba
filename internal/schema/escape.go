package schema

import (
	"encoding/binary"
	"unicode/utf8"
)

// Kinds of byte in a string that is to be written as JSON.
const (
	plain   = iota // ASCII that stands for itself
	escaped        // needs a backslash
	high           // part of a character outside ASCII
)

var byteKinds = func() (kinds [256]uint8) {
	for c := range kinds {
		switch {
		case c < 0x20 || c == '"' || c == '\\':
			kinds[c] = escaped
		case c >= utf8.RuneSelf:
			kinds[c] = high
		}
	}
	return kinds
}()

const hexDigits = "0123456789abcdef"

// appendString writes the UTF-8 bytes s as a JSON string, and returns the offset of the first bytes that are not
// UTF-8, or -1. Everything but quote, backslash and control characters is written as it is.
func appendString(dst, s []byte) ([]byte, int) {
	dst = append(dst, '"')
	dst, bad := appendEscaped(dst, s)
	return append(dst, '"'), bad
}

// appendEscaped is appendString without the quotes.
func appendEscaped(dst, s []byte) ([]byte, int) {
	from := 0 // s[from:i] is still to be copied
	for i := 0; i < len(s); {
		if n := PlainRun(s[i:]); n > 0 {
			i += n
			continue
		}
		if byteKinds[s[i]] == escaped {
			dst = append(dst, s[from:i]...)
			dst = AppendEscape(dst, s[i])
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && size <= 1 {
			return dst, i
		}
		i += size
	}
	return append(dst, s[from:]...), -1
}

// PlainRun is the number of bytes at the start of s that stand for themselves in a JSON string and are ASCII. It looks at eight bytes at a time.
func PlainRun(s []byte) int {
	const (
		ones  = 0x0101010101010101
		tops  = 0x8080808080808080
		quote = '"' * ones
		slash = '\\' * ones
	)
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := binary.LittleEndian.Uint64(s[i:])
		q, b := w^quote, w^slash
		// Each term has the top bit of a byte set where that byte is < 0x20, '"', '\\' or ≥ 0x80. A borrow can only
		// mark a byte behind one that is marked already, so zero is exact.
		if ((w-0x20*ones)|(q-ones)|(b-ones)|w)&tops != 0 {
			break
		}
	}
	for i < len(s) && byteKinds[s[i]] == plain {
		i++
	}
	return i
}

// AppendEscape writes a quote, a backslash or a control character as it stands in a JSON string.
func AppendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendRune writes one character as it stands in a JSON string.
func appendRune(dst []byte, r rune) []byte {
	if r < utf8.RuneSelf {
		if byteKinds[r] == plain {
			return append(dst, byte(r))
		}
		return AppendEscape(dst, byte(r))
	}
	return utf8.AppendRune(dst, r)
}
