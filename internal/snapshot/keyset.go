package snapshot

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// statement builds the SELECTs that page through one table in key order. The server orders and compares the keys,
// under the collations of their columns; no key is ever compared here.
type statement struct {
	table *schema.Table
	head  string   // SELECT … FROM …
	order string   // ORDER BY …
	keys  []string // key columns as SQL expressions to compare with literals
}

// NoKeyError is returned for a table that cannot be paged through because no key identifies its rows.
type NoKeyError struct{ Table string }

func (e *NoKeyError) Error() string {
	return fmt.Sprintf("table %s has neither a primary key nor a UNIQUE key of NOT NULL columns, so its full load cannot be "+
		"split and resumed; add a key (ALTER TABLE … ADD PRIMARY KEY), or exclude the table in the table mappings", e.Table)
}

func newStatement(t *schema.Table, selectList []string) (*statement, error) {
	if t.KeyKind == schema.NoKey {
		return nil, &NoKeyError{Table: t.FullName()}
	}
	s := &statement{table: t}
	var order []string
	for _, k := range t.Key {
		name := schema.QuoteIdent(t.Columns[k].Name)
		order = append(order, name)
		s.keys = append(s.keys, keyExpression(t.Columns[k], name))
	}
	s.head = "SELECT " + strings.Join(selectList, ", ") + " FROM " +
		schema.QuoteIdent(t.Schema) + "." + schema.QuoteIdent(t.Name)
	if t.Versioned {
		s.head += " FOR SYSTEM_TIME ALL" // former rows are rows in the binlog, too
	}
	s.order = " ORDER BY " + strings.Join(order, ", ")
	return s, nil
}

// keyExpression is what a key literal is compared with. ENUM and SET sort by their number but compare with strings as
// strings, so they are compared as the numbers they are.
func keyExpression(c schema.Column, name string) string {
	if c.Type == schema.Enum || c.Type == schema.Set {
		return name + " + 0"
	}
	return name
}

// page is the statement that reads up to limit rows behind after.
func (s *statement) page(after Bound, limit int) string {
	var b strings.Builder
	b.WriteString(s.head)
	if len(after) > 0 {
		b.WriteString(" WHERE ")
		s.behind(&b, after)
	}
	b.WriteString(s.order)
	b.WriteString(" LIMIT ")
	b.WriteString(strconv.Itoa(limit))
	return b.String()
}

// behind writes the condition that a row's key is greater than after. The first conjunct is implied by the rest; it
// is there because it makes every server version use the index as one range.
func (s *statement) behind(b *strings.Builder, after Bound) {
	if len(s.keys) > 1 {
		fmt.Fprintf(b, "%s >= %s AND ", s.keys[0], after[0])
	}
	b.WriteByte('(')
	for i := range s.keys {
		if i > 0 {
			b.WriteString(" OR ")
		}
		b.WriteByte('(')
		for j := range i {
			fmt.Fprintf(b, "%s = %s AND ", s.keys[j], after[j])
		}
		fmt.Fprintf(b, "%s > %s)", s.keys[i], after[i])
	}
	b.WriteByte(')')
}

// bound is the key of a row as literals.
func (s *statement) bound(row [][]byte) (Bound, error) {
	out := make(Bound, 0, len(s.table.Key))
	for _, k := range s.table.Key {
		lit, err := literal(&s.table.Columns[k], row[k])
		if err != nil {
			return nil, fmt.Errorf("key column %s of table %s: %w", s.table.Columns[k].Name, s.table.FullName(), err)
		}
		out = append(out, lit)
	}
	return out, nil
}

// literal writes a value of the text protocol as an SQL literal of the same value.
func literal(c *schema.Column, v []byte) (string, error) {
	switch c.Type {
	case schema.TinyInt, schema.SmallInt, schema.MediumInt, schema.Int, schema.BigInt,
		schema.Decimal, schema.Float, schema.Double, schema.Year:
		return number(v)
	case schema.Date, schema.DateTime, schema.Timestamp, schema.Time:
		return temporal(v)
	case schema.UUID, schema.Inet4, schema.Inet6:
		return address(v)
	case schema.Enum:
		return enumNumber(c, v)
	case schema.Set:
		return setNumber(c, v)
	case schema.Char, schema.VarChar, schema.Text:
		// The text form of such a column is its stored bytes; the charset's introducer says what they are.
		return "_" + c.Charset + " x'" + hex.EncodeToString(v) + "'", nil
	case schema.Binary, schema.VarBinary, schema.Blob, schema.Bit:
		return "x'" + hex.EncodeToString(v) + "'", nil
	default:
		return "", fmt.Errorf("type %s cannot be part of a key that is paged by", c.ColumnType)
	}
}

// number lets only characters of a number into a statement.
func number(v []byte) (string, error) {
	if len(v) == 0 || strings.Trim(string(v), "0123456789+-.eE") != "" {
		return "", fmt.Errorf("%q is not a number", v)
	}
	return string(v), nil
}

func temporal(v []byte) (string, error) {
	if strings.Trim(string(v), "0123456789-: .") != "" {
		return "", fmt.Errorf("%q is not a date or time", v)
	}
	return "'" + string(v) + "'", nil
}

func address(v []byte) (string, error) {
	if strings.Trim(string(v), "0123456789abcdef-:.") != "" {
		return "", fmt.Errorf("%q is neither a UUID nor an address", v)
	}
	return "'" + string(v) + "'", nil
}

// enumNumber gives the number of a label. The empty string is number 0 unless it is a label of its own.
func enumNumber(c *schema.Column, v []byte) (string, error) {
	if i := slices.Index(c.Labels, string(v)); i >= 0 {
		return strconv.Itoa(i + 1), nil
	}
	if len(v) == 0 {
		return "0", nil
	}
	return "", fmt.Errorf("%q is not one of its labels", v)
}

func setNumber(c *schema.Column, v []byte) (string, error) {
	var bits uint64
	if len(v) > 0 {
		for label := range strings.SplitSeq(string(v), ",") {
			i := slices.Index(c.Labels, label)
			if i < 0 {
				return "", fmt.Errorf("%q is not one of its labels", label)
			}
			bits |= 1 << i
		}
	}
	return strconv.FormatUint(bits, 10), nil
}
