package checkpoint

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// The endings of a name's files. No folder has one of them: escapePart sees to that.
const (
	documentSuffix = ".checkpoint"
	lockSuffix     = ".lock"
)

// longestPart leaves room for what is put around a part in a file name of 255 bytes.
const longestPart = 255 - len(".new-") - len(documentSuffix)

// pathOf gives the place of a name below the store's folder, without an ending.
func pathOf(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("%w %q: it is not UTF-8", ErrName, name)
	}
	parts := strings.Split(name, "/")
	for i, p := range parts {
		if p == "" {
			return "", fmt.Errorf("%w %q: it has an empty part", ErrName, name)
		}
		parts[i] = escapePart(p)
		if len(parts[i]) > longestPart {
			return "", fmt.Errorf("%w %q: part %q is too long for a file name", ErrName, name, p)
		}
	}
	return filepath.Join(parts...), nil
}

// nameOf is the inverse of pathOf.
func nameOf(path string) (string, bool) {
	parts := strings.Split(filepath.ToSlash(path), "/")
	for i, p := range parts {
		name, ok := unescapePart(p)
		if !ok || escapePart(name) != p {
			return "", false
		}
		parts[i] = name
	}
	return strings.Join(parts, "/"), true
}

const hexDigits = "0123456789ABCDEF"

// escapePart writes every byte but letters, digits, "-", "_", "=", "@", "+", and "." inside as %XX. A dot is escaped
// at the beginning, where it would mean something to the file system, and before what looks like one of our endings.
func escapePart(p string) string {
	ending := strings.HasSuffix(p, documentSuffix) || strings.HasSuffix(p, lockSuffix)
	lastDot := strings.LastIndexByte(p, '.')
	var b strings.Builder
	for i := range len(p) {
		c := p[i]
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_=@+", c) >= 0 ||
			c == '.' && i > 0 && !(ending && i == lastDot)
		if plain {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

func unescapePart(p string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] != '%' {
			b.WriteByte(p[i])
			continue
		}
		if i+2 >= len(p) {
			return "", false
		}
		hi, lo := strings.IndexByte(hexDigits, p[i+1]), strings.IndexByte(hexDigits, p[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), true
}
