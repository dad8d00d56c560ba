package snapshot

import (
	"errors"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// definitionError marks a definition that no retry makes readable.
type definitionError struct{ err error }

func (e *definitionError) Error() string { return e.err.Error() }
func (e *definitionError) Unwrap() error { return e.err }

// MySQL error codes that say something about the statement and not about the weather.
const (
	erBadField          = 1054
	erKeyDoesNotExist   = 1176
	erTableDefChanged   = 1412
	erDBAccessDenied    = 1044
	erTableAccessDenied = 1142
	erColumnAccess      = 1143
	erAccessDenied      = 1227
)

func code(err error) uint16 {
	if my, ok := errors.AsType[*mysql.MyError](err); ok {
		return my.Code
	}
	return 0
}

// definitionChanged says that the statement did not fit the table any more.
func definitionChanged(err error) bool {
	switch code(err) {
	case erBadField, erKeyDoesNotExist, erTableDefChanged:
		return true
	}
	return false
}

// connectError says that the source was not reached. Even where it refuses us this is nothing of the table's: we were
// welcome when the task began, so it may be a password that is just being changed.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// permanent says that trying again cannot help.
func permanent(err error) bool {
	if _, ok := errors.AsType[*connectError](err); ok {
		return false
	}
	if _, ok := errors.AsType[*definitionError](err); ok || source.IsNoTable(err) || errors.Is(err, source.ErrHidden) || source.Refused(err) {
		return true
	}
	switch code(err) {
	case erDBAccessDenied, erTableAccessDenied, erColumnAccess, erAccessDenied, erBadField, erKeyDoesNotExist:
		return true
	}
	return false
}

// final says that trying again cannot help: the table, or the whole load where another server answers.
func final(err error) bool { return permanent(err) || errors.Is(err, source.ErrServerChanged) }

// pauses are those between attempts to read from a source that is away.
var pauses = backoff.Pauses{First: 100 * time.Millisecond, Longest: 10 * time.Second}
