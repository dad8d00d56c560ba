package verify

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Report is what a verification found.
type Report struct {
	Position source.Position `json:"position"` // both sides have passed it
	Objects  int64           `json:"objects"`
	Records  int64           `json:"records"`      // of objects
	Tail     int64           `json:"tail_records"` // of the stream, behind the objects
	Sample   float64         `json:"sample"`
	Since    *time.Time      `json:"since,omitempty"`
	Resumed  bool            `json:"resumed"`
	Tables   []TableReport   `json:"tables"`
	// Faults are what is wrong with objects as such: damaged ones, and records that are stored twice.
	Faults     []string `json:"faults,omitempty"` // the first of them
	FaultCount int64    `json:"fault_count"`
	Foreign    int64    `json:"foreign_objects"` // that are none of this stream's
	// StandsStill says that no changes are sent, so that what is found is exact only if the source was not written to
	// since its tables were loaded.
	StandsStill bool `json:"exact_only_while_source_stands_still"`
	// Unselected are tables with rows in the objects that the mappings do not select any more. Nothing was compared.
	Unselected []string `json:"unselected_tables,omitempty"`
}

// TableReport is what was found in one table.
type TableReport struct {
	Schema      string       `json:"schema"`
	Table       string       `json:"table"`
	Rows        int64        `json:"rows_compared"`
	Missing     int64        `json:"missing"`   // rows of the table that are not in the objects
	Extra       int64        `json:"extra"`     // rows of the objects that are not in the table
	Different   int64        `json:"different"` // rows that are in both, with other values
	NotCovered  int64        `json:"not_covered,omitempty"`
	Cut         int64        `json:"cut_lobs,omitempty"` // rows whose LOBs were cut as truncate-lob says, and are equal otherwise
	NotCompared string       `json:"not_compared,omitempty"`
	Passing     bool         `json:"passing,omitempty"` // the reason in NotCompared passes by itself
	Note        string       `json:"note,omitempty"`    // what else is to be said
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is one row that is not the same on both sides.
type Difference struct {
	Kind      string          `json:"kind"` // missing, extra, different
	Key       string          `json:"key"`
	Delivered json.RawMessage `json:"delivered,omitempty"`
	Source    json.RawMessage `json:"source,omitempty"`
}

// The kinds of difference.
const (
	Missing   = "missing"
	Extra     = "extra"
	Different = "different"
)

// Faulty says whether anything is wrong.
func (r *Report) Faulty() bool {
	if r.FaultCount > 0 {
		return true
	}
	for i := range r.Tables {
		if t := &r.Tables[i]; t.Missing+t.Extra+t.Different > 0 {
			return true
		}
	}
	return false
}

// Incomplete is why the verification is not one of everything, nil if it is. passing says that waiting helps.
func (r *Report) Incomplete() (err error) {
	passing := true
	n := 0
	var first *TableReport
	for i := range r.Tables {
		if t := &r.Tables[i]; t.NotCompared != "" {
			if n++; first == nil {
				first = t
			}
			passing = passing && t.Passing
		}
	}
	if n == 0 {
		return nil
	}
	return &IncompleteError{Tables: n, First: first.Schema + "." + first.Table + ": " + first.NotCompared, Passing: passing}
}

// IncompleteError is returned when some tables could not be compared.
type IncompleteError struct {
	Tables  int
	First   string
	Passing bool
}

// Error names the first of them.
func (e *IncompleteError) Error() string {
	if e.Tables == 1 {
		return "not compared: " + e.First
	}
	return fmt.Sprintf("%d tables were not compared, the first one is %s", e.Tables, e.First)
}

// RestartHelps says whether another verification later on may do better.
func (e *IncompleteError) RestartHelps() bool { return e.Passing }

// ArchivedError is returned for an object that its store cannot give at once. Without it nothing can be said of any row
// that it holds, and so nothing is.
type ArchivedError struct {
	Key                string
	Shard, First, Last string
	Stored, Newest     time.Time // when it was stored; and the newest one of which the listing says the same
	Err                error
}

// Error says which records cannot be read, what that means and what can be done.
func (e *ArchivedError) Error() string {
	return fmt.Sprintf("object %s (stored %s, shard %s, records %s to %s) is archived and cannot be read, so nothing was compared; "+
		"restore such objects (aws s3api restore-object) and verify again, or leave them alone with --since %s: rows without a newer record are not covered then: %v",
		e.Key, e.Stored.UTC().Format(time.RFC3339), e.Shard, e.First, e.Last, e.Newest.UTC().Truncate(time.Second).Add(time.Second).Format(time.RFC3339), e.Err)
}

// Unwrap gives what the store said.
func (e *ArchivedError) Unwrap() error { return e.Err }

// BehindError is returned when replicate does not send what the source has.
type BehindError struct {
	Source, Sent source.Position
	Waited       time.Duration
}

// Error names both positions and the cure.
func (e *BehindError) Error() string {
	return fmt.Sprintf("the source is at %s, and replicate's checkpoint has stood before it, at %s, for %s; "+
		"let replicate run, and give it time to catch up, or wait longer with --wait", e.Source, e.Sent, e.Waited.Round(time.Second))
}

// RestartHelps says that it passes once replicate runs.
func (e *BehindError) RestartHelps() bool { return true }
