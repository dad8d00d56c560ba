package record

import (
	"slices"
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// cuttable says whether AppendCut may cut the column: a LOB, but never one of the key, which says what row it is.
func (p *Plan) cuttable(col int) bool {
	return isLOB(&p.table.Columns[col]) && !slices.Contains(p.key, col)
}

// AppendCut is Append with every LOB cut to at most lobBytes bytes: of a text in UTF-8, behind a whole character; of
// binary data, of which the hexadecimal digits are twice as many. What is shorter, key columns, and everything else is
// as in Append. The result is the same for the same row wherever it came from.
func (p *Plan) AppendCut(dst []byte, op Operation, row, before [][]byte, s *Stamp, lobBytes int) ([]byte, error) {
	cut := *p
	cut.lobBytes = lobBytes
	return cut.Append(dst, op, row, before, s)
}

// CutData appends a record's data with its LOBs cut as AppendCut cuts them; data that was cut before stays as it is.
func (p *Plan) CutData(dst, data []byte, lobBytes int) ([]byte, error) {
	cut := *p
	cut.lobBytes = lobBytes
	from := skipSpace(data, 0)
	_, err := eachMember(data, from, func(key []byte, start, end int) error {
		for _, m := range p.columns {
			if !cut.cuttable(m.col) || !keyIs(key, p.table.Columns[m.col].Name) {
				continue
			}
			dst = append(dst, data[from:start]...)
			at := len(dst)
			dst = cut.cutValue(append(dst, data[start:end]...), at, m.col)
			from = end
		}
		return nil
	})
	return append(dst, data[from:]...), err
}

// CutBounds is Bounds for AppendCut.
func (p *Plan) CutBounds(op Operation, row, before [][]byte, lobBytes int) (least, likely int) {
	cut := *p
	cut.lobBytes = lobBytes
	return cut.Bounds(op, row, before)
}

// shorten cuts off what of a LOB's value cannot be needed, before it is rendered: most values that are cut are far
// longer than what stays. It must leave enough for cutValue to decide, and cut no character in two.
func (p *Plan) shorten(col int, v []byte) []byte {
	c := &p.table.Columns[col]
	if c.Compressed || !p.cuttable(col) {
		return v
	}
	switch c.Type {
	case schema.Blob:
		return v[:min(len(v), p.lobBytes)]
	case schema.Text:
		// In the column's character set or in UTF-8: of either, four bytes make at least one byte of UTF-8.
		end := 4*p.lobBytes + utf8.UTFMax
		if len(v) <= end || shrinks(c.Charset) != 1 {
			return v
		}
		for range utf8.UTFMax - 1 {
			if utf8.RuneStart(v[end]) {
				break
			}
			end--
		}
		return v[:end]
	}
	return v
}

// cutValue cuts the rendered LOB value dst[start:].
func (p *Plan) cutValue(dst []byte, start, col int) []byte {
	if dst[start] != '"' || !p.cuttable(col) {
		return dst
	}
	switch p.table.Columns[col].Type {
	case schema.Blob, schema.Geometry, schema.Vector:
		return cutHex(dst, start, p.lobBytes)
	}
	return cutText(dst, start, p.lobBytes)
}

// cutHex leaves most bytes of a string of hexadecimal digits, which may begin with 0x.
func cutHex(dst []byte, start, most int) []byte {
	end := start + 1 + 2*most
	if start+2 < len(dst) && dst[start+2] == 'x' {
		end += 2
	}
	if end >= len(dst)-1 {
		return dst
	}
	return append(dst[:end], '"')
}

// cutText leaves at most so many bytes of a string, counted without its escapes.
func cutText(dst []byte, start, most int) []byte {
	if len(dst)-start-2 <= most {
		return dst
	}
	for i, n := start+1, 0; i < len(dst)-1; {
		width, bytes := 1, 1
		switch {
		case dst[i] == '\\' && dst[i+1] == 'u': // a control character: nothing else is written so
			width = 6
		case dst[i] == '\\':
			width = 2
		case dst[i] >= utf8.RuneSelf:
			_, width = utf8.DecodeRune(dst[i : len(dst)-1])
			bytes = width
		}
		if n += bytes; n > most {
			return append(dst[:i], '"')
		}
		i += width
	}
	return dst
}

// AppendSpilled appends the record that stands in the stream in place of one that is stored elsewhere: the same, but
// data has the key columns alone, there is no before-image, and the metadata ends in the reference. The stamp is that of
// the record that was stored.
func (p *Plan) AppendSpilled(dst []byte, op Operation, row [][]byte, s *Stamp, at Spilled) ([]byte, error) {
	small := *p
	small.columns = slices.DeleteFunc(slices.Clone(p.columns), func(m member) bool { return !slices.Contains(p.key, m.col) })
	small.opts.BeforeImage.Enabled = false
	out, err := small.Append(dst, op, row, nil, s)
	if err != nil {
		return dst, err
	}
	f := p.opts.Format
	out = out[:len(out)-len(p.form.end)]
	out = append(f.appendKey(out, 2, true, spilledKey), '{')
	out = f.appendMember(out, 3, false, "location", at.Location)
	out = appendUint(f.appendKey(out, 3, true, "bytes"), uint64(at.Bytes))
	out = f.appendMember(out, 3, true, "sha256", at.SHA256)
	return append(f.appendClose(out, 2), p.form.end...), nil
}
