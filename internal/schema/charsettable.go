package schema

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

// charsetFile holds, for every character set that is no form of Unicode, which bytes are which character. It was asked
// of a MySQL server (see TestCharsetTables, which checks it and writes it anew with -update), so it has MySQL's
// mappings with all their peculiarities: latin1 that is cp1252 with its holes filled, yen signs, private characters.
//
// For each character set it has the name and the packed size, both with a length in front, and the packed runs. A
// run is three variable-length numbers: how far its first code lies behind the last run's, how many codes it has, and
// how far its first character lies from the last run's. A code is a character's bytes as one big-endian number.
//
//go:embed charsets.bin
var charsetFile []byte

// undefined marks bytes that are no character. It is half a surrogate pair, which no table holds.
const undefined = 0xd800

// charTable decodes one character set. Each slice is nil when no character has so many bytes.
type charTable struct {
	ascii bool // the bytes of plain ASCII stand for ASCII
	one   [256]uint16
	two   []uint16 // by both bytes
	three []uint16 // by the second and third byte, the first is always threeLead
	four  []uint16 // gb18030: by fourIndex
}

const threeLead = 0x8f

// gb18030 puts the characters outside the basic plane in one row of four-byte codes.
const (
	fourBasic  = 4 * 10 * 126 * 10  // codes of characters in the basic plane
	fourSupp   = 15 * 10 * 126 * 10 // the index of U+10000
	planeStart = 0x10000
)

// fourIndex numbers the four-byte codes of gb18030 in their order.
func fourIndex(s []byte) (int, bool) {
	if len(s) < 4 || s[0] < 0x81 || s[0] > 0xfe || s[1] < 0x30 || s[1] > 0x39 || s[2] < 0x81 || s[2] > 0xfe || s[3] < 0x30 || s[3] > 0x39 {
		return 0, false
	}
	return ((int(s[0]-0x81)*10+int(s[1]-0x30))*126+int(s[2]-0x81))*10 + int(s[3]-0x30), true
}

// tableDecoder is the decoder of a character set in charsetFile. It reads its table when it is first used.
func tableDecoder(name string) decodeFunc {
	table := sync.OnceValue(func() *charTable {
		t, err := loadTable(name)
		if err != nil { // the file is part of the program, and a test reads all of it
			panic(fmt.Sprintf("read the embedded character set table of %s: %v", name, err))
		}
		return t
	})
	return func(dst, s []byte) ([]byte, int) { return table().decode(dst, s) }
}

func (t *charTable) decode(dst, s []byte) ([]byte, int) {
	for i := 0; i < len(s); {
		if t.ascii {
			if n := PlainRun(s[i:]); n > 0 {
				dst = append(dst, s[i:i+n]...)
				i += n
				continue
			}
		}
		r, size := t.next(s[i:])
		if size == 0 {
			return dst, i
		}
		dst = appendRune(dst, r)
		i += size
	}
	return dst, -1
}

// next reads the character at the start of s. Its size is 0 when there is none.
func (t *charTable) next(s []byte) (r rune, size int) {
	if r := t.one[s[0]]; r != undefined {
		return rune(r), 1
	}
	if t.two != nil && len(s) >= 2 {
		if r := t.two[int(s[0])<<8|int(s[1])]; r != undefined {
			return rune(r), 2
		}
	}
	if t.three != nil && len(s) >= 3 && s[0] == threeLead {
		if r := t.three[int(s[1])<<8|int(s[2])]; r != undefined {
			return rune(r), 3
		}
	}
	if t.four != nil {
		switch at, ok := fourIndex(s); {
		case ok && at < fourBasic && t.four[at] != undefined:
			return rune(t.four[at]), 4
		case ok && at >= fourSupp && at-fourSupp+planeStart <= utf8.MaxRune:
			return rune(at - fourSupp + planeStart), 4
		}
	}
	return 0, 0
}

// set notes that a code is a character.
func (t *charTable) set(code uint32, r uint16) error {
	room := func(table *[]uint16, size int) []uint16 {
		if *table == nil {
			*table = make([]uint16, size)
			for i := range *table {
				(*table)[i] = undefined
			}
		}
		return *table
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], code)
	switch {
	case code < 1<<8:
		t.one[code] = r
	case code < 1<<16:
		room(&t.two, 1<<16)[code] = r
	case code>>16 == threeLead:
		room(&t.three, 1<<16)[code&0xffff] = r
	default:
		at, ok := fourIndex(b[:])
		if !ok || at >= fourBasic {
			return fmt.Errorf("code %x", code)
		}
		room(&t.four, fourBasic)[at] = r
	}
	return nil
}

// loadTable reads one character set of charsetFile.
func loadTable(name string) (*charTable, error) {
	for rest := charsetFile; len(rest) > 0; {
		var this, packed []byte
		var ok bool
		if this, rest, ok = cutCounted(rest); ok {
			packed, rest, ok = cutCounted(rest)
		}
		if !ok {
			return nil, io.ErrUnexpectedEOF
		}
		if string(this) != name {
			continue
		}
		runs, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
		if err != nil {
			return nil, err
		}
		return readRuns(runs)
	}
	return nil, errors.New("it is not there")
}

func cutCounted(s []byte) (head, rest []byte, ok bool) {
	n, size := binary.Uvarint(s)
	if size <= 0 || n > uint64(len(s)-size) {
		return nil, nil, false
	}
	return s[size : size+int(n)], s[size+int(n):], true
}

func readRuns(runs []byte) (*charTable, error) {
	t := &charTable{ascii: true}
	for i := range t.one {
		t.one[i] = undefined
	}
	code, char := uint64(0), int64(0)
	for len(runs) > 0 {
		ahead, a := binary.Uvarint(runs)
		count, b := binary.Uvarint(runs[max(a, 0):])
		away, c := binary.Varint(runs[max(a, 0)+max(b, 0):])
		if a <= 0 || b <= 0 || c <= 0 {
			return nil, io.ErrUnexpectedEOF
		}
		runs = runs[a+b+c:]
		code += ahead
		char += away
		for i := range count {
			r := char + int64(i)
			if r < 0 || r > 0xffff || r == undefined || code+i > 1<<32-1 {
				return nil, fmt.Errorf("character %x", r)
			}
			if err := t.set(uint32(code+i), uint16(r)); err != nil {
				return nil, err
			}
		}
	}
	for i, kind := range byteKinds {
		if kind == plain && t.one[i] != uint16(i) {
			t.ascii = false
		}
	}
	return t, nil
}
