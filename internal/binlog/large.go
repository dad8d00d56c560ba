package binlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/go-mysql-org/go-mysql/replication"
)

// limits bound the memory that events take.
type limits struct {
	whole     int // an event up to this size is taken into memory before anything is known of it
	event     int // the largest event of rows that is taken into memory at all
	statement int // the same for a statement
	block     int // what of a large payload is verified and handed on at a time
}

// A row of 64 MiB fits, with its before image.
var defaultLimits = limits{whole: 8 << 20, event: 136 << 20, statement: 64 << 20, block: 1 << 20}

// peeked is how much of a large event is looked at first: its header, and the table id of rows.
const peeked = eventHeader + 8

// isLarge looks at the beginning of a packet.
func (s *stream) isLarge(packet []byte) bool {
	return len(packet) == 1+peeked && packet[0] == 0 && int64(binary.LittleEndian.Uint32(packet[1+9:])) > int64(s.r.limits.whole)
}

// takeLarge handles an event of which only the beginning has been looked at. It is read as a whole if that is needed
// and not too much; else it is only verified, and handled as far as its beginning goes.
func (s *stream) takeLarge(ctx context.Context, packet []byte) error {
	e, err := headerOf(bytes.Clone(packet[1:])) // the connection's memory is about to be used again
	if err != nil {
		return s.fail(e, err)
	}
	if _, err := s.packets.Read(make([]byte, 1)); err != nil { // the zero byte in front of the event
		return fmt.Errorf("read from the source: %w", err)
	}
	e.start = s.cursor.end
	if s.keeps(&e) {
		data, err := s.scratch.read(s.packets, nil, int(e.size))
		if err != nil {
			return brokenOff(s, e, err)
		}
		if err := s.packetEnds(e); err != nil {
			return err
		}
		return s.take(ctx, data)
	}
	s.r.metrics.count(e.kind, int(e.size))
	if err := s.cursor.place(&e, s.mariadb); err != nil {
		return s.fail(e, err)
	}
	passed := s.skipTo > 0 && e.end <= s.skipTo
	if e.kind == replication.TRANSACTION_PAYLOAD_EVENT && !passed {
		return s.largePayload(ctx, &e)
	}
	e.cut = true
	if err := s.verify(e, nil); err != nil {
		return err
	}
	if passed {
		return nil
	}
	if err := s.event(ctx, &e); err != nil {
		return s.fail(e, err)
	}
	return nil
}

// keeps reports whether a large event has to be in memory as a whole to be handled, and may be. e.body is its beginning.
func (s *stream) keeps(e *event) bool {
	size := int64(e.size)
	switch _, version, _ := rowsKind(e.kind); {
	case version > 0:
		id, err := tableIDOf(e.body)
		m, known := s.tables.find(id)
		return err == nil && known && m.table.selected && size <= int64(s.r.limits.event)
	case isStatement(e.kind):
		return size <= int64(s.r.limits.statement)
	}
	return needsBody(e.kind) && size <= int64(s.r.limits.event)
}

// needsBody tells the events, apart from those of rows, that mean nothing without their bytes.
func needsBody(k replication.EventType) bool {
	switch k {
	case replication.GTID_EVENT, replication.ANONYMOUS_GTID_EVENT, replication.GTID_TAGGED_LOG_EVENT, replication.MARIADB_GTID_EVENT,
		replication.XID_EVENT, replication.XA_PREPARE_LOG_EVENT, replication.TABLE_MAP_EVENT,
		replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2:
		return true
	}
	return isFraming(k) || isStatement(k)
}

func isStatement(k replication.EventType) bool {
	return k == replication.QUERY_EVENT || k == replication.MARIADB_QUERY_COMPRESSED_EVENT || k == replication.EXECUTE_LOAD_QUERY_EVENT
}

// tooLarge is the refusal of an event that is not taken into memory.
func tooLarge(e *event) error { return fmt.Errorf("%w: it has %d bytes", ErrTooLarge, e.size) }

// verify reads a large event to its end and compares its checksum, if events have one. each is told the checksum of every
// block; it may be nil.
func (s *stream) verify(e event, each func(sum uint32)) error {
	left := int64(e.size)
	if s.checksum {
		left -= checksumSize
	}
	whole := crc32.NewIEEE()
	for buf := s.scratch.get(s.r.limits.block); left > 0; {
		b := buf[:min(left, int64(len(buf)))]
		if _, err := io.ReadFull(s.packets, b); err != nil {
			return brokenOff(s, e, err)
		}
		left -= int64(len(b))
		_, _ = whole.Write(b)
		if each != nil {
			each(crc32.ChecksumIEEE(b))
		}
	}
	if s.checksum {
		var sum [checksumSize]byte
		if _, err := io.ReadFull(s.packets, sum[:]); err != nil {
			return brokenOff(s, e, err)
		}
		if binary.LittleEndian.Uint32(sum[:]) != whole.Sum32() {
			return s.fail(e, errChecksum)
		}
	}
	return s.packetEnds(e)
}

// packetEnds checks that an event fills its packet.
func (s *stream) packetEnds(e event) error {
	switch _, err := s.packets.Read(make([]byte, 1)); {
	case err == nil:
		return s.fail(e, fmt.Errorf("%w: its header says %d bytes, but more came", ErrCorrupt, e.size))
	case errors.Is(err, io.EOF):
		return nil
	default:
		return fmt.Errorf("read from the source: %w", err)
	}
}

// brokenOff tells a packet that ends before its event does from a connection that broke.
func brokenOff(s *stream, e event, err error) error {
	if s.packets.Ended() {
		return s.fail(e, fmt.Errorf("%w: its header says %d bytes, but fewer came", ErrCorrupt, e.size))
	}
	return fmt.Errorf("read from the source: %w", err)
}
