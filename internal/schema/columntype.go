package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParseColumnType reads a column type as information_schema.COLUMNS.COLUMN_TYPE prints it, such as
// "decimal(10,2) unsigned" or "enum('a','b')", and returns a Column with Type, ColumnType, Unsigned, Length,
// Precision, Scale, FSP and Labels set. The caller knows the rest: name, character set, nullability.
func ParseColumnType(columnType string) (Column, error) {
	c := Column{ColumnType: columnType}
	name, args, rest, err := splitColumnType(columnType)
	if err != nil {
		return Column{}, err
	}
	f, known := typeForms[name]
	if !known {
		return Column{}, unsupported(columnType)
	}
	c.Type, c.Length = f.typ, f.length
	for _, w := range strings.Fields(rest) {
		switch w {
		case "unsigned", "zerofill": // ZEROFILL makes a column unsigned
			c.Unsigned = true
		case "compressed*/": // MariaDB puts it into a comment for itself
			c.Compressed = true
		}
	}
	if err := f.args(&c, args); err != nil {
		return Column{}, fmt.Errorf("read column type %q: %w", columnType, err)
	}
	return c, nil
}

// typeForm is what a type name stands for and how its parentheses are read.
type typeForm struct {
	typ    Type
	length uint32
	args   func(c *Column, args string) error
}

var typeForms = map[string]typeForm{
	"tinyint":   {typ: TinyInt, args: displayWidth},
	"smallint":  {typ: SmallInt, args: displayWidth},
	"mediumint": {typ: MediumInt, args: displayWidth},
	"int":       {typ: Int, args: displayWidth},
	"bigint":    {typ: BigInt, args: displayWidth},
	"decimal":   {typ: Decimal, args: precisionScale},
	"float":     {typ: Float, args: displayWidth},
	"double":    {typ: Double, args: displayWidth},
	"bit":       {typ: Bit, length: 1, args: length},

	"date":      {typ: Date, args: displayWidth},
	"datetime":  {typ: DateTime, args: fractionDigits},
	"timestamp": {typ: Timestamp, args: fractionDigits},
	"time":      {typ: Time, args: fractionDigits},
	"year":      {typ: Year, length: 4, args: length},

	"char":       {typ: Char, length: 1, args: length},
	"varchar":    {typ: VarChar, args: length},
	"tinytext":   {typ: Text, length: 1<<8 - 1, args: displayWidth},
	"text":       {typ: Text, length: 1<<16 - 1, args: displayWidth},
	"mediumtext": {typ: Text, length: 1<<24 - 1, args: displayWidth},
	"longtext":   {typ: Text, length: 1<<32 - 1, args: displayWidth},

	"binary":     {typ: Binary, length: 1, args: length},
	"varbinary":  {typ: VarBinary, args: length},
	"tinyblob":   {typ: Blob, length: 1<<8 - 1, args: displayWidth},
	"blob":       {typ: Blob, length: 1<<16 - 1, args: displayWidth},
	"mediumblob": {typ: Blob, length: 1<<24 - 1, args: displayWidth},
	"longblob":   {typ: Blob, length: 1<<32 - 1, args: displayWidth},
	"vector":     {typ: Vector, length: 2048, args: length},

	"enum":  {typ: Enum, args: labels},
	"set":   {typ: Set, args: labels},
	"uuid":  {typ: UUID, args: displayWidth},
	"inet4": {typ: Inet4, args: displayWidth},
	"inet6": {typ: Inet6, args: displayWidth},

	"json": {typ: JSON, length: 1<<32 - 1, args: displayWidth},

	"geometry":           {typ: Geometry, length: 1<<32 - 1, args: displayWidth},
	"point":              {typ: Geometry, length: 1<<32 - 1, args: displayWidth},
	"linestring":         {typ: Geometry, length: 1<<32 - 1, args: displayWidth},
	"polygon":            {typ: Geometry, length: 1<<32 - 1, args: displayWidth},
	"multipoint":         {typ: Geometry, length: 1<<32 - 1, args: displayWidth},
	"multilinestring":    {typ: Geometry, length: 1<<32 - 1, args: displayWidth},
	"multipolygon":       {typ: Geometry, length: 1<<32 - 1, args: displayWidth},
	"geomcollection":     {typ: Geometry, length: 1<<32 - 1, args: displayWidth},
	"geometrycollection": {typ: Geometry, length: 1<<32 - 1, args: displayWidth},
}

// displayWidth accepts arguments that say nothing about values: int(11), float(7,4).
func displayWidth(*Column, string) error { return nil }

func length(c *Column, args string) error {
	if args == "" {
		return nil
	}
	n, err := strconv.ParseUint(args, 10, 32)
	if err != nil {
		return fmt.Errorf("length %q is no number", args)
	}
	c.Length = uint32(n)
	return nil
}

func precisionScale(c *Column, args string) error {
	c.Precision = 10
	if args == "" {
		return nil
	}
	p, s, both := strings.Cut(args, ",")
	precision, err := strconv.ParseUint(strings.TrimSpace(p), 10, 8)
	if err != nil || precision == 0 || precision > maxPrecision {
		return fmt.Errorf("precision %q is not 1 to %d", p, maxPrecision)
	}
	c.Precision = uint8(precision)
	if !both {
		return nil
	}
	scale, err := strconv.ParseUint(strings.TrimSpace(s), 10, 8)
	if err != nil || scale > precision {
		return fmt.Errorf("scale %q is not 0 to %d", s, precision)
	}
	c.Scale = uint8(scale)
	return nil
}

// DoubtfulLabels says whether c may have a label that is not the server's: information_schema, SHOW COLUMNS and SHOW
// CREATE TABLE all put a question mark for a character beyond the basic plane, such as an emoji, so a label with a
// question mark is either that or damaged. Only binlog_row_metadata=FULL has such labels right. A full load refuses
// labels that the definition lacks; the binlog has numbers only.
func DoubtfulLabels(c *Column) bool {
	switch c.Charset {
	case "utf8mb4", "utf16", "utf16le", "utf32", "gb18030":
		return slices.ContainsFunc(c.Labels, func(label string) bool { return strings.Contains(label, "?") })
	}
	return false
}

func fractionDigits(c *Column, args string) error {
	if args == "" {
		return nil
	}
	n, err := strconv.ParseUint(args, 10, 8)
	if err != nil || n > 6 {
		return fmt.Errorf("fractional digits %q are not 0 to 6", args)
	}
	c.FSP = uint8(n)
	return nil
}

func labels(c *Column, args string) error {
	for s := args; ; {
		label, rest, err := readLabel(s)
		if err != nil {
			return err
		}
		c.Labels = append(c.Labels, label)
		if rest == "" {
			return nil
		}
		if rest[0] != ',' {
			return fmt.Errorf("no comma after label %q", label)
		}
		s = rest[1:]
	}
}

// splitColumnType cuts "decimal(10,2) unsigned" into its name, what stands in the parentheses, and the rest.
// Labels may hold parentheses, so the end is looked for outside quotes.
func splitColumnType(s string) (name, args, rest string, err error) {
	end := strings.IndexAny(s, " (")
	if end < 0 {
		return strings.ToLower(s), "", "", nil
	}
	name = strings.ToLower(s[:end])
	s = strings.TrimLeft(s[end:], " ")
	if !strings.HasPrefix(s, "(") {
		return name, "", strings.ToLower(s), nil
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case ')':
			return name, s[1:i], strings.ToLower(s[i+1:]), nil
		case '\'':
			_, after, err := readLabel(s[i:])
			if err != nil {
				return "", "", "", fmt.Errorf("read column type %q: %w", s, err)
			}
			i = len(s) - len(after) - 1
		}
	}
	return "", "", "", fmt.Errorf("read column type %q: no closing parenthesis", s)
}

// readLabel reads one quoted label at the start of s and returns it without its quotes, and what follows.
// The server doubles quotes and writes backslash, NUL, line feed and carriage return as backslash escapes.
func readLabel(s string) (label, rest string, err error) {
	if !strings.HasPrefix(s, "'") {
		return "", "", fmt.Errorf("no quoted label at %q", s)
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
			b.WriteByte('\'')
		case s[i] == '\'':
			return b.String(), s[i+1:], nil
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(unescape(s[i]))
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", fmt.Errorf("label %q has no closing quote", s)
}

func unescape(c byte) byte {
	switch c {
	case '0':
		return 0
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	}
	return c
}
