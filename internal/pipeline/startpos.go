package pipeline

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// errStopPosition ends a run that reached its stop position.
var errStopPosition = errors.New("the stop position is reached")

var (
	fileOffset = regexp.MustCompile(`^([^:\s]+\.\d+):(\d+)$`)
	// A DMS checkpoint: its third field is a stream position, <file>:<start>:<row>:<end>:<transaction id>:….
	dmsCheckpoint = regexp.MustCompile(`^checkpoint:V\d+#\d+#([^:#$]+\.\d+):(\d+):(-?\d+):(\d+):[^#]*#`)
)

// ParseStartPosition reads cdc_start_position: file:offset, a GTID set of the server's flavor, or a DMS checkpoint
// taken at a commit.
func ParseStartPosition(text string, flavor source.Flavor) (source.Position, error) {
	text = strings.TrimSpace(text)
	if m := dmsCheckpoint.FindStringSubmatch(text); m != nil {
		if m[3] != "-1" {
			return source.Position{}, fmt.Errorf("start position %q was taken inside a transaction; stop the DMS task first, its checkpoint then stands at a commit (row index -1)", text)
		}
		return binlogPosition(m[1], m[4])
	}
	if strings.HasPrefix(text, "checkpoint:") {
		return source.Position{}, fmt.Errorf("start position %q is not a checkpoint as DMS prints it (checkpoint:V1#27#mysql-bin.000024:…); abbreviated file names ($.000024) must be written out", text)
	}
	if m := fileOffset.FindStringSubmatch(text); m != nil {
		return binlogPosition(m[1], m[2])
	}
	set, err := binlog.ParseGTIDSet(flavor, text)
	if err != nil {
		return source.Position{}, fmt.Errorf("start position %q is neither file:offset, nor a DMS checkpoint, nor a GTID set of %s: %w", text, flavor, err)
	}
	return source.Position{GTIDSet: set.String()}, nil
}

func binlogPosition(file, offset string) (source.Position, error) {
	n, err := strconv.ParseUint(offset, 10, 64)
	if err != nil {
		return source.Position{}, fmt.Errorf("start position: offset %s: %w", offset, err)
	}
	return source.Position{File: file, Offset: max(n, 4)}, nil // a log's first event stands at 4
}

// stopRule is cdc_stop_position: the first transaction that is later is not read.
type stopRule struct{ after time.Time }

// ParseStopPosition reads server_time:2018-02-09T12:12:12 or commit_time:…, in UTC.
func ParseStopPosition(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	kind, at, ok := strings.Cut(text, ":")
	if !ok || kind != "server_time" && kind != "commit_time" {
		return time.Time{}, fmt.Errorf("stop position %q must be server_time:2006-01-02T15:04:05 or commit_time:2006-01-02T15:04:05 (UTC)", text)
	}
	t, err := time.Parse("2006-01-02T15:04:05", strings.TrimSuffix(strings.TrimSpace(at), "Z"))
	if err != nil {
		return time.Time{}, fmt.Errorf("stop position %q: the time must look like 2006-01-02T15:04:05, in UTC", text)
	}
	return t, nil
}

// before says whether t lies behind the stop position.
func (s stopRule) before(t time.Time) bool { return !s.after.IsZero() && t.After(s.after) }
