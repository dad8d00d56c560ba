package schema

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unsafe"
)

// TextLayout renders the rows of SELECT <SelectList> FROM ..., read in the text protocol over a connection that
// SessionSetup prepared. It implements Codec.
type TextLayout struct {
	table      *Table
	columns    []column
	selectList []string
}

// NewTextLayout prepares the rows of t.
func NewTextLayout(t *Table, o Options) (*TextLayout, error) {
	l := &TextLayout{table: t, columns: make([]column, len(t.Columns)), selectList: make([]string, len(t.Columns))}
	for i := range t.Columns {
		c, err := newColumn(&t.Columns[i], o)
		if err == nil {
			err = c.fromText()
		}
		if err != nil {
			return nil, &ColumnError{Table: t.FullName(), Column: t.Columns[i].Name, Err: err}
		}
		l.columns[i] = c
		l.selectList[i] = selectExpression(&t.Columns[i])
	}
	return l, nil
}

// SelectList is one SQL expression per column of the table, in table order.
func (l *TextLayout) SelectList() []string { return l.selectList }

// AppendJSON renders a value as the server sent it. See Codec.
func (l *TextLayout) AppendJSON(dst []byte, col int, v []byte) ([]byte, error) {
	c := &l.columns[col]
	out, err := c.append(c, dst, v)
	if err != nil {
		return dst, &ColumnError{Table: l.table.FullName(), Column: c.def.Name, Err: err}
	}
	return out, nil
}

// SessionSetup is the SQL statements that make a connection to a server of the given flavor ("mysql" or "mariadb")
// print values as TextLayout reads them: labels and documents in utf8mb4, times in UTC, no padding of CHAR, and
// back-ticks as the only quotes of identifiers.
func SessionSetup(flavor string) []string {
	_ = flavor // both understand the same statements today
	return []string{
		"SET NAMES utf8mb4",
		"SET SESSION time_zone = '+00:00'",
		"SET SESSION sql_mode = ''",
	}
}

// selectExpression is how a column has to be asked for so that it arrives without loss.
func selectExpression(def *Column) string {
	name := QuoteIdent(def.Name)
	if def.Unlogged {
		return "NULL"
	}
	switch def.Type {
	case Float, Double:
		// A FLOAT column is printed with six digits and a DOUBLE(m,d) with d decimals; a DOUBLE expression is
		// printed with all its digits.
		if def.Type == Float || strings.Contains(def.ColumnType, "(") {
			return name + "*1e0"
		}
	case Char, VarChar, Text:
		// The server puts a question mark where a conversion fails, so that nobody would notice: take the bytes
		// as they are stored. That is also what the binlog has.
		if def.Charset != "utf8mb4" {
			return "CONVERT(" + name + " USING binary)"
		}
	}
	return name
}

// fromText chooses the codec for the text form.
func (c *column) fromText() error {
	switch c.def.Type {
	case TinyInt, SmallInt, MediumInt, Int, BigInt, Year:
		c.append = textInteger
	case Decimal:
		c.append = textDecimal
	case Float, Double:
		c.append = textDouble
	case Bit:
		c.append = bitCodec(c.def)
	case Date:
		c.append = textDate
	case DateTime, Timestamp:
		c.append = textDateTime
	case Time:
		c.append = textTime
	case Char, VarChar, Text:
		c.append = textCodec(c.def)
	case Binary:
		c.size, c.append = int(c.def.Length), imageBinary
	case VarBinary, Blob, Geometry, Vector:
		c.append = hexCodec
	case Enum, Set:
		c.byLabel = make(map[string]int, len(c.labels)+1)
		for i, label := range c.def.Labels {
			c.byLabel[label] = i
		}
		c.append = textEnum
		if c.def.Type == Set {
			c.append = textSet
		}
	case JSON:
		c.append = textJSON
	case UUID, Inet4, Inet6:
		c.append = textAddress
	default:
		return unsupported(c.def.ColumnType)
	}
	return nil
}

// textInteger copies the digits without the zeros that ZEROFILL and YEAR put in front.
func textInteger(c *column, dst, v []byte) ([]byte, error) {
	digits := v
	if len(digits) > 0 && digits[0] == '-' {
		dst = append(dst, '-')
		digits = digits[1:]
	}
	for len(digits) > 1 && digits[0] == '0' {
		digits = digits[1:]
	}
	if len(digits) == 0 || !allDigits(digits) {
		return dst, corrupt("%q is no whole number", v)
	}
	return append(dst, digits...), nil
}

func allDigits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func textDecimal(_ *column, dst, v []byte) ([]byte, error) { return appendTextDecimal(dst, v) }

func textDouble(_ *column, dst, v []byte) ([]byte, error) {
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(v), len(v)), 64)
	if err != nil {
		return dst, corrupt("%q is no number", v)
	}
	return appendDouble(dst, f)
}

// shaped says whether v has a digit where pattern has 0, and pattern's own character everywhere else.
func shaped(v []byte, pattern string) bool {
	if len(v) != len(pattern) {
		return false
	}
	for i, c := range v {
		if pattern[i] == '0' {
			if c < '0' || c > '9' {
				return false
			}
		} else if c != pattern[i] {
			return false
		}
	}
	return true
}

// allZero says whether no digit of v is other than 0.
func allZero(v []byte) bool {
	for _, c := range v {
		if c >= '1' && c <= '9' {
			return false
		}
	}
	return true
}

func textDate(_ *column, dst, v []byte) ([]byte, error) {
	switch {
	case !shaped(v, "0000-00-00"):
		return dst, corrupt("%q is no date", v)
	case allZero(v):
		return append(dst, "null"...), nil
	}
	dst = append(dst, '"')
	dst = append(dst, v...)
	return append(dst, '"'), nil
}

// fractionShape is a decimal point and as many digits as there are fractional digits, at most 6.
const fractionShape = ".000000"

// hasFraction says whether v is the fraction of a time with fsp digits.
func hasFraction(v []byte, fsp int) bool {
	if fsp == 0 {
		return len(v) == 0
	}
	return shaped(v, fractionShape[:1+fsp])
}

func textDateTime(c *column, dst, v []byte) ([]byte, error) {
	const whole = "0000-00-00 00:00:00"
	switch {
	case len(v) < len(whole) || !shaped(v[:len(whole)], whole) || !hasFraction(v[len(whole):], c.fsp):
		return dst, corrupt("%q is no %s", v, c.def.ColumnType)
	case allZero(v):
		return append(dst, "null"...), nil
	}
	dst = append(dst, '"')
	dst = append(dst, v[:10]...)
	dst = append(dst, 'T')
	dst = append(dst, v[11:]...)
	return append(dst, 'Z', '"'), nil
}

func textTime(c *column, dst, v []byte) ([]byte, error) {
	s := v
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	hours := bytes.IndexByte(s, ':')
	if hours < 2 || hours > 3 || !allDigits(s[:hours]) ||
		len(s) < hours+6 || !shaped(s[hours:hours+6], ":00:00") || !hasFraction(s[hours+6:], c.fsp) {
		return dst, corrupt("%q is no %s", v, c.def.ColumnType)
	}
	dst = append(dst, '"')
	dst = append(dst, v...)
	return append(dst, '"'), nil
}

// textEnum looks labels up, for a label that the definition lacks shows that the definition is wrong, and the binlog,
// which has numbers, would be read wrong with it.
func textEnum(c *column, dst, v []byte) ([]byte, error) {
	i, known := c.byLabel[string(v)]
	switch {
	case known:
		dst = append(dst, '"')
		dst = append(dst, c.labels[i]...)
		return append(dst, '"'), nil
	case len(v) == 0:
		return append(dst, '"', '"'), nil
	}
	return dst, c.unknownLabel(v)
}

func textSet(c *column, dst, v []byte) ([]byte, error) {
	dst = append(dst, '"')
	for first := true; len(v) > 0; first = false {
		label, rest, more := bytes.Cut(v, []byte{','})
		i, known := c.byLabel[string(label)]
		if !known {
			return dst, c.unknownLabel(label)
		}
		if !first {
			dst = append(dst, ',')
		}
		dst = append(dst, c.labels[i]...)
		if v = rest; more && len(v) == 0 {
			dst = append(dst, ',')
		}
	}
	return append(dst, '"'), nil
}

func (c *column) unknownLabel(label []byte) error {
	return fmt.Errorf("the server has label %q, the known definition %s does not; labels with characters outside the "+
		"basic plane need binlog_row_metadata=FULL on the server", label, c.def.ColumnType)
}

func textJSON(c *column, dst, v []byte) ([]byte, error) {
	out, bad := appendString(dst, v)
	if bad >= 0 {
		return dst, &CharsetError{Charset: "utf8mb4", Value: badBytes(v[bad:])}
	}
	return out, nil
}
