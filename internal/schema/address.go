package schema

import (
	"encoding/hex"
	"strconv"
)

// MariaDB's UUID, INET4 and INET6 are written as the server prints them, in quotes. In the binlog they are bytes in the
// order of their text, without the zeros at the end.

// padded gives back the zeros that the binlog leaves out.
func (c *column) padded(v []byte) (b [16]byte, err error) {
	if len(v) > c.size {
		return b, c.wrongSize(v)
	}
	copy(b[:], v)
	return b, nil
}

func imageUUID(c *column, dst, v []byte) ([]byte, error) {
	b, err := c.padded(v)
	if err != nil {
		return dst, err
	}
	dst = append(dst, '"')
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return append(dst, '"'), nil
}

func imageInet4(c *column, dst, v []byte) ([]byte, error) {
	b, err := c.padded(v)
	if err != nil {
		return dst, err
	}
	dst = append(dst, '"')
	dst = appendInet4(dst, b[:4])
	return append(dst, '"'), nil
}

func appendInet4(dst, b []byte) []byte {
	for i, n := range b {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = AppendUint(dst, uint64(n))
	}
	return dst
}

// imageInet6 leaves out the first of the longest runs of zero words, even one of a single word, and writes the end of an
// address that stands for one of IPv4 as such.
func imageInet6(c *column, dst, v []byte) ([]byte, error) {
	b, err := c.padded(v)
	if err != nil {
		return dst, err
	}
	word := func(i int) uint64 { return uint64(b[2*i])<<8 | uint64(b[2*i+1]) }
	gap, length := longestGap(word)
	dst = append(dst, '"')
	for i := 0; i < 8; i++ {
		switch {
		case i == gap:
			if i == 0 {
				dst = append(dst, ':')
			}
			dst = append(dst, ':')
			i += length - 1
		case i == 6 && gap == 0 && (length == 6 || length == 5 && word(5) == 0xffff):
			dst = appendInet4(dst, b[12:])
			i++
		default:
			dst = strconv.AppendUint(dst, word(i), 16)
			if i < 7 {
				dst = append(dst, ':')
			}
		}
	}
	return append(dst, '"'), nil
}

// longestGap finds the first of the longest runs of zero words; start is -1 if there is none.
func longestGap(word func(int) uint64) (start, length int) {
	start = -1
	for i := 0; i < 8; {
		end := i
		for end < 8 && word(end) == 0 {
			end++
		}
		if end-i > length {
			start, length = i, end-i
		}
		i = end + 1
	}
	return start, length
}

// textAddress takes a UUID or an address as the server prints it: of characters that need no escape.
func textAddress(c *column, dst, v []byte) ([]byte, error) {
	for _, b := range v {
		if (b < '0' || b > '9') && (b < 'a' || b > 'f') && b != '-' && b != ':' && b != '.' {
			return dst, corrupt("%q is no %s", v, c.def.Type)
		}
	}
	if len(v) == 0 {
		return dst, corrupt("an empty text is no %s", c.def.Type)
	}
	dst = append(dst, '"')
	dst = append(dst, v...)
	return append(dst, '"'), nil
}
