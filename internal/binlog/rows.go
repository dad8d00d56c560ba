package binlog

import (
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
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

	image []byte
	err   error
}

// Next goes to the next row and reports whether there is one.
func (r *Rows) Next() bool { return false }

// Err is the error that ended the iteration early.
func (r *Rows) Err() error { return r.err }
