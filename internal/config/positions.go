package config

import (
	"errors"
	"strings"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
)

// StartPosition is where change capture begins: a binlog coordinate, a set of transactions, or a time. The zero
// value is none: the source's present position.
type StartPosition struct{ binlog.Start }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *StartPosition) UnmarshalText(text []byte) (err error) {
	p.Start, err = binlog.ParseStart(string(text))
	return err
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
	t, err := binlog.ParseTime(strings.TrimSpace(at))
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
