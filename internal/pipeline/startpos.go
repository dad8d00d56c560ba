package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// errStopPosition ends a run that reached its stop position.
var errStopPosition = errors.New("the stop position is reached")

// stopRule is cdc_stop_position: the first transaction that was committed later is not read, nor anything behind end.
type stopRule struct {
	after time.Time
	end   source.Position // where the log ended when the source's clock had passed after; zero until then
}

// before says whether t lies behind the stop position.
func (s stopRule) before(t time.Time) bool { return !s.after.IsZero() && t.After(s.after) }

// reached says whether at is the end.
func (s stopRule) reached(at source.Position) bool { return s.end.File != "" && !at.Before(s.end) }

// firstPosition is where a task begins that has saved nothing yet.
func (r *Replicate) firstPosition(ctx context.Context, conn *client.Conn, s *session) (source.Position, error) {
	if r.cfg.Start != "" && r.cfg.Migration == CDC {
		return r.startPosition(ctx, conn, s)
	}
	if r.cfg.Migration == FullLoad && !s.server.LogBin {
		return source.Position{ServerUUID: s.server.UUID}, nil
	}
	from, err := source.CurrentPosition(ctx, conn, s.server)
	if s.server.Flavor == source.MySQL && from.GTIDSet != "" {
		// The log's end is ahead of the set by the commits under way, and those are still to be emitted. The stream tells
		// the place when it begins.
		from.File, from.Offset = "", 0
	}
	return from, err
}

// startPosition finds cdc_start_position on the server. Of the transaction that a DMS checkpoint was taken in, it notes
// in the document what DMS has done.
func (r *Replicate) startPosition(ctx context.Context, conn *client.Conn, s *session) (source.Position, error) {
	start, err := binlog.ParseStart(r.cfg.Start)
	if err != nil {
		return source.Position{}, fmt.Errorf("start position %q %w", r.cfg.Start, err)
	}
	r.cfg.Log.Info("looking for the start position in the source's log", "start", start.String())
	from, err := binlog.Locate(ctx, r.cfg.Source, conn, s.server, start)
	if err == nil && start.Inside != nil {
		err = r.doneByDMS(ctx, s, from, *start.Inside)
	}
	if err != nil && ctx.Err() == nil && binlog.Passing(err) {
		err = &restartError{err}
	}
	return from, err
}

// doneByDMS counts the selected changes of the transaction behind from that a DMS checkpoint covers.
func (r *Replicate) doneByDMS(ctx context.Context, s *session, from source.Position, in binlog.Inside) error {
	count := &doneCounter{in: in}
	reader := binlog.New(binlog.Config{
		Source: r.cfg.Source, Server: s.server, ServerID: r.cfg.ServerID, Handler: count,
		Selected: s.rules.Selected, Options: r.cfg.Rendered, Logger: r.cfg.Log,
	})
	if err := reader.Run(ctx, from); !errors.Is(err, errCounted) {
		return fmt.Errorf("find out what DMS has done of the transaction behind %s:%d: %w", from.File, from.Offset, err)
	}
	s.state.doc.Done = count.done
	if count.done > 0 {
		s.state.doc.Through = &throughDoc{File: from.File, EventStart: in.EventStart, Row: in.Row, Half: 1, GTID: count.gtid}
	}
	r.cfg.Log.Info("the DMS checkpoint was taken inside a transaction: the changes that it covers are left out",
		"file", from.File, "offset", from.Offset, "changes", count.done)
	return nil
}

// catchUp is how long a server that took over may be behind. (Tests lower it.)
var catchUp = binlog.CatchUp

// hasBegun refuses another server that has never got the transaction of which a part has been sent. The reader sees to the
// transactions that were sent whole.
func (r *Replicate) hasBegun(ctx context.Context, conn *client.Conn, s *session) error {
	d := &s.state.doc
	if d.Done == 0 || d.Through == nil || d.Through.GTID == "" {
		return nil
	}
	set, err := binlog.ParseGTIDSet(s.server.Flavor, s.from.GTIDSet)
	if err == nil {
		err = set.Add(d.Through.GTID)
	}
	if err != nil {
		return fmt.Errorf("saved position: %w", err)
	}
	with := s.from
	with.GTIDSet = set.String()
	err = binlog.CheckStart(ctx, r.cfg.Source, conn, s.server, with, catchUp)
	if errors.Is(err, binlog.ErrPurged) {
		return nil // the reader will say so, of the position itself
	}
	return err
}

var errCounted = errors.New("counted")

// doneCounter is a binlog.Handler that counts the changes of the first transaction up to a place.
type doneCounter struct {
	in   binlog.Inside
	gtid string
	done uint64
}

// Begin implements binlog.Handler.
func (c *doneCounter) Begin(_ context.Context, tx *record.Transaction) error {
	c.gtid = tx.GTID
	return nil
}

// Rows implements binlog.Handler.
func (c *doneCounter) Rows(_ context.Context, rows *binlog.Rows) error {
	for rows.Next() {
		p := rows.Place
		if p.EventStart > c.in.EventStart || p.EventStart == c.in.EventStart && p.Row > c.in.Row {
			return errCounted
		}
		c.done++
		if rows.Op == record.Update && keyChanged(rows.Table, rows.Before, rows.After) {
			c.done++ // it leaves as two changes
		}
	}
	return rows.Err()
}

// Commit implements binlog.Handler.
func (c *doneCounter) Commit(_ context.Context, b binlog.Boundary) error {
	if b.Idle {
		return nil
	}
	return errCounted
}

// Schema implements binlog.Handler.
func (c *doneCounter) Schema(context.Context, binlog.SchemaChange) error { return nil }

// TableFailed implements binlog.Handler. The pipeline meets the fault again and deals with it.
func (c *doneCounter) TableFailed(context.Context, *binlog.TableError) error { return nil }
