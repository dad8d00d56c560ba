package binlog

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Start is where an operator wants reading to begin: a place in a log file, a set of transactions, or a time. The zero
// value says nothing. Locate finds it on a server.
type Start struct {
	File    string // its base name may be $, which stands for the server's own
	Offset  uint64
	Inside  *Inside // File and Offset lie in a transaction of which a part was done
	GTIDSet string
	Flavor  source.Flavor // of GTIDSet
	Time    time.Time
}

// Inside is the change that a DMS checkpoint was taken behind.
type Inside struct {
	Transaction uint64 // its id: file number << 32 + offset of BEGIN
	EventStart  uint64
	Row         uint32
}

// IsSet reports whether a start was given.
func (s Start) IsSet() bool { return s.File != "" || s.GTIDSet != "" || !s.Time.IsZero() }

// String is the start as ParseStart reads it.
func (s Start) String() string {
	switch in := s.Inside; {
	case in != nil:
		return fmt.Sprintf("checkpoint:V1#1#%s:%d:%d:%d:%d:%[1]s:%[2]d#0#0#*#0#0", s.File, in.EventStart, in.Row, s.Offset, in.Transaction)
	case s.File != "":
		return s.File + ":" + strconv.FormatUint(s.Offset, 10)
	case !s.Time.IsZero():
		return s.Time.Format(time.RFC3339Nano)
	}
	return s.GTIDSet
}

var (
	logFileName   = regexp.MustCompile(`^[^/:\\\x00-\x20#]+\.\d{6,10}$`)
	mariaGTIDs    = regexp.MustCompile(`^\d+-\d+-\d+(,\d+-\d+-\d+)*$`)
	mysqlGTIDs    = regexp.MustCompile(`^[0-9a-fA-F]{8}-`)
	dmsCheckpoint = regexp.MustCompile(`^checkpoint:V\d+#\d+#([^#]+)#`)
)

var (
	errStart = errors.New("is not a position: write file:offset (mysql-bin.000024:373), a GTID set, a DMS checkpoint, " +
		"or a time in UTC such as 2026-11-23T08:00:00")
	errCheckpoint = errors.New("is not a DMS checkpoint that can be read: copy RecoveryCheckpoint whole, or write file:offset instead")
)

// ParseStart reads a start position in any form that DMS takes, or a GTID set. Space does not matter but in a time.
func ParseStart(text string) (Start, error) {
	s := strings.Join(strings.Fields(text), "")
	switch {
	case s == "":
		return Start{}, nil
	case strings.HasPrefix(s, "checkpoint:"):
		return parseCheckpoint(s)
	case mariaGTIDs.MatchString(s):
		return parseStartSet(source.MariaDB, s)
	case mysqlGTIDs.MatchString(s):
		return parseStartSet(source.MySQL, s)
	}
	if t, err := ParseTime(strings.TrimSpace(text)); err == nil {
		return Start{Time: t}, nil
	}
	file, offset, _ := strings.Cut(s, ":")
	return parseCoordinate(file, offset)
}

func parseStartSet(flavor source.Flavor, text string) (Start, error) {
	set, err := ParseGTIDSet(flavor, text)
	if err != nil {
		return Start{}, err
	}
	return Start{GTIDSet: set.String(), Flavor: flavor}, nil
}

func parseCoordinate(file, offset string) (Start, error) {
	n, err := strconv.ParseUint(offset, 10, 63)
	if err != nil || !logFileName.MatchString(file) {
		return Start{}, errStart
	}
	return Start{File: file, Offset: max(n, fileHeader)}, nil
}

// parseCheckpoint takes the place out of checkpoint:V1#27#file:start:row:end:transaction:file:table map#0#0#*#0#93. The
// row index -1 says that start and end are those of a commit; any other one is the row behind which the task stopped.
func parseCheckpoint(text string) (Start, error) {
	m := dmsCheckpoint.FindStringSubmatch(text)
	if m == nil {
		return Start{}, errCheckpoint
	}
	fields := strings.Split(m[1], ":")
	if len(fields) < 4 {
		return Start{}, errCheckpoint
	}
	s, err := parseCoordinate(fields[0], fields[3])
	if err != nil {
		return Start{}, errCheckpoint
	}
	if fields[2] == "-1" {
		return s, nil
	}
	if len(fields) < 5 {
		return Start{}, errCheckpoint
	}
	start, err1 := strconv.ParseUint(fields[1], 10, 63)
	row, err2 := strconv.ParseUint(fields[2], 10, 32)
	tx, err3 := strconv.ParseUint(fields[4], 10, 64)
	if errors.Join(err1, err2, err3) != nil {
		return Start{}, errCheckpoint
	}
	s.Inside = &Inside{Transaction: tx, EventStart: start, Row: uint32(row)}
	return s, nil
}

// ParseTime reads a time with a zone, or one without it as UTC, as DMS does.
func ParseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time: write 2026-11-23T08:00:00Z", s)
}
