package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"
)

// maxKeyUnits is how long Kinesis lets a partition key be. Its "characters" are counted as UTF-16 units here: the
// smaller of the two possible readings.
const maxKeyUnits = 256

// keptUnits is how much of a key that is too long stays in front of its hash.
const keptUnits = maxKeyUnits - 1 - 2*sha256.Size

// keyKind is how the partition key of a table's record is made, and what partition-key-type says of it.
func (p *Plan) keyKind(op Operation) KeyType {
	kind := p.opts.PartitionKeyType
	if kind == KeyTransactionID && op == Load {
		kind = KeyPrimaryKey // a load record has no transaction
	}
	if kind == KeyPrimaryKey && len(p.key) == 0 {
		kind = KeySchemaTable
	}
	return kind
}

// AppendPartitionKey appends the record's partition key: valid UTF-8, 1 to 256 characters, the same for the same
// row and options wherever the row came from. The parts of a composite key are joined by a dot. A key with no
// characters (an empty string as primary key) becomes schema.table. Of a key that is too long the first 191
// characters stay, followed by "~" and the SHA-256 of the whole key in hex.
//
// row is the one that the record shows under data; s may be nil unless keys are transaction ids.
func (p *Plan) AppendPartitionKey(dst []byte, row [][]byte, s *Stamp) ([]byte, error) {
	op := Load
	if s != nil && s.Tx != nil {
		op = Insert
	}
	if len(row) != len(p.table.Columns) {
		return dst, p.rowLengthError(row)
	}
	return p.appendPartitionKey(dst, p.keyKind(op), row, s, renderedKey{})
}

func (p *Plan) appendPartitionKey(dst []byte, kind KeyType, row [][]byte, s *Stamp, done renderedKey) ([]byte, error) {
	start := len(dst)
	switch kind {
	case KeyConstant:
		return append(dst, p.opts.PartitionKeyConstant...), nil
	case KeyTransactionID:
		return appendUint(dst, s.Tx.ID), nil
	case KeyPrimaryKey:
		if p.opts.PartitionIncludeSchemaTable {
			dst = append(append(dst, p.fullName...), '.')
		}
		mark := len(dst)
		var err error
		if dst, err = p.appendKeyText(dst, row, done); err != nil {
			return dst[:start], err
		}
		if len(dst) == mark {
			dst = dst[:start]
		}
	case KeyAttributeName:
		if v := row[p.attribute]; v != nil {
			var err error
			if dst, err = p.appendValueText(dst, p.attribute, v); err != nil {
				return dst[:start], err
			}
		}
	}
	if len(dst) == start {
		dst = append(dst, p.fullName...)
	}
	return clampKey(dst, start), nil
}

// appendKeyText appends the texts of the key columns, joined by dots.
func (p *Plan) appendKeyText(dst []byte, row [][]byte, done renderedKey) ([]byte, error) {
	if done.whole(len(p.key)) {
		return done.appendText(dst, len(p.key)), nil
	}
	for i, col := range p.key {
		if i > 0 {
			dst = append(dst, '.')
		}
		if row[col] == nil {
			return dst, fmt.Errorf("key column %s of %s is NULL: the row image does not fit the table", p.table.Columns[col].Name, p.fullName)
		}
		var err error
		if dst, err = p.appendValueText(dst, col, row[col]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// appendValueText appends a value as text: a number's digits, a string without its quotes and escapes.
func (p *Plan) appendValueText(dst []byte, col int, v []byte) ([]byte, error) {
	mark := len(dst)
	dst, err := p.codec.AppendJSON(dst, col, v)
	if err != nil {
		return dst, fmt.Errorf("render key column %s of %s: %w", p.table.Columns[col].Name, p.fullName, err)
	}
	return unquote(dst, mark), nil
}

// clampKey makes dst[start:] a legal partition key.
func clampKey(dst []byte, start int) []byte {
	key := dst[start:]
	if !utf8.Valid(key) {
		key = []byte(string([]rune(string(key))))
		dst = append(dst[:start], key...)
		key = dst[start:]
	}
	if len(key) <= maxKeyUnits || keyUnits(key) <= maxKeyUnits {
		return dst
	}
	sum := sha256.Sum256(key)
	keep, units := 0, 0
	for keep < len(key) {
		r, size := utf8.DecodeRune(key[keep:])
		if units += runeUnits(r); units > keptUnits {
			break
		}
		keep += size
	}
	dst = append(dst[:start+keep], '~')
	return hex.AppendEncode(dst, sum[:])
}

func keyUnits(key []byte) int {
	units := 0
	for len(key) > 0 {
		r, size := utf8.DecodeRune(key)
		units += runeUnits(r)
		key = key[size:]
	}
	return units
}

func runeUnits(r rune) int {
	if r > 0xFFFF {
		return 2
	}
	return 1
}

// HasKey says whether the table has a primary key or a unique key that stands in for one. Without one AppendRowKey
// takes the whole row for its key, which neither tells equal rows apart nor survives an update.
func (p *Plan) HasKey() bool { return len(p.key) > 0 }

// AppendRowKey appends what identifies the row in its table: the JSON forms of its key columns, joined by commas.
// Two rows have the same bytes if and only if their key values are written the same, whether they came from a SELECT
// or from the binlog. (Keys that only a collation holds equal, such as "a" and "A", differ.)
func (p *Plan) AppendRowKey(dst []byte, row [][]byte) ([]byte, error) {
	if len(row) != len(p.table.Columns) {
		return dst, p.rowLengthError(row)
	}
	start := len(dst)
	for i, col := range p.rowKey {
		if i > 0 {
			dst = append(dst, ',')
		}
		if row[col] == nil {
			dst = append(dst, "null"...)
			continue
		}
		var err error
		if dst, err = p.codec.AppendJSON(dst, col, row[col]); err != nil {
			return dst[:start], fmt.Errorf("render key column %s of %s: %w", p.table.Columns[col].Name, p.fullName, err)
		}
	}
	return dst, nil
}
