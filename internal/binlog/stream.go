package binlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// stream reads what one connection sends.
type stream struct {
	r        *Reader
	h        Handler
	progress *progress
	packets  *source.Packets
	tables   *tables
	ahead    *lookahead
	mariadb  bool

	// statement, if not nil, is given every logged statement, and nothing else is done with them: the stream is read for
	// these alone, and nothing of it is handed over.
	statement func(context.Context, *event, query) error

	cursor   cursor
	skipTo   uint64 // events that end here or before were asked for only because the dump command cannot name the place
	checksum bool   // events end in a checksum; known once the format has been seen
	decoder  *tableMapDecoder
	outer    event // that is being handled
	inner    event // and the one within it, if it is a compressed transaction
	gtid     gtidReader
	tx       transaction
	handed   record.Transaction // what the Handler is given of tx
	rows     Rows
	payload  payloadReader
	inflater inflater
	scratch  scratch // of a large event, or of one out of a payload
}

func newStream(r *Reader, p *progress, tabs *tables, packets *source.Packets) *stream {
	s := &stream{r: r, h: r.cfg.Handler, progress: p, packets: packets, tables: tabs, ahead: &r.ahead, mariadb: p.server.Flavor == source.MariaDB}
	tabs.forget()
	s.inflater.limit = r.limits.event
	tabs.fold = p.server.LowerCaseTables != 0
	if !byGTID(p.server, p.set) {
		s.cursor.file = p.boundary.File
		s.cursor.end = p.boundary.Offset
		if p.boundary.Offset > maxDumpOffset {
			s.cursor.end, s.skipTo = fileHeader, p.boundary.Offset
		}
	}
	s.tx.resumed = p.part
	return s
}

// part is how far the open transaction has come.
func (s *stream) part() part {
	if s.tx.events == 0 {
		return s.tx.resumed // nothing, or the connection broke again before it came to the transaction
	}
	return part{id: s.tx.id, begun: s.tx.begun, events: max(s.tx.resumed.events, s.tx.events)}
}

// run reads events until the connection breaks or one cannot be handled.
func (s *stream) run(ctx context.Context, ready func()) error {
	s.packets.SetTimeout(searchTimeout)
	for first := true; ; first = false {
		err := s.next(ctx, func() {
			if first {
				s.packets.SetTimeout(s.r.silence)
				ready()
			}
		})
		if err != nil {
			return err
		}
	}
}

// errEnded is how a server tells that it sends nothing more.
var errEnded = fmt.Errorf("the server ended the stream: %w", io.EOF)

// next reads one event and handles it. come is called when it has come.
func (s *stream) next(ctx context.Context, come func()) error {
	head, err := s.packets.Peek(1 + peeked)
	if err != nil {
		return fmt.Errorf("read from the source: %w", err)
	}
	if s.decoder != nil && s.isLarge(head) {
		return s.takeLarge(ctx, head)
	}
	data, err := s.packets.Next()
	if err != nil {
		return fmt.Errorf("read from the source: %w", err)
	}
	if my, ok := source.IsError(data); ok {
		return dumpRefused(my)
	}
	if source.IsEOF(data) {
		return errEnded
	}
	if len(data) == 0 || data[0] != 0 {
		return s.fail(event{}, fmt.Errorf("%w: a packet begins with % x", ErrCorrupt, data[:min(len(data), 8)]))
	}
	come()
	return s.take(ctx, data[1:])
}

// take handles the bytes of one event.
func (s *stream) take(ctx context.Context, data []byte) error {
	e := &s.outer
	err := e.parse(data)
	e.start = s.cursor.end
	if err != nil {
		return s.fail(*e, err)
	}
	if s.statement == nil { // (Nobody sees the counters of who looks ahead.)
		s.r.metrics.count(e.kind, len(data))
	}
	switch {
	case e.kind == replication.FORMAT_DESCRIPTION_EVENT:
	case e.artificial() && (e.kind == replication.ROTATE_EVENT) || s.decoder == nil:
		// The first event names the file, before the format has been told: only its bytes can say if a checksum is there.
		if checksumFits(data) {
			e.body = e.body[:len(e.body)-checksumSize]
		}
	case s.checksum:
		if err := e.dropChecksum(data); err != nil {
			return s.fail(*e, err)
		}
	}
	if err := s.cursor.place(e, s.mariadb); err != nil {
		return s.fail(*e, err)
	}
	if s.skipTo > 0 && e.end <= s.skipTo && !isFraming(e.kind) {
		return nil
	}
	err = s.event(ctx, e)
	e.body = nil // what comes next may need as much memory
	if err != nil {
		return s.fail(*e, err)
	}
	return nil
}

// isFraming tells the events that must be seen even where all others are skipped.
func isFraming(k replication.EventType) bool {
	return k == replication.FORMAT_DESCRIPTION_EVENT || k == replication.ROTATE_EVENT
}

// tellsOfStatements tells the events that whoever looks for statements needs: statements, what they may be wrapped in, and
// what says whether they are in force.
func tellsOfStatements(k replication.EventType) bool {
	return isFraming(k) || isStatement(k) || k == replication.TRANSACTION_PAYLOAD_EVENT || k == replication.MARIADB_GTID_EVENT
}

// fail gives an error about an event its place, unless it has one, or is about something else.
func (s *stream) fail(e event, err error) error {
	var (
		pos   *PositionError
		tab   *TableError
		ev    *EventError
		hand  *handlerError
		asked *source.Error
	)
	if errors.As(err, &pos) || errors.As(err, &tab) || errors.As(err, &ev) || errors.As(err, &hand) || errors.As(err, &asked) {
		return err
	}
	return &EventError{Event: eventName(e.kind), File: s.cursor.file, Offset: e.start, Hint: hintReload, Err: err}
}

// place is the coordinate of an event's rows.
func (s *stream) place(e *event, tableMap uint64) record.Place {
	return record.Place{File: s.cursor.file, TableMapStart: tableMap, EventStart: e.start, EventEnd: e.end}
}

// event handles one event. Every type is listed here or in passedOver: one that is not is an error.
func (s *stream) event(ctx context.Context, e *event) error {
	if e.time > 0 && !e.artificial() {
		s.r.metrics.lastEvent.Set(float64(e.time))
	}
	if s.statement != nil && !tellsOfStatements(e.kind) {
		return nil
	}
	if e.cut && needsBody(e.kind) {
		return tooLarge(e)
	}
	switch e.kind {
	case replication.TABLE_MAP_EVENT:
		return s.tables.see(e.body, e.start)

	case replication.WRITE_ROWS_EVENTv2, replication.UPDATE_ROWS_EVENTv2, replication.DELETE_ROWS_EVENTv2,
		replication.WRITE_ROWS_EVENTv1, replication.UPDATE_ROWS_EVENTv1, replication.DELETE_ROWS_EVENTv1,
		replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1, replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1,
		replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1, replication.PARTIAL_UPDATE_ROWS_EVENT:
		return s.rowsEvent(ctx, e)

	case replication.GTID_EVENT, replication.ANONYMOUS_GTID_EVENT, replication.GTID_TAGGED_LOG_EVENT:
		return s.gtidEvent(e)
	case replication.MARIADB_GTID_EVENT:
		return s.mariaGTIDEvent(e)
	case replication.QUERY_EVENT, replication.MARIADB_QUERY_COMPRESSED_EVENT, replication.EXECUTE_LOAD_QUERY_EVENT:
		return s.queryEvent(ctx, e)
	case replication.XID_EVENT:
		return s.commit(ctx, e)
	case replication.XA_PREPARE_LOG_EVENT:
		return s.xaPrepare(ctx, e)
	case replication.TRANSACTION_PAYLOAD_EVENT:
		return s.payloadEvent(ctx, e)

	case replication.FORMAT_DESCRIPTION_EVENT:
		return s.format(e)
	case replication.ROTATE_EVENT:
		return s.rotate(ctx, e)
	case replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2:
		return s.heartbeat(ctx, e)

	case replication.INCIDENT_EVENT:
		return s.incident(e)
	}
	if passedOver[e.kind] != "" {
		return nil
	}
	if e.flags&replication.LOG_EVENT_IGNORABLE_F != 0 {
		return nil // whoever wrote it says that readers that don't know it miss nothing
	}
	return fmt.Errorf("%w (type %d)", ErrUnknownEvent, byte(e.kind))
}

// passedOver says why events of these types need not be looked at.
var passedOver = [256]string{
	replication.STOP_EVENT:                      "the server stopped; the next file follows",
	replication.PREVIOUS_GTIDS_EVENT:            "the state at the start of a file",
	replication.MARIADB_GTID_LIST_EVENT:         "the state at the start of a file",
	replication.MARIADB_BINLOG_CHECKPOINT_EVENT: "the server's own recovery",
	replication.MARIADB_START_ENCRYPTION_EVENT:  "what follows comes in clear",
	replication.ROWS_QUERY_EVENT:                "the text of the statement behind rows",
	replication.MARIADB_ANNOTATE_ROWS_EVENT:     "the text of the statement behind rows",
	replication.INTVAR_EVENT:                    "context of a logged statement, which is judged by itself",
	replication.RAND_EVENT:                      "context of a logged statement, which is judged by itself",
	replication.USER_VAR_EVENT:                  "context of a logged statement, which is judged by itself",
	replication.BEGIN_LOAD_QUERY_EVENT:          "data of a logged LOAD DATA, which is judged when it is executed",
	replication.APPEND_BLOCK_EVENT:              "data of a logged LOAD DATA, which is judged when it is executed",
	replication.DELETE_FILE_EVENT:               "data of a logged LOAD DATA that failed",
	replication.TRANSACTION_CONTEXT_EVENT:       "group replication's own",
	replication.VIEW_CHANGE_EVENT:               "group replication's own",
	replication.IGNORABLE_EVENT:                 "says itself that it may be passed over",
}

// format takes note of how the events of this file are written.
func (s *stream) format(e *event) error {
	const tail = 1 + checksumSize // checksum algorithm, checksum
	if len(e.body) < 57+tail {
		return fmt.Errorf("%w: the format description is too short", ErrCorrupt)
	}
	if s.tx.events > 0 {
		return fmt.Errorf("%w: the log file ended within the transaction that began at %d", ErrCorrupt, s.tx.id&0xffffffff)
	}
	head := e.body[:len(e.body)-tail]
	s.cursor.began = int64(e.time)
	s.checksum = e.body[len(head)] == byte(replication.BINLOG_CHECKSUM_ALG_CRC32)
	s.tx.reset()
	s.tables.forget()
	var err error
	s.decoder, err = newTableMapDecoder(head)
	return err
}

// incident ends the run, unless it stands in front of the place where reading began: MariaDB, when it looks for a GTID,
// leaves out the transactions in front of it but sends what stands between them.
func (s *stream) incident(e *event) error {
	at := source.Position{File: s.cursor.file, Offset: e.end}
	if from := s.progress.boundary; from.File != "" && !from.Before(at) {
		return nil
	}
	return ErrIncident
}

// rotate goes on to another file. The one that tells of the present file at the start of a dump is made up.
func (s *stream) rotate(ctx context.Context, e *event) error {
	var r replication.RotateEvent
	if len(e.body) < 8 {
		return fmt.Errorf("%w: it names no file", ErrCorrupt)
	}
	if err := r.Decode(e.body); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	number, err := source.FileNumber(string(r.NextLogName))
	if err != nil {
		return err
	}
	offset := max(r.Position, fileHeader)
	if s.skipTo > 0 && string(r.NextLogName) != s.progress.boundary.File {
		s.skipTo = 0
	}
	s.cursor = cursor{file: string(r.NextLogName), number: number, end: offset}
	if p := &s.progress.boundary; p.File == s.cursor.file {
		s.cursor.began = p.FileBegan // the format description that says so is still to come
	}
	return s.idle(ctx, s.cursor.end)
}

// heartbeat is sent while there is nothing else, or while transactions are passed over that we have.
func (s *stream) heartbeat(ctx context.Context, e *event) error {
	h := replication.HeartbeatEvent{Version: 1, Offset: uint64(e.logPos)}
	if e.kind == replication.HEARTBEAT_LOG_EVENT_V2 {
		h.Version = 2
	}
	if err := decode(&h, e.body); err != nil {
		return err
	}
	s.r.metrics.lastHeard.SetToCurrentTime()
	if h.Filename != s.cursor.file {
		return nil // of the file before, or of one that is still to be announced
	}
	offset := h.Offset
	if h.Version == 1 { // it has 32 bits only: the same offset, or one a little ahead
		offset = s.cursor.end + uint64(uint32(h.Offset)-uint32(s.cursor.end))
		if offset-s.cursor.end > 1<<31 {
			offset = s.cursor.end
		}
	}
	if s.skipTo > 0 && offset < s.skipTo {
		return nil
	}
	s.cursor.end = max(s.cursor.end, offset)
	if !s.tx.open {
		if err := s.learnAll(ctx, source.Position{File: s.cursor.file, Offset: s.cursor.end}); err != nil {
			return err
		}
	}
	return s.idle(ctx, s.cursor.end)
}

// idle announces a boundary without a transaction, if none is open and it is not behind the last one. The same place
// again says that the source is alive and has nothing new.
func (s *stream) idle(ctx context.Context, offset uint64) error {
	p := &s.progress.boundary
	at := source.Position{File: s.cursor.file, Offset: offset}
	if s.tx.open || s.tx.resumed.events > 0 || at.Before(*p) {
		return nil
	}
	if err := s.remember(ctx); err != nil {
		return err
	}
	b := Boundary{File: at.File, Offset: at.Offset, FileBegan: s.cursor.began, Time: time.Now(), Idle: true}
	if err := handled(s.h.Commit(ctx, b)); err != nil {
		return err
	}
	p.File, p.Offset, p.FileBegan = at.File, at.Offset, s.cursor.began
	s.progress.moved = true
	s.gauges()
	return nil
}

func (s *stream) gauges() {
	s.r.metrics.fileNumber.Set(float64(s.cursor.number))
	s.r.metrics.offset.Set(float64(s.cursor.end))
}

// decode lets the client library read an event's body.
func decode(into interface{ Decode([]byte) error }, body []byte) (err error) {
	defer rescue(&err)
	if err := into.Decode(body); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}
