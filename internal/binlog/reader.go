package binlog

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Config of a Reader.
type Config struct {
	Source   source.Config
	Server   source.Server // from source.Describe
	ServerID uint32        // our own id as a replica: no other replica or server of the group may have it
	Handler  Handler

	// Selected reports whether changes of a table are wanted. It must give the same answer for the life of the Reader.
	Selected func(schema, table string) bool

	// Options of value rendering, for the layouts.
	Options schema.Options

	// Heartbeat is how often an idle server says that it is alive; after four of them without a word the connection is
	// given up. Default 1s.
	Heartbeat time.Duration

	// LoadTable reads a table's current definition from the server; nil means source.LoadTable on a connection of its own.
	LoadTable func(ctx context.Context, schema, table string) (*schema.Table, error)

	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: metrics are not registered
}

// Reader reads the binary log of one server.
type Reader struct {
	cfg Config
}

// New makes a Reader. It does no I/O.
func New(cfg Config) *Reader { return &Reader{cfg: cfg} }

// Run reads from a boundary until ctx is done or something fails for good; a lost connection is taken up again by itself.
func (r *Reader) Run(ctx context.Context, from source.Position) error {
	<-ctx.Done()
	return context.Cause(ctx)
}
