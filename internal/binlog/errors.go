package binlog

import (
	"errors"
	"fmt"

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
	// ErrServerChanged is returned by a running Reader when, after a lost connection, another server answers and the
	// position can be found there by GTID: coordinates before and after cannot be compared, so the caller must start anew
	// from its saved position.
	ErrServerChanged = errors.New("another server answers now")
)

// Events that the Reader cannot turn into changes. They come wrapped in an EventError or TableError.
var (
	ErrNotRowFormat = errors.New("a selected table was changed by a statement that was not logged as rows")
	ErrPartialJSON  = errors.New("the row image holds a partial JSON update")
	ErrIncident     = errors.New("the server logged an incident: changes may be missing from its binary log")
	ErrUnknownEvent = errors.New("unknown binary log event")
	ErrXA           = errors.New("an XA transaction with changes of selected tables was prepared")
	ErrCorrupt      = errors.New("the event is damaged")
)

// PositionError is returned when reading cannot start or go on from a position.
type PositionError struct {
	Pos    source.Position
	Detail string // what the server has instead
	Hint   string // what the operator can do
	Err    error
}

func (e *PositionError) Error() string {
	return fmt.Sprintf("read binary log from %s: %v: %s; %s", e.Pos, e.Err, e.Detail, e.Hint)
}

func (e *PositionError) Unwrap() error { return e.Err }

// TableError is returned when the rows of one table cannot be read.
type TableError struct {
	Schema, Name string
	Place        record.Place
	Hint         string
	Err          error
}

func (e *TableError) Error() string {
	return fmt.Sprintf("table %s.%s at %s:%d: %v; %s", e.Schema, e.Name, e.Place.File, e.Place.EventStart, e.Err, e.Hint)
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
	return fmt.Sprintf("%s event at %s:%d: %v; %s", e.Event, e.File, e.Offset, e.Err, e.Hint)
}

func (e *EventError) Unwrap() error { return e.Err }
