package binlog

import (
	"encoding/binary"
	"fmt"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// tableMapDecoder reads table maps with the client library, which can do so only for a stream whose format it has seen.
type tableMapDecoder struct {
	parser *replication.BinlogParser
}

// newTableMapDecoder takes the body of the stream's format description event, without a checksum behind it.
func newTableMapDecoder(format []byte) (d *tableMapDecoder, err error) {
	defer rescue(&err)
	body := append([]byte(nil), format...)
	body = append(body, 0, 0, 0, 0, 0) // checksums: none; they are checked and cut off before
	d = &tableMapDecoder{parser: replication.NewBinlogParser()}
	_, err = d.parser.Parse(withHeader(replication.FORMAT_DESCRIPTION_EVENT, body))
	return d, err
}

// decode reads a table map whose table id was cut off. The result aliases nothing of raw.
func (d *tableMapDecoder) decode(raw []byte) (m *replication.TableMapEvent, err error) {
	defer rescue(&err)
	body := append(make([]byte, 6, 6+len(raw)), raw...)
	e, err := d.parser.Parse(withHeader(replication.TABLE_MAP_EVENT, body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	m = e.Event.(*replication.TableMapEvent)
	for i, t := range m.ColumnType {
		// MariaDB's compressed columns carry more than the library reads, which puts all columns behind them out of step.
		if t == mariaBlobCompressed || t == mariaVarCharCompressed {
			return nil, fmt.Errorf("column %d has MariaDB's COMPRESSED attribute, which is not supported", i+1)
		}
		_ = m.ColumnMeta[i]
	}
	return m, nil
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
func realType(m *replication.TableMapEvent, i int) byte {
	t := m.ColumnType[i]
	if t == mysql.MYSQL_TYPE_STRING {
		if real := byte(m.ColumnMeta[i] >> 8); real == mysql.MYSQL_TYPE_ENUM || real == mysql.MYSQL_TYPE_SET {
			return real
		}
	}
	return t
}
