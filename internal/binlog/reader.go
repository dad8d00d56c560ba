package binlog

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Config of a Reader.
type Config struct {
	Source source.Config
	// Server is what the caller took Source's server to be; if another one answers, Run ends with source.ErrServerChanged. Only its
	// UUID counts. The zero Server accepts whichever answers first.
	Server   source.Server
	ServerID uint32 // our own id as a replica: no other replica or server of the group may have it
	Handler  Handler

	// Selected reports whether changes of a table are wanted. It must give the same answer for the life of the Reader.
	Selected func(schema, table string) bool

	// Options of value rendering, for the layouts.
	Options schema.Options

	// Heartbeat is how often an idle server says that it is alive; after ten of them without a word, and 30 s at least,
	// the connection is given up. Default 1s.
	Heartbeat time.Duration

	// LoadTable reads a table's current definition from the server; nil means source.LoadTable on a connection of its own.
	LoadTable func(ctx context.Context, schema, table string) (*schema.Table, error)

	// History keeps what becomes known of definitions over restarts. Without it, rows that were written long ago and do not
	// describe themselves (binlog_row_metadata=MINIMAL) can be read only of tables that have not been changed since.
	History History

	Health     Health                // hears whether the source answers; may be nil
	Logger     *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: metrics are not registered
}

// Health hears how the source is doing. Its methods may be called again and again.
type Health interface {
	Failing(err error) // a connection failed or broke, and will be made again
	Working()          // the server sends its log
}

type silent struct{}

func (silent) Failing(error) {}
func (silent) Working()      {}

// Reader reads the binary log of one server.
type Reader struct {
	cfg     Config
	metrics *metrics
	catalog catalog
	retries retries
	ahead   lookahead
	silence time.Duration // how long the server may say nothing
	onReady func(n int)   // for tests: the n-th connection begins to send
	limits  limits        // (Tests lower them.)
}

// New makes a Reader. It does no I/O.
func New(cfg Config) *Reader {
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Health == nil {
		cfg.Health = silent{}
	}
	return &Reader{
		cfg: cfg, metrics: newMetrics(cfg.Registerer), catalog: catalog{cfg: cfg}, silence: readTimeout(cfg.Heartbeat), onReady: func(int) {},
		limits: defaultLimits,
	}
}

// progress is what of the log has been handed over. It outlives connections.
type progress struct {
	server   source.Server   // that the coordinates belong to
	met      bool            // server has answered
	boundary source.Position // the last one; GTIDSet is not kept up in it
	set      *GTIDSet        // everything up to boundary; nil if the position is found by file and offset
	part     part            // of the transaction behind boundary
	payload  *verified       // the large payload that was read through last, if it is still to be handed over
	again    int             // large payloads that were verified since the last boundary
	moved    bool            // since the last connection was opened
}

// part is how much of a transaction was dealt with when its connection broke.
type part struct {
	id     uint64
	begun  bool // the Handler knows of it
	events int  // rows events of selected tables
}

// Run reads from a boundary until ctx is done or something fails for good: the server cannot go on there
// (*PositionError), an event cannot be turned into changes (*EventError), the user may not read the log (*source.Error), or the Handler
// fails, whose error comes back as it is; a table that fails (*TableError) is the Handler's to decide about. A lost connection is taken up again by itself,
// for as long as it takes. A position with a GTID set is found by it where the server has GTIDs, else by file and offset.
func (r *Reader) Run(ctx context.Context, from source.Position) error {
	p := &progress{boundary: from, server: r.cfg.Server}
	tabs := newTables(r.cfg.Selected)
	defer r.catalog.close()
	defer r.metrics.connected.Set(0)

	log := r.cfg.Logger
	connected, lost := 0, false
	for attempt := 0; ; {
		err := r.readOnce(ctx, p, tabs, func() {
			connected++
			r.cfg.Health.Working()
			r.onReady(connected)
			if lost {
				log.Info("reading the binary log again", "file", p.boundary.File, "offset", p.boundary.Offset)
			}
			lost = false
		})
		r.metrics.connected.Set(0)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if h, ok := errors.AsType[*handlerError](err); ok {
			return h.err
		}
		if errors.Is(err, errReadAgain) {
			continue
		}
		if final(err, connected > 0) {
			return err
		}
		r.cfg.Health.Failing(err)
		if p.moved {
			attempt, p.moved = 0, false
		}
		if !lost {
			log.Warn("lost the source, trying again", "error", err, "file", p.boundary.File, "offset", p.boundary.Offset)
		}
		lost = true
		r.metrics.reconnects.Inc()
		if err := pauses.Sleep(ctx, attempt); err != nil {
			return err
		}
		attempt++
	}
}

// pauses are those between attempts to connect.
var pauses = backoff.Pauses{First: 500 * time.Millisecond, Longest: 30 * time.Second}

// final reports whether another attempt would not help. Being refused counts only while no attempt has succeeded: later
// it may be a password that is just being changed.
func final(err error, connected bool) bool {
	if _, ok := errors.AsType[*PositionError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*TableError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*EventError](err); ok {
		return true
	}
	return !connected && source.Refused(err)
}

// Passing reports whether what Run, Locate or ReadHead returned may be gone at the next attempt: the server was away or the
// connection broke.
func Passing(err error) bool {
	_, unfound := errors.AsType[*StartError](err)
	return !unfound && !final(err, false)
}

// readOnce opens a connection, reads from the last boundary until it breaks, and says why it did. ready is called when
// the server begins to send.
func (r *Reader) readOnce(ctx context.Context, p *progress, tabs *tables, ready func()) error {
	conn, err := source.Connect(ctx, r.cfg.Source)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()

	server, err := source.Describe(ctx, conn)
	if err != nil {
		return err
	}
	if err := p.meet(server); err != nil {
		return err
	}
	if err := checkStart(ctx, r.cfg.Source, conn, server, p.position(), p.set, catchUpTimeout); err != nil {
		return err
	}
	r.catalog.server = server
	if err := introduce(ctx, conn, r.cfg, server); err != nil {
		return err
	}
	var packets *source.Packets
	if byGTID(server, p.set) {
		packets, err = dumpAfter(ctx, conn, r.cfg, server, p.set)
	} else {
		packets, err = dumpAt(conn, r.cfg, server, p.boundary.File, p.boundary.Offset)
	}
	if err != nil {
		return err
	}
	s := newStream(r, p, tabs, packets)
	if err := s.recall(ctx); err != nil {
		return err
	}
	err = s.run(ctx, func() { r.metrics.connected.Set(1); ready() })
	if pe, ok := errors.AsType[*PositionError](err); ok && pe.Pos.IsZero() {
		pe.Pos = p.position()
	}
	p.part = s.part()
	return err
}

// meet takes note of the server that answered. On the first connection a position that has a GTID set is at home on
// every server of the group; later another server's coordinates cannot be mixed with those handed over.
func (p *progress) meet(server source.Server) error {
	first := !p.met
	if p.server.UUID != "" && server.UUID != p.server.UUID {
		err, hint := source.ErrServerChanged, "start again from the saved position"
		if p.set == nil && (!first || p.boundary.GTIDSet == "" || !server.GTIDMode) {
			err, hint = ErrOtherServer, "connect to the server that the position was taken on, or load the tables again"
		}
		return &PositionError{Pos: p.position(), Err: err, Detail: server.UUID + " instead of " + p.server.UUID, Hint: hint}
	}
	p.server, p.met = server, true
	if !first {
		return nil
	}
	if p.boundary.GTIDSet != "" && server.GTIDMode {
		set, err := ParseGTIDSet(server.Flavor, p.boundary.GTIDSet)
		if err != nil {
			return &PositionError{Pos: p.boundary, Err: err, Hint: "give the GTID set as this server prints it"}
		}
		p.set = set
		if p.boundary.ServerUUID != "" && p.boundary.ServerUUID != server.UUID {
			p.boundary.File, p.boundary.Offset, p.boundary.FileBegan = "", 0, 0 // another server's coordinates
		}
	}
	if p.boundary.ServerUUID == "" {
		p.boundary.ServerUUID = server.UUID
	}
	return nil
}

// position is the last boundary with its GTID set.
func (p *progress) position() source.Position {
	pos := p.boundary
	if p.set != nil {
		pos.GTIDSet = p.set.String()
	}
	return pos
}
