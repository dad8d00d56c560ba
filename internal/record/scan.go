package record

import (
	"bytes"
	"fmt"
)

// A scanner for JSON that reads only as closely as needed to find where values end. It checks the structure, not
// the spelling of numbers and words.

func skipSpace(data []byte, i int) int {
	for i < len(data) && isSpace(data[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// skipString returns the index behind the string that begins at data[i].
func skipString(data []byte, i int) (int, bool) {
	for i++; ; {
		n := bytes.IndexByte(data[i:], '"')
		if n < 0 {
			return i, false
		}
		i += n + 1
		backslashes := 0
		for data[i-2-backslashes] == '\\' { // stops at the opening quote at the latest
			backslashes++
		}
		if backslashes%2 == 0 {
			return i, true
		}
	}
}

// skipValue returns the index behind the value that begins at data[i]. Nesting costs no memory.
func skipValue(data []byte, i int) (int, bool) {
	depth := 0
	for i < len(data) {
		switch data[i] {
		case '"':
			var ok bool
			if i, ok = skipString(data, i); !ok {
				return i, false
			}
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth--; depth < 0 {
				return i, false
			}
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i, false
			}
			i++
			continue
		default:
			for i < len(data) && !endsWord(data[i]) {
				i++
			}
		}
		if depth == 0 {
			return i, true
		}
	}
	return i, false
}

// endsWord says whether c ends a number or one of the words true, false and null.
func endsWord(c byte) bool {
	switch c {
	case ',', ':', ' ', '\t', '\n', '\r', '"', '{', '}', '[', ']':
		return true
	}
	return false
}

// eachMember calls fn with each member of the object that begins at data[i], the key as it is written and where the
// value stands, and returns the index behind the object.
func eachMember(data []byte, i int, fn func(key []byte, start, end int) error) (int, error) {
	broken := func(i int) (int, error) {
		return i, fmt.Errorf("%w: broken JSON at byte %d", ErrNoEnvelope, i)
	}
	if i >= len(data) || data[i] != '{' {
		return i, fmt.Errorf("%w: it does not begin with a brace", ErrNoEnvelope)
	}
	if i = skipSpace(data, i+1); i < len(data) && data[i] == '}' {
		return i + 1, nil
	}
	for {
		if i = skipSpace(data, i); i == len(data) || data[i] != '"' {
			return broken(i)
		}
		keyEnd, ok := skipString(data, i)
		if !ok {
			return broken(i)
		}
		colon := skipSpace(data, keyEnd)
		if colon == len(data) || data[colon] != ':' {
			return broken(colon)
		}
		start := skipSpace(data, colon+1)
		end, ok := skipValue(data, start)
		if !ok {
			return broken(end)
		}
		if err := fn(data[i:keyEnd], start, end); err != nil {
			return i, err
		}
		if i = skipSpace(data, end); i == len(data) {
			return broken(i)
		}
		switch data[i] {
		case ',':
			i++
		case '}':
			return i + 1, nil
		default:
			return broken(i)
		}
	}
}

// keyIs compares a key as it is written with a name, escapes or not.
func keyIs(key []byte, name string) bool {
	inside := key[1 : len(key)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside) == name
	}
	return string(appendText(nil, inside)) == name
}

// plainString returns the index behind the string that begins at data[i], if it is one without escapes.
func plainString(data []byte, i int) (int, bool) {
	if data[i] != '"' {
		return i, false
	}
	n := bytes.IndexByte(data[i+1:], '"')
	if n < 0 || bytes.IndexByte(data[i+1:i+1+n], '\\') >= 0 {
		return i, false
	}
	return i + n + 2, true
}

// lastBrace is bytes.LastIndexByte for the opening brace. It looks forwards through the record's tail, where there are
// few, since that is much faster.
func lastBrace(data []byte) int {
	const tail, few = 768, 4
	last := max(0, len(data)-tail) - 1
	for range few {
		n := bytes.IndexByte(data[last+1:], '{')
		if n < 0 {
			if last >= 0 && data[last] == '{' {
				return last
			}
			break
		}
		last += n + 1
	}
	return bytes.LastIndexByte(data, '{')
}

// leadingUint reads the whole number of 64 bits that begins at data[i], and returns the index behind it.
func leadingUint[T string | []byte](data T, i int) (n uint64, end int, ok bool) {
	const safe = 19 // digits that cannot overflow
	for end = i; end < len(data); end++ {
		d := uint64(data[end] - '0')
		if d > 9 {
			break
		}
		if end-i >= safe && (end-i > safe || n > (1<<64-1)/10 || n*10 > 1<<64-1-d) {
			return 0, end, false
		}
		n = n*10 + d
	}
	return n, end, end > i
}

// parseUint reads a number that is nothing but decimal digits and fits 64 bits.
func parseUint[T string | []byte](s T) (uint64, bool) {
	n, end, ok := leadingUint(s, 0)
	if !ok || end < len(s) {
		return 0, false
	}
	return n, true
}
