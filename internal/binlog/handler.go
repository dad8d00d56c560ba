package binlog

import (
	"context"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Handler receives what the Reader reads. All methods are called by the goroutine that called Reader.Run, one at a time
// and in binlog order. Each may block for as long as it likes: that is the back-pressure, the server keeps the log. An
// error ends Run, which returns it.
type Handler interface {
	// Begin is called once for every transaction that has rows of a selected table, right before the first Rows. tx is
	// valid until the transaction's Commit has returned, whatever becomes of the connection in between.
	Begin(ctx context.Context, tx *record.Transaction) error

	// Rows is called for every rows event of a selected table. rows and all that it points to, except Table and Layout,
	// are valid until the transaction's Commit has returned, also where the
	// connection breaks in between. An error that is, or wraps, a *TableError is not the Handler's but the table's:
	// TableFailed is called with it. So is rows.Err(), returned or not.
	Rows(ctx context.Context, rows *Rows) error

	// Commit is called after every transaction, also those without selected rows, after DDL, and, with Idle set, when
	// the log moved on or a heartbeat came without a transaction.
	Commit(ctx context.Context, b Boundary) error

	// Schema is called when a statement changed a selected table (Table definitions not looked at yet), and again with
	// New set when the next rows show the definition that they are written with.
	Schema(ctx context.Context, c SchemaChange) error

	// TableFailed is called when the rows of one table cannot be read, if need be in the middle of a transaction and after
	// some rows of the event at e.Place were handed over, but also before Begin. If it returns nil, nothing more of the
	// table is handed over, and everything else goes on; an error, as a rule e itself, ends Run. The table is tried again
	// when its table map changes, after DDL on it, and when Reader.Retry says so: rows that come then follow a gap.
	TableFailed(ctx context.Context, e *TableError) error
}

// Boundary is a place in the log at which no transaction is open: reading can start there.
type Boundary struct {
	File      string
	Offset    uint64    // offset just behind the transaction
	FileBegan int64     // when the server began the file, in Unix seconds; 0 if that is not known yet
	GTID      string    // the transaction that was just completed; "" if it has none, or if Idle
	Time      time.Time // commit time of the transaction; for an idle boundary, when it arrived here
	Idle      bool      // no transaction: a heartbeat or a new log file
}

// Position is the boundary without a GTID set, which the caller keeps with a GTIDSet of its own.
func (b Boundary) Position() source.Position {
	return source.Position{File: b.File, Offset: b.Offset, FileBegan: b.FileBegan}
}

// ChangeKind says what happened to a table's definition.
type ChangeKind uint8

// The kinds of schema change.
const (
	Created    ChangeKind = iota + 1 // CREATE TABLE
	Altered                          // ALTER TABLE, CREATE or DROP INDEX
	Dropped                          // DROP TABLE
	Renamed                          // RENAME TABLE, ALTER TABLE ... RENAME
	Truncated                        // TRUNCATE TABLE: the rows are gone, the definition stays
	Definition                       // rows follow that are written with New; Old is what came before them, nil if nothing did
)

// SchemaChange tells of one selected table. Of a rename, one change is told if either name is selected; of a statement
// that names several tables, one for each, in its order.
type SchemaChange struct {
	Kind               ChangeKind
	Schema, Name       string
	NewSchema, NewName string // of Renamed
	Statement          string // the DDL statement; "" for Definition

	// RowsChanged: rows came, went or moved between tables without being logged, so that only a reload tells which. It is
	// also set where a table that was not selected got a selected name.
	RowsChanged bool

	// Swap, of Renamed: the same statement gave the old name to another table, or took the new one from another, as
	// online schema change tools do at their end.
	Swap bool

	// Conditional, of Created: the statement said IF NOT EXISTS, and is logged also where the table was there.
	Conditional bool

	// Whole, of Dropped: the whole schema went, and Name is "". It comes behind the changes of the tables that the Reader
	// has seen, and is about all others.
	Whole bool

	Old, New *schema.Table
	Place    record.Place // of the statement's event, or of the table map
	GTID     string
	Time     time.Time
}
