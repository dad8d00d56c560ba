package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Rows iterates over the row changes of one rows event.
//
//	for rows.Next() { use rows.Op, rows.Before, rows.After, rows.Place }
//	return rows.Err()
type Rows struct {
	Table  *schema.Table
	Layout *schema.ImageLayout
	Op     record.Operation // Insert, Update or Delete
	Time   time.Time        // commit time of the transaction
	Place  record.Place     // of the current row

	// Before and After hold one raw value per column of Table, nil for NULL; both are overwritten by Next. An insert has
	// no Before, a delete no After.
	Before, After [][]byte

	before, after [][]byte // reused behind Before and After
	image         []byte   // what Next has not read yet
	present       [2][]byte
	rowBase       uint32
	index         uint32
	err           error
}

// Next goes to the next row and reports whether there is one.
func (r *Rows) Next() bool {
	if r.err != nil || len(r.image) == 0 {
		return false
	}
	r.Before, r.After = nil, nil
	if r.Op != record.Insert {
		if r.before, r.err = r.split(r.before, r.present[0]); r.err != nil {
			return false
		}
		r.Before = r.before
	}
	if r.Op != record.Delete {
		if r.after, r.err = r.split(r.after, r.present[1]); r.err != nil {
			return false
		}
		r.After = r.after
	}
	r.Place.Row = r.rowBase + r.index
	r.index++
	return true
}

// split cuts one row image off.
func (r *Rows) split(into [][]byte, present []byte) ([][]byte, error) {
	out, n, err := r.Layout.Split(into, r.image, present)
	if err == nil && (n <= 0 || n > len(r.image)) {
		err = ErrCorrupt
	}
	if err == nil {
		r.image = r.image[n:]
		return out, nil
	}
	return into, r.Fault(err)
}

// forget lets go of the event's memory: the next event may be as large, and both do not fit.
func (r *Rows) forget() {
	clear(r.before[:cap(r.before)])
	clear(r.after[:cap(r.after)])
	r.Before, r.After, r.image, r.present = nil, nil, nil, [2][]byte{}
}

// Fault is the error of a table whose current row cannot be used because of err.
func (r *Rows) Fault(err error) *TableError {
	hint := "find out what damaged the row or made the program misread it"
	if errors.Is(err, schema.ErrPartialImage) {
		hint = "set binlog_row_image=FULL on the server and in every session"
	}
	return &TableError{
		Schema: r.Table.Schema, Name: r.Table.Name, Place: r.Place, Err: err, Hint: hint + ", " + reload(r.Table.Schema, r.Table.Name),
	}
}

// Err is the error that ended the iteration early.
func (r *Rows) Err() error { return r.err }

// rowsHeader is the head of a rows event.
type rowsHeader struct {
	op      record.Operation
	tableID uint64
	columns int
	present [2][]byte // which columns the before and the after image hold
	partial bool      // PARTIAL_UPDATE_ROWS
	image   []byte
}

// dummyTable is the table id of a rows event that only ends a statement.
const dummyTable = 0xffffff

// rowsKind tells the rows events apart.
func rowsKind(k replication.EventType) (op record.Operation, version int, compressed bool) {
	switch k {
	case replication.WRITE_ROWS_EVENTv1, replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1:
		return record.Insert, 1, k != replication.WRITE_ROWS_EVENTv1
	case replication.UPDATE_ROWS_EVENTv1, replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1:
		return record.Update, 1, k != replication.UPDATE_ROWS_EVENTv1
	case replication.DELETE_ROWS_EVENTv1, replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1:
		return record.Delete, 1, k != replication.DELETE_ROWS_EVENTv1
	case replication.WRITE_ROWS_EVENTv2:
		return record.Insert, 2, false
	case replication.UPDATE_ROWS_EVENTv2, replication.PARTIAL_UPDATE_ROWS_EVENT:
		return record.Update, 2, false
	case replication.DELETE_ROWS_EVENTv2:
		return record.Delete, 2, false
	}
	return 0, 0, false
}

// tableIDOf reads the table id, which every rows event and table map begins with.
func tableIDOf(body []byte) (uint64, error) {
	if len(body) < 8 {
		return 0, fmt.Errorf("%w: it has no room for a table id", ErrCorrupt)
	}
	return uint64(binary.LittleEndian.Uint32(body)) | uint64(binary.LittleEndian.Uint16(body[4:]))<<32, nil
}

// parseRows reads the head of a rows event: table id, flags, extra data of version 2, the number of columns and one
// bitmap of present columns per image. The image bytes are left as they are, but for MariaDB's compression.
func parseRows(k replication.EventType, body []byte, f *inflater) (rowsHeader, error) {
	h := rowsHeader{partial: k == replication.PARTIAL_UPDATE_ROWS_EVENT}
	op, version, compressed := rowsKind(k)
	h.op = op
	var err error
	if h.tableID, err = tableIDOf(body); err != nil {
		return h, err
	}
	rest := body[8:]
	if version == 2 {
		if len(rest) < 2 {
			return h, fmt.Errorf("%w: it ends in its head", ErrCorrupt)
		}
		extra := int(binary.LittleEndian.Uint16(rest))
		if extra < 2 || extra > len(rest) {
			return h, fmt.Errorf("%w: %d bytes of extra data do not fit in", ErrCorrupt, extra)
		}
		rest = rest[extra:]
	}
	columns, rest, ok := packedInt(rest)
	if !ok || columns > 4096 {
		return h, fmt.Errorf("%w: it has no sensible number of columns", ErrCorrupt)
	}
	h.columns = int(columns)
	width := (h.columns + 7) / 8
	images := 1
	if op == record.Update {
		images = 2
	}
	if len(rest) < images*width {
		return h, fmt.Errorf("%w: it ends in its head", ErrCorrupt)
	}
	h.present[0], h.present[1] = rest[:width], rest[:width]
	if images == 2 {
		h.present[1] = rest[width : 2*width]
	}
	h.image = rest[images*width:]
	if compressed {
		if h.image, err = f.inflate(h.image); err != nil {
			return h, err
		}
	}
	return h, nil
}

// packedInt reads a length-encoded integer.
func packedInt(b []byte) (n uint64, rest []byte, ok bool) {
	n, rest, null, ok := source.LengthEncoded(b)
	return n, rest, ok && !null
}
