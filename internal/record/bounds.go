package record

import "github.com/binlogstreamer/binlogstreamer/internal/schema"

// longColumn is a column whose values may be long enough to matter for the size of a record.
type longColumn struct {
	col          int
	times, parts int  // a value of n bytes is written with n*times/parts bytes at least; parts 0: nothing is known
	before       bool // the before-image shows it too
}

// findLong prepares Bounds.
func (p *Plan) findLong() {
	for _, m := range p.columns {
		c := &p.table.Columns[m.col]
		l := longColumn{col: m.col, times: 1, parts: 1}
		switch c.Type {
		case schema.Text:
			l.parts = shrinks(c.Charset)
		case schema.Blob, schema.Geometry:
			l.times = 2 // hexadecimal digits
		case schema.JSON:
			l.parts = 0 // numbers take less room as text, and an image may hold gaps
		default:
			continue
		}
		for _, b := range p.before {
			l.before = l.before || b.col == m.col
		}
		p.long = append(p.long, l)
	}
}

// shrinks says how many times longer a text may be in its character set than in UTF-8.
func shrinks(charset string) int {
	switch charset {
	case "utf8mb4", "utf8mb3", "utf8", "latin1", "ascii":
		return 1
	}
	return 4 // no character of any set has more bytes
}

// Bounds tells the size of a record before it is built, from the lengths of its long values alone: it has least bytes or
// more, and the rest of it would have to be of unusual size to make it more than likely.
func (p *Plan) Bounds(op Operation, row, before [][]byte) (least, likely int) {
	for i := range p.long {
		l := &p.long[i]
		if l.col < len(row) {
			least, likely = l.add(p.cutLength(l.col, row[l.col]), least, likely)
		}
		if op == Update && l.before && l.col < len(before) {
			least, likely = l.add(p.cutLength(l.col, before[l.col]), least, likely)
		}
	}
	return least, likely + usualSize
}

// cutLength is how much of a value goes into the record at most.
func (p *Plan) cutLength(col int, v []byte) int {
	if p.lobBytes == 0 || !p.cuttable(col) {
		return len(v)
	}
	return min(len(v), p.lobBytes)
}

// usualSize is what a record has beside long values.
const usualSize = 16 << 10

func (l *longColumn) add(length, least, likely int) (int, int) {
	n := length * l.times
	if l.parts > 0 {
		least += n / l.parts
	}
	return least, likely + n + n/16
}
