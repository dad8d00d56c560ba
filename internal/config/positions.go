package config

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// StartPosition is where change capture begins: a binlog coordinate, a set of transactions, or a time. The zero
// value is none: the source's present position.
type StartPosition struct {
	File    string // file:offset, also taken from a DMS checkpoint
	Offset  uint64
	GTIDSet string
	Time    time.Time
}

// IsSet says whether a position was given.
func (p StartPosition) IsSet() bool { return p != StartPosition{} }

var (
	mysqlGTIDs = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}((:[a-zA-Z_][a-zA-Z0-9_]{0,31})?(:\d{1,19}(-\d{1,19})?)+)+` +
		`(,[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}((:[a-zA-Z_][a-zA-Z0-9_]{0,31})?(:\d{1,19}(-\d{1,19})?)+)+)*$`)
	mariadbGTIDs  = regexp.MustCompile(`^\d{1,10}-\d{1,10}-\d{1,20}(,\d{1,10}-\d{1,10}-\d{1,20})*$`)
	binlogFile    = regexp.MustCompile(`^[^/:\\\x00-\x20]+\.\d{6,}$`)
	dmsCheckpoint = regexp.MustCompile(`^checkpoint:V\d+#\d+#([^#]+)#`)
)

var errStart = errors.New("is not a position: write file:offset (mysql-bin.000024:373), a GTID set, a DMS checkpoint, or a time such as 2026-11-23T08:00:00Z")

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *StartPosition) UnmarshalText(text []byte) error {
	s := strings.Join(strings.Fields(string(text)), "")
	*p = StartPosition{}
	switch {
	case s == "":
		return nil
	case strings.HasPrefix(s, "checkpoint:"):
		return p.fromCheckpoint(s)
	case mysqlGTIDs.MatchString(s), mariadbGTIDs.MatchString(s):
		p.GTIDSet = s
		return nil
	}
	if t, err := parseTime(string(text)); err == nil {
		p.Time = t
		return nil
	}
	return p.fromCoordinate(s)
}

func (p *StartPosition) fromCoordinate(s string) error {
	file, offset, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(offset, 10, 64)
	if !ok || err != nil || !binlogFile.MatchString(file) {
		return errStart
	}
	p.File, p.Offset = file, n
	return nil
}

// fromCheckpoint takes the coordinate out of checkpoint:V1#27#file:start:row:end:transaction:file:start#0#… . A
// checkpoint of a stopped DMS task stands at a commit, which its row index -1 says; change capture goes on behind it.
func (p *StartPosition) fromCheckpoint(s string) error {
	m := dmsCheckpoint.FindStringSubmatch(s)
	if m == nil {
		return errors.New("is not a DMS checkpoint that can be read: copy RecoveryCheckpoint whole, or write file:offset instead")
	}
	fields := strings.Split(m[1], ":")
	switch {
	case strings.HasPrefix(fields[0], "$."):
		return errors.New("names its binlog file as $, which only DMS can resolve: write file:offset with the file's full name")
	case len(fields) < 4:
		return errStart
	case fields[2] != "-1":
		return errors.New("was taken inside a transaction: stop the DMS task first, its checkpoint then stands at a commit (row index -1)")
	}
	return p.fromCoordinate(fields[0] + ":" + fields[3])
}

// String is the position as it would be written.
func (p StartPosition) String() string {
	switch {
	case p.File != "":
		return p.File + ":" + strconv.FormatUint(p.Offset, 10)
	case !p.Time.IsZero():
		return p.Time.Format(time.RFC3339Nano)
	}
	return p.GTIDSet
}

// StopKind says which clock a StopPosition is read on.
type StopKind string

// The kinds of stop.
const (
	ServerTime StopKind = "server_time"
	CommitTime StopKind = "commit_time"
)

// StopPosition is where change capture ends by itself. The zero value is never.
type StopPosition struct {
	Kind StopKind
	Time time.Time
}

// IsSet says whether an end was given.
func (p StopPosition) IsSet() bool { return p != StopPosition{} }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *StopPosition) UnmarshalText(text []byte) error {
	*p = StopPosition{}
	if strings.TrimSpace(string(text)) == "" {
		return nil
	}
	kind, at, _ := strings.Cut(string(text), ":")
	t, err := parseTime(strings.TrimSpace(at))
	if k := StopKind(kind); err == nil && (k == ServerTime || k == CommitTime) {
		*p = StopPosition{Kind: k, Time: t}
		return nil
	}
	return errors.New("is not a stop position: write server_time:2026-11-23T08:00:00 or commit_time:2026-11-23T08:00:00, in UTC")
}

// String is the position as it would be written.
func (p StopPosition) String() string {
	if !p.IsSet() {
		return ""
	}
	return string(p.Kind) + ":" + p.Time.Format("2006-01-02T15:04:05.999999999")
}
