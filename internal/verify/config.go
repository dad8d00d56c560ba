package verify

import (
	"context"
	"log/slog"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink/stored"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Config holds what a verification needs.
type Config struct {
	Name string // of the pipeline

	Objects      stored.Store
	Prefixes     []string              // that all objects' keys begin with, those of former layouts too
	Deduplicated func(layout int) bool // whether objects of a layout version hold every record once

	Stream kinesisin.Config
	// Stored says up to which sequence number a shard is stored, if anything does.
	Stored func(ctx context.Context, about kinesisin.Description, shard string) (last string, known bool, err error)

	Deduplicate bool // whether the stream's tail is to be read as deliver reads it
	HashRange   bool // likewise
	Bodies      s3sink.Bodies

	Source   source.Config
	Selected func(lowerCaseTables int) func(schema, table string) bool
	Records  record.Options
	Rendered schema.Options
	LOBBytes int // LOBs of oversized records are cut to so many bytes; 0: they are not

	Saved   func(context.Context) (Saved, error)
	Loads   bool // the task loads tables: all of their rows are delivered, not only those that changed
	Changes bool // the task sends changes

	WorkDir        string
	Restart        bool          // forget what an interrupted verification has left
	Tables         []string      // schema.table; none: all that are selected
	Sample         float64       // the share of the keys that is looked at; 0 or 1: all
	Since          time.Time     // leave older objects alone; rows without a record in the others are not covered
	MaxDifferences int           // kept of each table, with their values; default 20
	Parallel       int           // readers of the source; default 4
	Wait           time.Duration // for replicate to send what the source has, and for loads to end; default 10 min
	Memory         int64         // of the store's caches; default 64 MiB

	Progress func(Progress) // may be nil; called from one goroutine at a time
	Log      *slog.Logger
}

// Saved is what replicate's checkpoint says.
type Saved struct {
	Position  source.Position
	Suspended map[string]string // by schema.table: why nothing of the table is sent
	States    map[string]string // by schema.table
}

// StateCompleted is the state of a table whose rows are all sent.
const StateCompleted = "Table completed"

// Progress is how far a verification is.
type Progress struct {
	Phase string // what is done now, as a person says it
	Unit  string // of Done and Total
	Done  int64
	Total int64 // 0 if that is not known
	Note  string
}

func (c Config) withDefaults() Config {
	if c.MaxDifferences <= 0 {
		c.MaxDifferences = 20
	}
	if c.Parallel <= 0 {
		c.Parallel = 4
	}
	if c.Wait <= 0 {
		c.Wait = 10 * time.Minute
	}
	if c.Memory <= 0 {
		c.Memory = 64 << 20
	}
	if c.Sample <= 0 || c.Sample > 1 {
		c.Sample = 1
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	return c
}
