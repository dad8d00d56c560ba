package schema

import (
	"errors"
	"fmt"
)

// ErrPartialImage is returned when a row image leaves columns out: the server writes binlog_row_image=MINIMAL or
// NOBLOB, at least in that session, and a change without all its columns is not a whole record.
var ErrPartialImage = errors.New("the row image leaves columns out")

// ErrCorrupt is returned when bytes from the server are no value of their column's type: they end early, or hold
// something that the type cannot.
var ErrCorrupt = errors.New("corrupt value")

// ErrUnsupported is returned for a column of a type that is not known here, so that nobody waits for it to go away.
var ErrUnsupported = errors.New("the type is not supported yet; leave the table out, or convert the column to a type that is")

func unsupported(columnType string) error {
	return fmt.Errorf("type %q: %w", columnType, ErrUnsupported)
}

// MismatchError is returned when a table map event does not describe the table as the definition does, so that
// its rows cannot be given names without guessing.
type MismatchError struct {
	Table  string // schema.table
	Column string // "" when the number of columns differs
	Reason string
}

func (e *MismatchError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("table %s: the binlog and the known table definition differ: %s", e.Table, e.Reason)
	}
	return fmt.Sprintf("table %s: the binlog and the known table definition differ in column %s: %s", e.Table, e.Column, e.Reason)
}

// ColumnError is returned when a column, or one value in it, cannot be rendered.
type ColumnError struct {
	Table  string // schema.table
	Column string
	Err    error
}

func (e *ColumnError) Error() string {
	return fmt.Sprintf("table %s, column %s: %v", e.Table, e.Column, e.Err)
}

func (e *ColumnError) Unwrap() error { return e.Err }

// CharsetError is returned when a character column holds bytes that its character set does not define, or has a
// character set that nothing here can decode.
type CharsetError struct {
	Charset string
	Value   []byte // a copy of the offending bytes; nil when the character set itself is the trouble
}

func (e *CharsetError) Error() string {
	if e.Value == nil {
		return fmt.Sprintf("there is no decoder for character set %q; leave the column out, or convert it to utf8mb4 on the server", e.Charset)
	}
	return fmt.Sprintf("the value holds the bytes %x, which character set %s does not define; correct the row on the server, "+
		"or give the column a binary type or the character set that its bytes are really in", e.Value, e.Charset)
}

// corrupt is an ErrCorrupt that says what is wrong with the value.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
