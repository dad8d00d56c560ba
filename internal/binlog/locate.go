package binlog

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Why a start position cannot be found. They come wrapped in a StartError, as ErrPurged and ErrAhead may.
var (
	// ErrTooEarly is returned for a time before the oldest log that the server has.
	ErrTooEarly = errors.New("the server's binary log does not reach back so far")
	// ErrFuture is returned for a time that the server's clock has not reached.
	ErrFuture = errors.New("the server's clock has not reached it")
	// ErrNoBoundary is returned for a place within a transaction or within an event.
	ErrNoBoundary = errors.New("it lies inside a transaction")
	// ErrFlavor is returned for a GTID set of another kind of server.
	ErrFlavor = errors.New("the GTID set is not of this server's kind")
)

// StartError is returned when a start position cannot be found on a server.
type StartError struct {
	Start  Start
	Detail string
	Hint   string // what the operator can do
	Err    error
}

func (e *StartError) Error() string {
	s := fmt.Sprintf("start position %s: %v", e.Start, e.Err)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s + "; " + e.Hint
}

func (e *StartError) Unwrap() error { return e.Err }

// Locate finds a start position on a server: the boundary behind everything that comes before it, with the GTID set
// where the server has GTIDs. A time means the first transaction that was committed then or later, and the end of the log
// if there is none. Of a place inside a transaction it is the boundary in front, if want says what of it is done.
func Locate(ctx context.Context, cfg source.Config, conn *client.Conn, server source.Server, want Start) (source.Position, error) {
	l := &locator{ctx: ctx, cfg: cfg, conn: conn, server: server, want: want}
	switch {
	case !server.LogBin:
		return source.Position{}, &PositionError{Err: ErrNoLog, Hint: "start the server with log_bin"}
	case want.GTIDSet != "":
		if want.Flavor != server.Flavor || !server.GTIDMode {
			return source.Position{}, l.fail(ErrFlavor, fmt.Sprintf("this is %s %s, gtid_mode %v", server.Flavor, server.Version, server.GTIDMode),
				"give a set as this server prints it, or file:offset")
		}
		return source.Position{GTIDSet: want.GTIDSet, ServerUUID: server.UUID}, nil
	case !want.Time.IsZero():
		return l.byTime()
	}
	return l.byPlace()
}

// locator looks for one start position.
type locator struct {
	ctx    context.Context
	cfg    source.Config
	conn   *client.Conn
	server source.Server
	want   Start
}

func (l *locator) fail(err error, detail, hint string) error {
	return &StartError{Start: l.want, Detail: detail, Hint: hint, Err: err}
}

func (l *locator) head(file string) (Head, error) { return ReadHead(l.ctx, l.cfg, l.server, file) }

// byTime looks for the last file that begins before the time: whatever stands in the files before was committed
// earlier. File times are whole seconds, so a file that begins in the same second does not do.
func (l *locator) byTime() (source.Position, error) {
	now, err := source.Clock(l.ctx, l.conn)
	if err != nil {
		return source.Position{}, err
	}
	if l.want.Time.After(now) {
		return source.Position{}, l.fail(ErrFuture, "it is "+now.Format(time.RFC3339)+" there",
			"leave cdc_start_position out to begin at the present end of the log")
	}
	logs, err := source.BinaryLogs(l.ctx, l.conn)
	if err != nil {
		return source.Position{}, err
	}
	second := l.want.Time.Unix()
	heads := make(map[int]Head)
	i := sort.Search(len(logs), func(i int) bool {
		if err != nil {
			return false
		}
		heads[i], err = l.head(logs[i].Name)
		return heads[i].Began >= second
	}) - 1
	if err != nil {
		return source.Position{}, err
	}
	if i < 0 {
		detail := "it lists no log file"
		if len(logs) > 0 {
			detail = fmt.Sprintf("the oldest file, %s, begins at %s", logs[0].Name, heads[0].Time().Format(time.RFC3339))
		}
		return source.Position{}, l.fail(ErrTooEarly, detail,
			"changes before that are only to be had by a full load; to begin with the oldest file all the same, write its name and offset 4")
	}
	s, err := l.scan(logs[i].Name, heads[i], func(s *scanner, b Boundary) bool {
		at := l.want.Time
		if !s.stream.tx.exact {
			at = at.Truncate(time.Second)
		}
		return !b.Time.Before(at)
	})
	if err != nil {
		return source.Position{}, err
	}
	return l.position(s)
}

// byPlace checks that a place in a file lies between two transactions, and finds out the GTID set there.
func (l *locator) byPlace() (source.Position, error) {
	logs, err := source.BinaryLogs(l.ctx, l.conn)
	if err != nil {
		return source.Position{}, err
	}
	file := l.want.File
	if len(file) > 2 && file[:2] == "$." {
		if file, err = l.abbreviated(logs, file); err != nil {
			return source.Position{}, err
		}
	}
	if err := checkFile(logs, source.Position{File: file, Offset: l.want.Offset}); err != nil {
		return source.Position{}, err
	}
	head, err := l.head(file)
	if err != nil {
		return source.Position{}, err
	}
	first := uint64(0)
	s, err := l.scan(file, head, func(s *scanner, b Boundary) bool {
		first = s.stream.tx.first
		return b.File != file || b.Offset > l.want.Offset
	})
	if err != nil {
		return source.Position{}, err
	}
	if in := l.want.Inside; in != nil {
		if !s.found || s.next.File != file || s.tx&0xffffffff != in.Transaction&0xffffffff {
			return source.Position{}, l.fail(ErrNoPlace, fmt.Sprintf("no transaction with the id %d lies there", in.Transaction),
				"stop the DMS task and copy its RecoveryCheckpoint again, or write file:offset")
		}
		return l.position(s)
	}
	if s.found && s.next.File == file && l.want.Offset > first {
		return source.Position{}, l.fail(ErrNoBoundary, fmt.Sprintf("one begins at %s:%d and ends at %s:%d", file, s.offset, file, s.next.Offset),
			fmt.Sprintf("write %s:%d to read all of it, or %s:%d to begin behind it", file, s.offset, file, s.next.Offset))
	}
	return l.position(s)
}

// abbreviated finds the file that DMS names by its number only.
func (l *locator) abbreviated(logs []source.LogFile, name string) (string, error) {
	want, err := source.FileNumber(name)
	if err != nil {
		return "", l.fail(ErrNoPlace, err.Error(), "write the file's whole name")
	}
	for _, f := range logs {
		if n, err := source.FileNumber(f.Name); err == nil && n == want {
			return f.Name, nil
		}
	}
	if len(logs) == 0 {
		return "", l.fail(ErrPurged, "the server lists no log file", hintPurged)
	}
	return "", l.fail(ErrPurged, fmt.Sprintf("the server has %s to %s", logs[0].Name, logs[len(logs)-1].Name), hintPurged)
}

// position is where a scan ended. What the server has purged comes before every file that it has.
func (l *locator) position(s *scanner) (source.Position, error) {
	p := source.Position{File: s.file, Offset: s.offset, ServerUUID: l.server.UUID}
	if !l.server.GTIDMode || s.set == nil {
		return p, nil
	}
	if l.server.Flavor == source.MySQL {
		purged, err := source.GTIDPurged(l.ctx, l.conn)
		if err != nil {
			return p, err
		}
		if err := s.set.AddSet(purged); err != nil {
			return p, err
		}
	}
	p.GTIDSet = s.set.String()
	return p, nil
}

// scanner is the Handler of a look through the log from the start of a file. It keeps the last boundary before the
// transaction that is looked for.
type scanner struct {
	nobody
	stream *stream
	is     func(s *scanner, b Boundary) bool // the transaction that ends at b, or a later one, is the one
	set    *GTIDSet
	file   string
	offset uint64

	found bool
	next  Boundary // behind the transaction that was found
	tx    uint64   // and its id
}

var errFound = errors.New("found")

// scan reads from the start of a file until is says so, or to the end of the log.
func (l *locator) scan(file string, head Head, is func(*scanner, Boundary) bool) (*scanner, error) {
	packets, done, err := glance(l.ctx, l.cfg, l.server, file)
	if err != nil {
		return nil, err
	}
	defer done()
	s := &scanner{is: is, set: head.Set, file: file, offset: fileHeader}
	r := New(Config{Source: l.cfg, Handler: s, Selected: func(string, string) bool { return false }})
	defer r.catalog.close()
	p := &progress{server: l.server, boundary: source.Position{File: file, Offset: fileHeader, ServerUUID: l.server.UUID}}
	s.stream = newStream(r, p, newTables(r.cfg.Selected), packets)
	switch err = s.run(l.ctx); {
	case errors.Is(err, errFound), errors.Is(err, errEnded):
		return s, nil
	case l.ctx.Err() != nil:
		return nil, context.Cause(l.ctx)
	}
	return nil, fmt.Errorf("look for start position %s: %w", l.want, err)
}

// run is stream.run for a look: what a reader of rows must not pass over does not matter here. It ends with errEnded at
// the end of the log.
func (s *scanner) run(ctx context.Context) error {
	for {
		if err := s.stream.next(ctx, func() {}); err != nil && !harmless(err) {
			return err
		}
	}
}

// Commit implements Handler.
func (s *scanner) Commit(_ context.Context, b Boundary) error {
	if b.Idle && b.File == s.file {
		return nil
	}
	if s.is(s, b) {
		s.found, s.next, s.tx = true, b, s.stream.tx.id
		return errFound
	}
	s.file, s.offset = b.File, b.Offset
	if s.set == nil {
		return nil
	}
	return s.set.Add(b.GTID)
}
