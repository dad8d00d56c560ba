package binlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// transaction is the state between two boundaries.
type transaction struct {
	open     bool      // something of it was seen
	explicit bool      // it ends with XID, COMMIT or ROLLBACK; without, with its only statement
	gtid     string    // "" where the source has none
	time     time.Time // commit time if the log says, else when its first statement began
	exact    bool      // time is the commit time, in microseconds
	id       uint64    // file number << 32 + offset of BEGIN
	first    uint64    // offset of the event that stands in front of it
	begun    bool      // Handler.Begin was called
	events   int       // rows events of selected tables that were dealt with: handed over, or passed over
	resumed  part      // what an earlier connection handed over of the transaction that comes first
	xa       *heldXA   // rows of an XA transaction, until it is known to be committed in one phase
	inert    bool      // its statement changes nothing: see inertAlter
}

// reset forgets the transaction, but not what is still expected from an earlier connection.
func (t *transaction) reset() { *t = transaction{resumed: t.resumed} }

// start opens a transaction with the event that stands in front of it.
func (s *stream) start(e *event, gtid string) {
	s.tx.reset()
	if s.tx.resumed.events == 0 {
		s.r.retries.apply(s.tables)
	}
	s.tx.open, s.tx.gtid, s.tx.time = true, gtid, eventTime(e)
	s.tx.id, s.tx.first = s.cursor.number<<32+e.start, e.start
}

func eventTime(e *event) time.Time { return time.Unix(int64(e.time), 0).UTC() }

// begin marks the event that the transaction's id is taken from.
func (s *stream) begin(e *event) {
	if !s.tx.open {
		s.start(e, "")
	}
	s.tx.explicit = true
	s.tx.id = s.cursor.number<<32 + e.start
	if !s.tx.exact {
		s.tx.time = eventTime(e)
	}
}

// gtidEvent stands in front of every transaction of MySQL, also where GTIDs are off.
func (s *stream) gtidEvent(e *event) error {
	if err := s.unfinished(); err != nil {
		return err
	}
	if err := s.gtid.decode(e); err != nil {
		return err
	}
	gtid := ""
	if e.kind != replication.ANONYMOUS_GTID_EVENT {
		gtid = s.gtid.text()
	}
	s.start(e, gtid)
	if t := s.gtid.event.ImmediateCommitTimestamp; t > 0 {
		s.tx.time, s.tx.exact = time.UnixMicro(int64(t)).UTC(), true
	}
	return nil
}

// mariaGTIDEvent stands in front of every transaction of MariaDB, and takes the place of BEGIN.
func (s *stream) mariaGTIDEvent(e *event) error {
	if err := s.unfinished(); err != nil {
		return err
	}
	var g replication.MariadbGTIDEvent
	if err := decode(&g, e.body); err != nil {
		return err
	}
	b := appendMariaGTID(make([]byte, 0, 40), g.GTID.DomainID, e.server, g.GTID.SequenceNumber)
	s.start(e, string(b))
	s.tx.explicit = !g.IsStandalone()
	s.tx.inert = inertAlter(e.body, g.Flags)
	if g.Flags&mariaPreparedXA != 0 {
		s.tx.xa = &heldXA{}
	}
	return nil
}

// Flags of a MariaDB GTID event.
const (
	mariaGroupCommit   = 2  // the number of a group commit follows
	mariaPreparedXA    = 64 // the group ends with XA PREPARE
	mariaCompletedXA   = 128
	mariaStartAlter    = 2 // of the second byte of flags: the first half of an ALTER in two
	mariaRollbackAlter = 8 // and the second, if the statement failed
)

// inertAlter says that a group holds an ALTER that is not in force behind it. With binlog_alter_two_phase the server logs
// one when it begins, so that replicas can begin as well, and again when it is in force or has failed; rows that are logged
// in between still have the old definition.
func inertAlter(body []byte, flags byte) bool {
	if flags&(mariaPreparedXA|mariaCompletedXA) != 0 {
		return false
	}
	at := 13 // behind sequence number, domain and flags
	if flags&mariaGroupCommit != 0 {
		at += 8
	}
	return at < len(body) && body[at]&(mariaStartAlter|mariaRollbackAlter) != 0
}

// unfinished refuses a new transaction while rows of one without an end were handed over.
func (s *stream) unfinished() error {
	if s.tx.open && s.tx.explicit && s.tx.events > 0 {
		return fmt.Errorf("%w: the transaction that began at %d has no end", ErrCorrupt, s.tx.id&0xffffffff)
	}
	return nil
}

// commit ends the transaction at an XID or COMMIT.
func (s *stream) commit(ctx context.Context, e *event) error {
	if !s.tx.open {
		return ErrInside
	}
	if err := s.settleResumed(); err != nil {
		return err
	}
	if s.tx.xa != nil {
		return fmt.Errorf("%w: a plain end of an XA transaction", ErrCorrupt)
	}
	return s.boundary(ctx, e)
}

// boundary announces the end of a transaction and makes it the place to start again from.
func (s *stream) boundary(ctx context.Context, e *event) error {
	b := Boundary{File: s.cursor.file, Offset: e.end, FileBegan: s.cursor.began, GTID: s.tx.gtid, Time: s.tx.time}
	if !s.tx.exact {
		b.Time = eventTime(e)
	}
	if err := s.learnAll(ctx, b.Position()); err != nil {
		return err
	}
	if err := s.remember(ctx); err != nil {
		return err
	}
	if err := handled(s.h.Commit(ctx, b)); err != nil {
		return err
	}
	p := s.progress
	if p.set != nil {
		if err := p.set.Add(b.GTID); err != nil {
			return err
		}
	}
	p.boundary.File, p.boundary.Offset, p.boundary.FileBegan = b.File, b.Offset, b.FileBegan
	p.moved, p.again = true, 0
	s.tx = transaction{}
	s.tables.forget()
	s.scratch.release()
	s.inflater.out.release()
	s.gauges()
	s.r.metrics.lastHeard.SetToCurrentTime()
	return nil
}

// settleResumed checks at the end of the first transaction of a connection that it was the one that the connection before
// broke in, if there is one.
func (s *stream) settleResumed() error {
	r := s.tx.resumed
	if r.events > s.tx.events {
		return fmt.Errorf("%w: of the transaction that began at %d, %d rows events were read before the connection broke, and now %d",
			ErrCorrupt, r.id&0xffffffff, r.events, s.tx.events)
	}
	return nil
}

// turn takes up the next rows event of a selected table, whatever becomes of it, and reports whether an earlier
// connection has dealt with it already.
func (s *stream) turn() (done bool, err error) {
	r := &s.tx.resumed
	if s.tx.events == 0 && r.events > 0 {
		if r.id != s.tx.id {
			return false, fmt.Errorf("%w: a transaction that began at %d where the one that the lost connection broke in began at %d",
				ErrCorrupt, s.tx.id&0xffffffff, r.id&0xffffffff)
		}
		s.tx.begun = r.begun
	}
	s.tx.events++
	if s.tx.events <= r.events {
		s.r.metrics.skipped.Inc()
		return true, nil
	}
	return false, nil
}

// handOver gives one rows event of a selected table to the Handler, unless an earlier connection already did.
func (s *stream) handOver(ctx context.Context, tab *table, rows *Rows) error {
	if done, err := s.turn(); done || err != nil {
		return err
	}
	if !s.tx.begun {
		s.handed = record.Transaction{ID: s.tx.id, GTID: s.tx.gtid, CommitTime: s.tx.time}
		if err := handled(s.h.Begin(ctx, &s.handed)); err != nil {
			return err
		}
		s.tx.begun = true
	}
	s.r.metrics.rows.Inc()
	large := len(rows.image) > scratchKeep
	err := s.h.Rows(ctx, rows)
	if err == nil {
		err = rows.Err()
	}
	if large {
		rows.forget()
	}
	if e, ok := errors.AsType[*TableError](err); ok {
		return s.tableFailed(ctx, tab, e)
	}
	return handled(err)
}
