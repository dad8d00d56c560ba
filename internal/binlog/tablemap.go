package binlog

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// tableMap is a table map as the client library reads it. The library does not know MariaDB's compressed columns, nor that
// MySQL lists a character set for VECTOR ones: it is shown others of the same metadata in their place, for it finds the
// character set of a column by counting.
type tableMap struct {
	*replication.TableMapEvent
	ColumnType []byte // as they stand in the log
	mariaDB    bool   // MariaDB wrote it
}

// tableMapDecoder reads table maps with the client library, which can do so only for a stream whose format it has seen.
type tableMapDecoder struct {
	parser  *replication.BinlogParser
	mariaDB bool
}

// newTableMapDecoder takes the body of the stream's format description event, without a checksum behind it.
func newTableMapDecoder(format []byte) (d *tableMapDecoder, err error) {
	defer rescue(&err)
	body := append([]byte(nil), format...)
	body = append(body, 0, 0, 0, 0, 0) // checksums: none; they are checked and cut off before
	d = &tableMapDecoder{parser: replication.NewBinlogParser(), mariaDB: bytes.Contains(format[:min(len(format), 52)], []byte("MariaDB"))}
	if d.mariaDB {
		d.parser.SetFlavor(mysql.MariaDBFlavor) // it counts columns with a character set in another way
	}
	_, err = d.parser.Parse(withHeader(replication.FORMAT_DESCRIPTION_EVENT, body))
	return d, err
}

// decode reads a table map whose table id was cut off. The result aliases nothing of raw.
func (d *tableMapDecoder) decode(raw []byte) (m *tableMap, err error) {
	defer rescue(&err)
	body := append(make([]byte, 6, 6+len(raw)), raw...)
	types, err := columnTypes(body)
	if err != nil {
		return nil, err
	}
	m = &tableMap{ColumnType: bytes.Clone(types), mariaDB: d.mariaDB}
	for i, t := range types {
		switch t {
		case mariaBlobCompressed, mysql.MYSQL_TYPE_VECTOR:
			types[i] = mysql.MYSQL_TYPE_BLOB
		case mariaVarCharCompressed:
			types[i] = mysql.MYSQL_TYPE_VARCHAR
		}
	}
	e, err := d.parser.Parse(withHeader(replication.TABLE_MAP_EVENT, body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	m.TableMapEvent = e.Event.(*replication.TableMapEvent)
	return m, m.check()
}

// columnTypes finds the column types in a table map, and sees that the lists behind them are no longer than it is: the
// library makes room for as many entries as a list claims to have.
func columnTypes(body []byte) ([]byte, error) {
	names, _, _, ok := namesOf(body)
	if !ok {
		return nil, fmt.Errorf("%w: it ends in the table's name", ErrCorrupt)
	}
	count, rest, ok := packedInt(body[8+len(names):])
	if !ok || count > uint64(len(rest)) {
		return nil, fmt.Errorf("%w: %d columns do not fit in", ErrCorrupt, count)
	}
	types, rest := rest[:count], rest[count:]
	size, rest, ok := packedInt(rest)
	if nulls := (count + 7) / 8; !ok || size+nulls > uint64(len(rest)) {
		return nil, fmt.Errorf("%w: it ends in its columns", ErrCorrupt)
	} else {
		rest = rest[size+nulls:]
	}
	for len(rest) > 0 {
		kind := rest[0]
		size, value, ok := packedInt(rest[1:])
		if !ok || size > uint64(len(value)) {
			return nil, fmt.Errorf("%w: it ends in its metadata", ErrCorrupt)
		}
		value, rest = value[:size], value[size:]
		if kind != replication.TABLE_MAP_OPT_META_SET_STR_VALUE && kind != replication.TABLE_MAP_OPT_META_ENUM_STR_VALUE {
			continue
		}
		if err := checkLabels(value); err != nil {
			return nil, err
		}
	}
	return types, nil
}

// checkLabels walks through lists of labels: for each a count, then length and bytes of each label.
func checkLabels(v []byte) error {
	for len(v) > 0 {
		n, rest, ok := packedInt(v)
		for ; ok && n > 0; n-- {
			var size uint64
			if size, rest, ok = packedInt(rest); ok {
				if ok = size <= uint64(len(rest)); ok {
					rest = rest[size:]
				}
			}
		}
		if !ok {
			return fmt.Errorf("%w: its labels do not fit in", ErrCorrupt)
		}
		v = rest
	}
	return nil
}

// check asks for everything once that is asked for later, so that a list that is too short is noticed here.
func (m *tableMap) check() error {
	if int(m.ColumnCount) != len(m.ColumnMeta) || int(m.ColumnCount) != len(m.ColumnType) || m.ColumnCount == 0 {
		return fmt.Errorf("%w: it has %d columns, %d types and %d metadata", ErrCorrupt, m.ColumnCount, len(m.ColumnType), len(m.ColumnMeta))
	}
	for _, i := range m.PrimaryKey {
		if i >= m.ColumnCount {
			return fmt.Errorf("%w: its primary key has column %d of %d", ErrCorrupt, i, m.ColumnCount)
		}
	}
	m.UnsignedMap()
	m.CollationMap()
	m.EnumSetCollationMap()
	m.EnumStrValueMap()
	m.SetStrValueMap()
	m.VisibilityMap()
	return nil
}

const (
	mariaBlobCompressed    = 140
	mariaVarCharCompressed = 141
)

// withHeader puts an event header in front of a body.
func withHeader(k replication.EventType, body []byte) []byte {
	b := make([]byte, eventHeader, eventHeader+len(body))
	b[4] = byte(k)
	binary.LittleEndian.PutUint32(b[9:], uint32(eventHeader+len(body)))
	return append(b, body...)
}

// rescue turns a panic of the client library over a damaged event into an error.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrCorrupt, p)
	}
}

// realType is the column's type, with the one that hides in a STRING's metadata.
func realType(m *tableMap, i int) byte {
	t := m.ColumnType[i]
	if t == mysql.MYSQL_TYPE_STRING {
		if real := byte(m.ColumnMeta[i] >> 8); real == mysql.MYSQL_TYPE_ENUM || real == mysql.MYSQL_TYPE_SET {
			return real
		}
	}
	return t
}

// mapColumns is what a table map's metadata says of its columns, by their index.
type mapColumns struct {
	unsigned                   map[int]bool
	collations, enumCollations map[int]uint64
	enums, sets                map[int][]string
}

func columnsOf(m *tableMap) mapColumns {
	return mapColumns{m.UnsignedMap(), m.CollationMap(), m.EnumSetCollationMap(), m.EnumStrValueMap(), m.SetStrValueMap()}
}

// text is a column's collation, and its labels where it is an ENUM or a SET, in the bytes of the log.
func (c *mapColumns) text(i int, cs charsets) (source.Collation, []string) {
	collation, labels := cs[c.collations[i]], c.enums[i]
	if id, ok := c.enumCollations[i]; ok {
		collation = cs[id]
	}
	if labels == nil {
		labels = c.sets[i]
	}
	return collation, labels
}
