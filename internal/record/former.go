package record

import "bytes"

// beginning is what a record's metadata begins with, and what it says: in the records of a transaction it is mostly the
// same.
type beginning struct {
	text  []byte // from the opening brace up to where the rest begins
	texts [textFields]span
	txID  uint64
}

// beginningKeys is how many of metadataKeys belong to the beginning: all in front of the number that each record has for
// itself.
const beginningKeys = 8

// keep keeps the beginning of the metadata at data[at], which was read up to data[end].
func (b *beginning) keep(m *members, data []byte, at, end int) {
	if b == nil {
		return
	}
	b.text = append(b.text[:0], data[at:end]...)
	b.txID = m.number[numberTxID]
	for i, s := range m.text {
		b.texts[i] = span{from: s.from - at, to: s.to - at}
	}
}

// resume fills m with what is known, if the metadata at data[at] begins in the same way, and returns where reading goes
// on and with which key: 0 if nothing is known.
func (b *beginning) resume(m *members, data []byte, at int) (end, key int) {
	if b == nil || len(b.text) == 0 || !bytes.HasPrefix(data[at:], b.text) {
		return 0, 0
	}
	for i, s := range b.texts {
		if s.to > 0 { // else it is not among what was read
			m.text[i] = span{from: s.from + at, to: s.to + at}
		}
	}
	m.number[numberTxID] = b.txID
	return at + len(b.text), beginningKeys
}

// formerPlace is the stream-position of the former record: that of the next one has often another row, and nothing else.
type formerPlace struct {
	head, tail []byte // what stands before and behind the row
	at         Position
}

// keep keeps a stream-position that was read, with a file's name of so many bytes in front.
func (f *formerPlace) keep(text []byte, file int, at Position) {
	if f == nil {
		return
	}
	row := file + 1
	row += bytes.IndexByte(text[row:], ':') + 1
	end := row + bytes.IndexByte(text[row:], ':')
	f.head, f.tail = append(f.head[:0], text[:row]...), append(f.tail[:0], text[end:]...)
	f.at = at
}

// next gives the place of a stream-position that is the former one but for the row.
func (f *formerPlace) next(text []byte) (Position, bool) {
	if f == nil || len(f.head) == 0 || len(text) <= len(f.head)+len(f.tail) || !bytes.HasPrefix(text, f.head) || !bytes.HasSuffix(text, f.tail) {
		return Position{}, false
	}
	row, ok := parseUint(text[len(f.head) : len(text)-len(f.tail)])
	p := f.at
	p.Row = uint32(row)
	return p, ok && row <= 1<<32-1
}
