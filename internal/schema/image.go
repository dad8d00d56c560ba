package schema

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Options say how values are rendered.
type Options struct {
	NoHexPrefix bool // leave the 0x off binary values
}

// ImageLayout splits and renders the row images that are written under one table map. It implements Codec.
type ImageLayout struct {
	table   *Table
	columns []column // one for each column of table
	widths  []width  // of the columns, side by side because Split goes through them for each row
}

// width says how many bytes of a row image a value takes: size, or as many as a little-endian number of prefix bytes
// before it counts.
type width struct {
	size   uint32
	prefix uint8
}

// NewImageLayout prepares the rows of t for a table map event. types and metas are the event's column types and
// metadata, the metadata of two bytes as the event has them: for CHAR, BINARY, ENUM and SET the real type in the high
// byte; for DECIMAL the precision in the high byte. It returns a *MismatchError if they do not fit t.
func NewImageLayout(t *Table, types []byte, metas []uint16, o Options) (*ImageLayout, error) {
	if len(types) != len(t.Columns) || len(metas) != len(types) {
		return nil, &MismatchError{Table: t.FullName(),
			Reason: fmt.Sprintf("the event has %d columns, the definition %d", len(types), len(t.Columns))}
	}
	l := &ImageLayout{table: t, columns: make([]column, len(types)), widths: make([]width, len(types))}
	for i := range types {
		c, err := newColumn(&t.Columns[i], o)
		if err != nil {
			return nil, &ColumnError{Table: t.FullName(), Column: t.Columns[i].Name, Err: err}
		}
		err = c.fromImage(types[i], metas[i])
		if mismatch, ok := errors.AsType[*MismatchError](err); ok {
			mismatch.Table, mismatch.Column = t.FullName(), t.Columns[i].Name
			return nil, mismatch
		}
		if err != nil {
			return nil, &ColumnError{Table: t.FullName(), Column: t.Columns[i].Name, Err: err}
		}
		l.columns[i], l.widths[i] = c, c.width
	}
	return l, nil
}

// Split reads one row image: the bitmap of NULLs, then the values of the columns marked in present. It returns one
// entry per column of the table, nil for NULL, in row's memory if that is large enough, and the number of bytes read.
// The values alias image. A column that is not in the image is ErrPartialImage, unless it is Unlogged.
func (l *ImageLayout) Split(row [][]byte, image []byte, present []byte) (out [][]byte, n int, err error) {
	count := len(l.columns)
	if cap(row) < count {
		row = make([][]byte, count)
	}
	row = row[:count]
	if !allPresent(present, count) {
		return l.splitSome(row, image, present)
	}
	pos := (count + 7) / 8
	if len(image) < pos {
		return row, 0, l.short(0)
	}
	nulls := image[:pos]
	for i, w := range l.widths {
		if nulls[i>>3]>>(i&7)&1 != 0 {
			row[i] = nil
			continue
		}
		if w.prefix > 0 {
			var ok bool
			if pos, w.size, ok = w.counted(image, pos); !ok {
				return row, 0, l.short(i)
			}
		}
		end := pos + int(w.size)
		if end > len(image) {
			return row, 0, l.short(i)
		}
		row[i] = image[pos:end:end]
		pos = end
	}
	return row, pos, nil
}

// splitSome is Split for an image that leaves columns out.
func (l *ImageLayout) splitSome(row [][]byte, image []byte, present []byte) ([][]byte, int, error) {
	there := 0
	for i := range l.columns {
		if marked(present, i) {
			there++
		} else if !l.table.Columns[i].Unlogged {
			return row, 0, &ColumnError{Table: l.table.FullName(), Column: l.table.Columns[i].Name, Err: ErrPartialImage}
		}
	}
	pos := (there + 7) / 8
	if len(image) < pos {
		return row, 0, l.short(0)
	}
	nulls := image[:pos]
	at := 0 // index among the columns that are there
	for i := range l.columns {
		if !marked(present, i) {
			row[i] = nil
			continue
		}
		null := nulls[at>>3]>>(at&7)&1 != 0
		at++
		if null {
			row[i] = nil
			continue
		}
		w, ok := l.widths[i], true
		if w.prefix > 0 {
			pos, w.size, ok = w.counted(image, pos)
		}
		end := pos + int(w.size)
		if !ok || end > len(image) {
			return row, 0, l.short(i)
		}
		row[i] = image[pos:end:end]
		pos = end
	}
	return row, pos, nil
}

// counted reads the size in front of a value, and says whether the image holds all of it. begin is where the value starts.
func (w width) counted(image []byte, pos int) (begin int, size uint32, ok bool) {
	begin = pos + int(w.prefix)
	if begin > len(image) {
		return 0, 0, false
	}
	switch p := image[pos:begin]; len(p) {
	case 1:
		size = uint32(p[0])
	case 2:
		size = uint32(p[0]) | uint32(p[1])<<8
	case 3:
		size = uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
	case 4:
		size = binary.LittleEndian.Uint32(p)
	}
	return begin, size, true
}

// AppendJSON renders a value that Split returned. See Codec.
func (l *ImageLayout) AppendJSON(dst []byte, col int, v []byte) ([]byte, error) {
	c := &l.columns[col]
	out, err := c.append(c, dst, v)
	if err != nil {
		return dst, &ColumnError{Table: l.table.FullName(), Column: c.def.Name, Err: err}
	}
	return out, nil
}

func (l *ImageLayout) short(col int) error {
	name := ""
	if col < len(l.table.Columns) {
		name = l.table.Columns[col].Name
	}
	return &ColumnError{Table: l.table.FullName(), Column: name, Err: corrupt("the row image ends inside it")}
}

// marked says whether bit i of a bitmap is set. Bits beyond its end are not.
func marked(bitmap []byte, i int) bool {
	return i>>3 < len(bitmap) && bitmap[i>>3]>>(i&7)&1 != 0
}

// allPresent says whether the first n bits of a bitmap are set.
func allPresent(bitmap []byte, n int) bool {
	whole := n >> 3
	if len(bitmap) < (n+7)>>3 {
		return false
	}
	for _, b := range bitmap[:whole] {
		if b != 0xff {
			return false
		}
	}
	rest := byte(1)<<(n&7) - 1
	return rest == 0 || bitmap[whole]&rest == rest
}
