// Package status is what a running daemon says of itself: the one model that the status page, /api/status, the status
// command and the demonstration draw from. It promises that whatever a report says is put the same way in all of them, that
// what needs an operator is named with its cure, and that what it keeps of the past is bounded.
package status

import "time"

// Version is the version of the form that docs/FORMATS.md describes. Members may be added under the same version.
const Version = 1

// Report is everything at one moment.
type Report struct {
	Version   int        `json:"version"`
	Name      string     `json:"name"` // of the pipeline
	Program   string     `json:"program_version"`
	Time      time.Time  `json:"time"`
	Started   time.Time  `json:"started"`
	Level     Level      `json:"level"` // the worst of the problems'
	Problems  []Problem  `json:"problems"`
	Replicate *Replicate `json:"replicate,omitempty"` // nil: this half runs elsewhere
	Deliver   *Deliver   `json:"deliver,omitempty"`   // the same
	Events    []Event    `json:"events"`              // newest first
}

// Level says how bad something is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // somebody should look today
	Error   Level = "error"   // something does not work
)

// State is what a half is doing.
type State string

// The states.
const (
	Stopped    State = "stopped" // not begun, or at its end
	StandingBy State = "standing by"
	Connecting State = "connecting"
	Loading    State = "loading" // full load; changes are replicated beside it
	Streaming  State = "streaming"
	Delivering State = "delivering"
	Pausing    State = "pausing" // what was taken in is flushed
	Paused     State = "paused"
)

// Half is what both halves have.
type Half struct {
	State      State     `json:"state"`
	Paused     time.Time `json:"paused_since,omitzero"`
	StandingBy *Holder   `json:"standing_by_for,omitempty"`
	Trouble    []Trouble `json:"trouble"` // what fails at present and is tried again
}

// Holder is the process that does the work while this one stands by.
type Holder struct {
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

// Trouble is one thing that fails.
type Trouble struct {
	What  string    `json:"what"`
	Error string    `json:"error"`
	Since time.Time `json:"since"`
}

// Replicate is the half from MySQL to the stream. Totals count from the start of the process.
type Replicate struct {
	Half

	Source        string       `json:"source"`           // host:port
	Server        string       `json:"server,omitempty"` // flavor and version
	Stream        string       `json:"stream"`
	Migration     string       `json:"migration_type"`
	SourceLag     float64      `json:"source_lag_seconds"`
	TargetLag     float64      `json:"target_lag_seconds"`
	CheckpointAge float64      `json:"checkpoint_age_seconds"`
	Position      Position     `json:"position"` // saved: everything before it is acknowledged
	Retention     Retention    `json:"binlog_retention"`
	Queue         Room         `json:"queue"`
	Changes       uint64       `json:"changes_total"`
	LoadRows      uint64       `json:"full_load_rows_total"`
	Records       uint64       `json:"stream_records_total"`
	Throttled     uint64       `json:"stream_throttled_total"`
	Shards        []WriteShard `json:"shards"`
	Tables        []Table      `json:"tables"`
}

// LagKnown says whether SourceLag means anything: while the source is away, nobody knows what it has by now.
func (r *Replicate) LagKnown() bool {
	switch r.State {
	case Stopped, StandingBy, Connecting:
		return false
	}
	for _, t := range r.Trouble {
		if t.What == SourceTrouble {
			return false
		}
	}
	return true
}

// SourceTrouble is the name of the trouble that the source makes.
const SourceTrouble = "source"

// Position is a place in the source's binlog.
type Position struct {
	File   string `json:"file"`
	Offset uint64 `json:"offset"`
	GTIDs  string `json:"gtid_set,omitempty"`
}

// Retention says how long something that is still needed will be there.
type Retention struct {
	Known   bool    `json:"known"`
	Forever bool    `json:"forever,omitempty"`
	Lost    bool    `json:"lost,omitempty"` // it is gone already
	Low     bool    `json:"low,omitempty"`  // so little is left that somebody must act
	Left    float64 `json:"seconds"`
	Of      float64 `json:"setting_seconds"` // what the setting gives
}

// Room is how full something is.
type Room struct {
	Used  int64 `json:"bytes"`
	Limit int64 `json:"limit_bytes"`
}

// WriteShard is a shard as the writer sees it.
type WriteShard struct {
	Shard         string    `json:"shard"`
	Throttled     uint64    `json:"throttled_total"`
	LastThrottled time.Time `json:"last_throttled,omitzero"`
}

// Table is one replicated table. Counts are from the start of the process.
type Table struct {
	Schema  string `json:"schema"`
	Table   string `json:"table"`
	State   string `json:"state"` // in DMS's words
	Error   string `json:"error,omitempty"`
	Load    *Load  `json:"full_load,omitempty"` // nil: nothing of it was loaded
	Inserts uint64 `json:"inserts"`
	Updates uint64 `json:"updates"`
	Deletes uint64 `json:"deletes"`
	DDLs    uint64 `json:"ddls"`
}

// Load is how far a table's full load is.
type Load struct {
	Rows      uint64   `json:"rows"`                        // that the stream has acknowledged
	Estimate  uint64   `json:"estimated_rows,omitempty"`    // as the source's statistics say; 0: they don't
	Share     *float64 `json:"share,omitempty"`             // done, from 0 to 1; absent: not known
	Remaining *float64 `json:"remaining_seconds,omitempty"` // absent: not known, or nothing remains
}

// Deliver is the half from the stream to objects. Totals count from the start of the process.
type Deliver struct {
	Half

	Stream      string      `json:"stream"`
	Destination string      `json:"destination"`
	Freshness   float64     `json:"freshness_seconds"` // age of the oldest record that is not stored
	Interval    float64     `json:"interval_seconds"`  // after which an object is closed
	Retention   Retention   `json:"stream_retention"`
	Memory      Room        `json:"memory"`
	Objects     uint64      `json:"objects_total"`
	ObjectBytes uint64      `json:"object_bytes_total"`
	Duplicates  uint64      `json:"duplicates_dropped_total"`
	Shards      []ReadShard `json:"shards"`
	Latest      []Object    `json:"latest_objects"` // newest first
}

// ReadShard is a shard as the reader sees it.
type ReadShard struct {
	Shard     string  `json:"shard"`
	Owner     string  `json:"owner"` // the process that reads it
	Here      bool    `json:"here"`  // that is this one; else nothing more is known of it here
	Behind    float64 `json:"behind_seconds"`
	Freshness float64 `json:"freshness_seconds"`
	Records   int     `json:"held_records"`
	Bytes     int64   `json:"held_bytes"`
	Storing   bool    `json:"storing"`
	Throttled uint64  `json:"throttled_total"` // reading calls
	Objects   int     `json:"objects_total"`
}

// Object is one that was stored.
type Object struct {
	Key     string    `json:"key"`
	Shard   string    `json:"shard"`
	Records int       `json:"records"`
	Bytes   int64     `json:"bytes"` // as stored
	Stored  time.Time `json:"stored"`
}
