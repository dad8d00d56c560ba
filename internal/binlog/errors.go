package binlog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Why reading cannot start or go on at a position. They come wrapped in a PositionError.
var (
	// ErrPurged is returned when the server no longer has the log that follows the position.
	ErrPurged = errors.New("the binary log after this position has been purged")
	// ErrOtherServer is returned when the position was taken on another server and has no GTID set to find its place here.
	ErrOtherServer = errors.New("the position belongs to another server")
	// ErrAhead is returned when the position lies behind everything that the server has: it was reset, restored from a
	// backup, or replaced by a replica that had not caught up.
	ErrAhead = errors.New("the position is ahead of the server")
	// ErrOtherLog is returned when the server has another log under the name of the file that the position is in: it was
	// reset, or restored from a backup.
	ErrOtherLog = errors.New("the server's binary log is not the one that was read")
	// ErrReplaced is returned when the server ended the dump in favour of another replica with the same server id.
	ErrReplaced = errors.New("another replica with the same server id has connected")
	// ErrNoPlace is returned for a position that says nothing that this server understands.
	ErrNoPlace = errors.New("the position names no place in this server's log")
	// ErrNoLog is returned when the server keeps no binary log.
	ErrNoLog = errors.New("the server keeps no binary log")
)

// Events that the Reader cannot turn into changes. They come wrapped in an EventError or TableError.
var (
	ErrNotRowFormat = errors.New("rows were changed by a statement that was not logged as rows")
	ErrPartialJSON  = errors.New("the row image holds a partial JSON update")
	ErrIncident     = errors.New("the server logged an incident: changes may be missing from its binary log")
	ErrUnknownEvent = errors.New("unknown event")
	ErrXA           = errors.New("its rows were changed by an XA transaction that was prepared")
	ErrRolledBack   = errors.New("rows that were logged have been rolled back")
	ErrInside       = errors.New("a transaction ends here whose beginning was not read: the position that reading started from is within it")
	ErrCorrupt      = errors.New("the event is damaged")
	ErrDefinition   = errors.New("the table's definition does not fit its rows")
	ErrTooLarge     = errors.New("the event is too large to be held in memory")
)

const (
	hintPurged = "load the tables again from the present position, and keep the log longer (binlog_expire_logs_seconds; " +
		"on RDS: call mysql.rds_set_configuration('binlog retention hours', n))"
	hintAhead = "if the server was reset, restored or replaced, load the tables again from its present position; " +
		"if a replica is still catching up, wait and start again"
	hintOtherLog = "the server was reset or restored from a backup: load the tables again from its present position, with an empty checkpoint.store"
	hintTooLarge = "a record of a stream has room for 10 MiB; leave the table out, or, if the event holds many rows, lower binlog_row_event_max_size"
	hintReload   = "start from a position behind it and load the table again, or leave the table out"
)

// PositionError is returned when reading cannot start or go on from a position.
type PositionError struct {
	Pos    source.Position
	Detail string // what the server has instead
	Hint   string // what the operator can do
	Err    error
}

func (e *PositionError) Error() string {
	s := fmt.Sprintf("read binary log from %s: %v", e.Pos, e.Err)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s + "; " + e.Hint
}

func (e *PositionError) Unwrap() error { return e.Err }

// TableError says why the rows of one table cannot be read, from which place on, and what the operator can do.
type TableError struct {
	Schema, Name string
	Place        record.Place
	Expected     []string // the columns of the definition, where that is what does not fit
	Found        []string // the columns that the log says the rows have
	Hint         string
	Err          error
}

func (e *TableError) Error() string {
	s := fmt.Sprintf("table %s.%s at %s:%d: %v", e.Schema, e.Name, e.Place.File, e.Place.EventStart, e.Err)
	if len(e.Expected) > 0 || len(e.Found) > 0 {
		s += fmt.Sprintf(" (expected columns: %s; found: %s)", columnList(e.Expected), columnList(e.Found))
	}
	return s + "; " + e.Hint
}

// maxListed bounds the columns that a message lists; the fields hold them all.
const maxListed = 40

func columnList(columns []string) string {
	switch {
	case len(columns) == 0:
		return "none"
	case len(columns) > maxListed:
		return fmt.Sprintf("%s, and %d more", strings.Join(columns[:maxListed], ", "), len(columns)-maxListed)
	}
	return strings.Join(columns, ", ")
}

// reload is the cure for a table that has missed rows.
func reload(schema, name string) string {
	return fmt.Sprintf("then load the table again: binlogstreamer reload-table %s.%s", schema, name)
}

func (e *TableError) Unwrap() error { return e.Err }

// EventError is returned when an event that belongs to no single table cannot be read.
type EventError struct {
	Event  string // type of the event
	File   string
	Offset uint64
	Hint   string
	Err    error
}

func (e *EventError) Error() string {
	return fmt.Sprintf("%s at %s:%d: %v; %s", e.Event, e.File, e.Offset, e.Err, e.Hint)
}

func (e *EventError) Unwrap() error { return e.Err }

// handlerError marks what the Handler returned, so that it is not taken for a fault of the connection.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }
func (e *handlerError) Unwrap() error { return e.err }

func handled(err error) error {
	if err == nil {
		return nil
	}
	return &handlerError{err}
}
