package record

// maxKeyParts is how many columns an index of MySQL can have.
const maxKeyParts = 16

// keyParts notes where the columns of a partition key stand in a record, so that the key can be made of what is
// rendered already. The zero value knows of none.
type keyParts struct {
	noted int // how many are known; a column is noted once at most
	spans [maxKeyParts]keySpan
}

type keySpan struct{ from, to int }

func (k *keyParts) note(part, from, to int) {
	if part < maxKeyParts {
		k.spans[part] = keySpan{from, to}
		k.noted++
	}
}

// of is the key in the record that was noted from.
func (k *keyParts) of(record []byte) renderedKey { return renderedKey{k, record} }

// renderedKey is the columns of a key where they stand in a record. The zero value is none.
type renderedKey struct {
	parts  *keyParts
	record []byte
}

// whole says whether all columns of a key are there. One is not if it is left out of the record, as a zero date is.
func (r renderedKey) whole(columns int) bool { return r.parts != nil && r.parts.noted == columns }

// appendText appends the texts of the columns, joined by dots.
func (r renderedKey) appendText(dst []byte, columns int) []byte {
	for i, s := range r.parts.spans[:columns] {
		if i > 0 {
			dst = append(dst, '.')
		}
		value := r.record[s.from:s.to]
		if text, ok := quoted(value); ok {
			dst = appendText(dst, text)
		} else {
			dst = append(dst, value...)
		}
	}
	return dst
}
