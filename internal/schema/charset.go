package schema

import (
	"unicode/utf16"
	"unicode/utf8"
)

// decodeFunc appends text of one character set to the inside of a JSON string, and returns the offset of the first
// bytes that are no text in it, or -1.
type decodeFunc func(dst, s []byte) ([]byte, int)

// charset is what is known of a MySQL character set.
type charset struct {
	maxBytes uint32 // of one character
	decode   decodeFunc
}

// charsets are all character sets of MySQL and MariaDB by name, but for binary.
var charsets = func() map[string]charset {
	all := map[string]charset{
		"utf8mb4": {4, appendEscaped},
		"utf8mb3": {3, appendEscaped},
		"utf8":    {3, appendEscaped}, // utf8mb3 on old servers
		"ascii":   {1, decodeASCII},
		"ucs2":    {2, decodeUTF16(bigEndian16)},
		"utf16":   {4, decodeUTF16(bigEndian16)},
		"utf16le": {4, decodeUTF16(littleEndian16)},
		"utf32":   {4, decodeUTF32},
	}
	for maxBytes, names := range tableCharsets {
		for _, name := range names {
			all[name] = charset{uint32(maxBytes), tableDecoder(name)}
		}
	}
	return all
}()

// tableCharsets are the character sets of charsetFile, by the number of bytes that a character takes at most.
var tableCharsets = [...][]string{
	1: {
		"armscii8", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "dec8", "geostd8", "greek",
		"hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1", "latin2", "latin5", "latin7", "macce", "macroman",
		"swe7", "tis620",
	},
	2: {"big5", "cp932", "euckr", "gb2312", "gbk", "sjis"},
	3: {"eucjpms", "ujis"},
	4: {"gb18030"},
}

func isUTF8(name string) bool { return name == "utf8mb4" || name == "utf8mb3" || name == "utf8" }

// decoder is the decoder of a character set, or a *CharsetError.
func decoder(name string) (decodeFunc, error) {
	c, known := charsets[name]
	if !known {
		return nil, &CharsetError{Charset: name}
	}
	return c.decode, nil
}

func decodeASCII(dst, s []byte) ([]byte, int) {
	for i, c := range s {
		if c >= utf8.RuneSelf {
			return dst, i
		}
	}
	return appendEscaped(dst, s)
}

func bigEndian16(s []byte) rune    { return rune(s[0])<<8 | rune(s[1]) }
func littleEndian16(s []byte) rune { return rune(s[1])<<8 | rune(s[0]) }

// decodeUTF16 decodes UTF-16 and UCS-2, which is the same without surrogates.
func decodeUTF16(unit func([]byte) rune) decodeFunc {
	return func(dst, s []byte) ([]byte, int) {
		for i := 0; i < len(s); i += 2 {
			if i+2 > len(s) {
				return dst, i
			}
			r := unit(s[i:])
			if utf16.IsSurrogate(r) {
				if i+4 > len(s) {
					return dst, i
				}
				r = utf16.DecodeRune(r, unit(s[i+2:]))
				if r == utf8.RuneError {
					return dst, i
				}
				dst = utf8.AppendRune(dst, r)
				i += 2
				continue
			}
			dst = appendRune(dst, r)
		}
		return dst, -1
	}
}

func decodeUTF32(dst, s []byte) ([]byte, int) {
	for i := 0; i < len(s); i += 4 {
		if i+4 > len(s) {
			return dst, i
		}
		n := bigEndian(s[i : i+4])
		if n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
			return dst, i
		}
		dst = appendRune(dst, rune(n))
	}
	return dst, -1
}
