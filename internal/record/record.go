// Package record writes and reads the DMS envelope: the JSON bytes of data and control records, their partition
// keys, and the coordinates they carry. It is pure: no clock, no I/O. The same input gives the same bytes.
//
// Writing starts with a Plan, made once per table version, in which every byte that does not depend on the row is
// rendered beforehand; Plan.Append then only copies these runs and the values between them, and allocates nothing.
// Reading is Parse, which looks at a record's metadata and leaves its data alone.
package record

import (
	"fmt"
	"time"
)

// Operation is what a data record says happened to a row.
type Operation uint8

// The operations of data records.
const (
	Load Operation = iota + 1
	Insert
	Update
	Delete
)

var operationNames = [...]string{Load: "load", Insert: "insert", Update: "update", Delete: "delete"}

// String is the operation as records spell it.
func (o Operation) String() string {
	if o.valid() {
		return operationNames[o]
	}
	return fmt.Sprintf("operation(%d)", uint8(o))
}

func (o Operation) valid() bool { return o >= Load && o <= Delete }

// Place says where one row change stands in the binlog.
type Place struct {
	File          string // binlog file name
	TableMapStart uint64 // offset of the table map event that the change was read with
	EventStart    uint64 // offset of the rows event
	EventEnd      uint64 // offset just behind the rows event
	Row           uint32 // 0-based index of the row (of the before/after pair for updates) in its event
}

// Transaction is what is known of a source transaction when its rows are read.
type Transaction struct {
	ID         uint64    // numeric suffix of the binlog file << 32 | offset of the BEGIN event
	GTID       string    // "" where the source has none
	CommitTime time.Time // as the binlog says: microseconds where the source logs them, else whole seconds
}

// Stamp is everything in a change record's metadata that does not follow from its table and row. Load records
// use Time, Term, Epoch and Sequence only.
type Stamp struct {
	Time           time.Time // when the record is built
	Tx             *Transaction
	RecordID       uint64 // 1-based index of the record in its transaction
	PrevTxID       uint64 // the previous captured transaction; 0: none was seen yet, keys are left out
	PrevTxRecordID uint64 // the last record id of that transaction
	Place          Place
	Term           uint64 // writer-term; 0: left out (together with source-epoch)
	Epoch          uint64 // source-epoch
	Sequence       uint64 // writer-sequence of a load record with a Term; 0: left out
	Memo           *Memo  // nil, or what the stamps of this goroutine share: it makes Append faster and changes no byte
}
