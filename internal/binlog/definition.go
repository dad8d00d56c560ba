package binlog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// charsets are the server's collations by number.
type charsets map[uint64]source.Collation

// full reports whether a table map describes its columns completely, so that no other source is needed.
func full(m *tableMap) bool {
	return m.ColumnCount > 0 && len(m.ColumnName) == int(m.ColumnCount)
}

// fits compares the server's present definition of a table with everything that a table map says of its columns. A
// difference means that the definition is not the one that the rows were written with.
func fits(m *tableMap, t *schema.Table, cs charsets) error {
	if len(t.Columns) != int(m.ColumnCount) {
		return fmt.Errorf("%w: it has %d columns, the rows have %d", ErrDefinition, len(t.Columns), m.ColumnCount)
	}
	unsigned, collations, enumCollations := m.UnsignedMap(), m.CollationMap(), m.EnumSetCollationMap()
	enums, sets := m.EnumStrValueMap(), m.SetStrValueMap()
	differs := func(c *schema.Column, have, want any) error {
		return fmt.Errorf("%w: column %s is %v there, the rows have %v", ErrDefinition, c.Name, have, want)
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if len(m.ColumnName) > i && string(m.ColumnName[i]) != c.Name {
			return differs(c, "named so", fmt.Sprintf("%q", m.ColumnName[i]))
		}
		if u, known := unsigned[i]; known && isNumber(c.Type) && u != c.Unsigned {
			return differs(c, signName(c.Unsigned), signName(u))
		}
		for _, m := range []map[int]uint64{collations, enumCollations} {
			if id, known := m[i]; known && cs[id].Charset != "" && charsetOf(c) != "" && cs[id].Charset != charsetOf(c) {
				return differs(c, charsetOf(c), cs[id].Charset)
			}
		}
		for _, labels := range []map[int][]string{enums, sets} {
			l, known := labels[i]
			if !known {
				continue
			}
			decoded, err := decodeLabels(l, cs[enumCollations[i]])
			if err == nil && !slices.Equal(decoded, c.Labels) {
				return differs(c, c.Labels, decoded)
			}
		}
	}
	// MariaDB calls a unique key that stands in for a primary key one.
	primary := t.KeyKind == schema.PrimaryKey || t.KeyKind == schema.UniqueKey && m.mariaDB
	if full(m) && primary != (len(m.PrimaryKey) > 0) {
		return fmt.Errorf("%w: only one of it and the rows has a primary key", ErrDefinition)
	}
	if primary && full(m) && !slices.Equal(t.Key, primaryKey(m)) {
		return fmt.Errorf("%w: its primary key has columns %v, the rows' has %v", ErrDefinition, t.Key, primaryKey(m))
	}
	return nil
}

// charsetOf is the character set that a table map names for a column; "" if that cannot be told.
func charsetOf(c *schema.Column) string {
	switch c.Type {
	case schema.Binary, schema.VarBinary, schema.Blob, schema.Vector, schema.UUID, schema.Inet4, schema.Inet6:
		return "binary"
	}
	return c.Charset
}

func signName(unsigned bool) string {
	if unsigned {
		return "unsigned"
	}
	return "signed"
}

func isNumber(t schema.Type) bool { return t >= schema.TinyInt && t <= schema.Double }

func primaryKey(m *tableMap) []int {
	var key []int
	for _, i := range m.PrimaryKey {
		key = append(key, int(i))
	}
	return key
}

// fromTableMap makes a definition out of a table map with full metadata alone: the table may have changed since, or be
// gone. A unique key that stands in for a primary one is not in the log. What MariaDB leaves out is taken over from base,
// the present definition if there is one, where that has a column of the same name.
func fromTableMap(m *tableMap, base *schema.Table, cs charsets) (*schema.Table, error) {
	t := &schema.Table{Schema: string(m.Schema), Name: string(m.Table)}
	columns, visible := columnsOf(m), m.VisibilityMap()
	for i := range m.ColumnType {
		collation, labels := columns.text(i, cs)
		labels, err := decodeLabels(labels, collation)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", m.ColumnName[i], err)
		}
		text, err := columnType(m, i, columns.unsigned[i], collation, labels)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", m.ColumnName[i], err)
		}
		c, err := schema.ParseColumnType(text)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", m.ColumnName[i], err)
		}
		c.Name, c.ColumnType = string(m.ColumnName[i]), text
		_, c.Nullable = m.Nullable(i)
		if v, known := visible[i]; known {
			c.Invisible = !v
		}
		if m.mariaDB {
			if err := takeOver(&c, base); err != nil {
				return nil, err
			}
		}
		if !isBinary(c.Type) && collation.Charset != "" && collation.Charset != "binary" {
			c.Charset, c.Collation = collation.Charset, collation.Name
		}
		t.Columns = append(t.Columns, c)
	}
	if key := primaryKey(m); len(key) > 0 {
		t.Key, t.KeyKind = key, schema.PrimaryKey
	}
	return t, nil
}

func isBinary(t schema.Type) bool {
	return t == schema.Binary || t == schema.VarBinary || t == schema.Blob || t == schema.Geometry || t == schema.JSON || t == schema.Bit
}

// hasHiddenTypes reports whether a column may be of a type that MariaDB's log shows as BINARY.
func hasHiddenTypes(m *tableMap) bool {
	collations := m.CollationMap()
	for i := range m.ColumnType {
		length := (m.ColumnMeta[i]>>4)&0x300 ^ 0x300 + m.ColumnMeta[i]&0xff
		if realType(m, i) == mysql.MYSQL_TYPE_STRING && (length == 16 || length == 4) && (collations[i] == 63 || collations[i] == 0) {
			return true
		}
	}
	return false
}

// columnType writes the type of column i as information_schema would.
func columnType(m *tableMap, i int, unsigned bool, c source.Collation, labels []string) (string, error) {
	meta := m.ColumnMeta[i]
	binary := c.Charset == "binary" || c.Charset == ""
	number := func(s string) (string, error) {
		if unsigned {
			s += " unsigned"
		}
		return s, nil
	}
	fraction := func(s string) (string, error) {
		if meta > 0 {
			return fmt.Sprintf("%s(%d)", s, meta), nil
		}
		return s, nil
	}
	compressed := func(s string, err error) (string, error) { return s + " /*M!100301 COMPRESSED*/", err }
	sized := func(bytes int, text, bin string) (string, error) {
		if binary {
			return fmt.Sprintf("%s(%d)", bin, bytes), nil
		}
		return fmt.Sprintf("%s(%d)", text, bytes/max(c.MaxLen, 1)), nil
	}
	switch t := realType(m, i); t {
	case mysql.MYSQL_TYPE_TINY:
		return number("tinyint")
	case mysql.MYSQL_TYPE_SHORT:
		return number("smallint")
	case mysql.MYSQL_TYPE_INT24:
		return number("mediumint")
	case mysql.MYSQL_TYPE_LONG:
		return number("int")
	case mysql.MYSQL_TYPE_LONGLONG:
		return number("bigint")
	case mysql.MYSQL_TYPE_FLOAT:
		return number("float")
	case mysql.MYSQL_TYPE_DOUBLE:
		return number("double")
	case mysql.MYSQL_TYPE_NEWDECIMAL:
		return number(fmt.Sprintf("decimal(%d,%d)", meta>>8, meta&0xff))
	case mysql.MYSQL_TYPE_BIT:
		return fmt.Sprintf("bit(%d)", meta>>8*8+meta&0xff), nil
	case mysql.MYSQL_TYPE_DATE, mysql.MYSQL_TYPE_NEWDATE:
		return "date", nil
	case mysql.MYSQL_TYPE_TIMESTAMP, mysql.MYSQL_TYPE_TIMESTAMP2:
		return fraction("timestamp")
	case mysql.MYSQL_TYPE_DATETIME, mysql.MYSQL_TYPE_DATETIME2:
		return fraction("datetime")
	case mysql.MYSQL_TYPE_TIME, mysql.MYSQL_TYPE_TIME2:
		return fraction("time")
	case mysql.MYSQL_TYPE_YEAR:
		return "year", nil
	case mysql.MYSQL_TYPE_VARCHAR, mysql.MYSQL_TYPE_VAR_STRING:
		return sized(int(meta), "varchar", "varbinary")
	case mysql.MYSQL_TYPE_STRING:
		// Lengths over 255 keep their two upper bits, inverted, in the byte of the type.
		return sized(int((meta>>4)&0x300^0x300+meta&0xff), "char", "binary")
	case mysql.MYSQL_TYPE_BLOB:
		return lobType(meta, binary)
	case mariaVarCharCompressed:
		return compressed(sized(int(meta)-1, "varchar", "varbinary"))
	case mariaBlobCompressed:
		return compressed(lobType(meta, binary))
	case mysql.MYSQL_TYPE_ENUM:
		return "enum(" + labelList(labels) + ")", nil
	case mysql.MYSQL_TYPE_SET:
		return "set(" + labelList(labels) + ")", nil
	case mysql.MYSQL_TYPE_JSON:
		return "json", nil
	case mysql.MYSQL_TYPE_GEOMETRY:
		return "geometry", nil
	case mysql.MYSQL_TYPE_VECTOR:
		return "vector", nil
	default:
		return "", fmt.Errorf("column type %d is not known", t)
	}
}

// lobType is the TEXT or BLOB type whose length takes so many bytes.
func lobType(bytes uint16, binary bool) (string, error) {
	sizes := []string{"tiny", "", "medium", "long"}
	if bytes < 1 || int(bytes) > len(sizes) {
		return "", fmt.Errorf("%w: a BLOB with %d bytes of length", ErrCorrupt, bytes)
	}
	if binary {
		return sizes[bytes-1] + "blob", nil
	}
	return sizes[bytes-1] + "text", nil
}

// takeOver makes up for what MariaDB's table maps do not say, with what base says of its column of the same name: they
// describe UUID, INET4 and INET6 as BINARY, YEAR(2) as YEAR, and do not tell which columns are generated. Where base has no
// such column, nothing tells which type a BINARY was.
func takeOver(c *schema.Column, base *schema.Table) error {
	address := c.Type == schema.Binary && (c.Length == 16 || c.Length == 4)
	i := -1
	if base != nil {
		i = slices.IndexFunc(base.Columns, func(b schema.Column) bool { return b.Name == c.Name })
	}
	if i < 0 {
		if !address {
			return nil
		}
		return fmt.Errorf("%w: column %s was %s or one of UUID, INET4 and INET6, which rows do not tell apart, and the table has no "+
			"such column any more", ErrDefinition, c.Name, strings.ToUpper(c.ColumnType))
	}
	b := &base.Columns[i]
	c.Generated, c.Unlogged = b.Generated, b.Unlogged
	size := map[schema.Type]uint32{schema.UUID: 16, schema.Inet6: 16, schema.Inet4: 4}[b.Type]
	if address && size == c.Length || c.Type == schema.Year && b.Type == schema.Year {
		c.Type, c.ColumnType, c.Length = b.Type, b.ColumnType, b.Length
	}
	return nil
}

func labelList(labels []string) string {
	quoted := make([]string, len(labels))
	for i, l := range labels {
		quoted[i] = "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(l) + "'"
	}
	return strings.Join(quoted, ",")
}

// sameDefinition reports whether rows written with a and b get the same names and values.
func sameDefinition(a, b *schema.Table) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Schema == b.Schema && a.Name == b.Name && a.KeyKind == b.KeyKind && slices.Equal(a.Key, b.Key) &&
		slices.EqualFunc(a.Columns, b.Columns, func(x, y schema.Column) bool {
			lx, ly := x.Labels, y.Labels
			x.Labels, y.Labels = nil, nil
			return fmt.Sprint(x) == fmt.Sprint(y) && slices.Equal(lx, ly)
		})
}
