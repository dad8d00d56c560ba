package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// errReadAgain ends a connection that has read a large payload through: the next one hands it over.
var errReadAgain = errors.New("the transaction is read again, to be handed over")

// maxAgain is how often a payload is verified before it is handed over: once, unless the connection breaks.
const maxAgain = 10

// verified is what is known of a large payload whose checksum has been found right: the checksums of its blocks.
type verified struct {
	file       string
	start, end uint64
	sums       []uint32
}

// is reports whether this is the payload e.
func (v *verified) is(file string, e *event) bool {
	return v != nil && v.file == file && v.start == e.start && v.end == e.end
}

// largePayload handles a compressed transaction that is too large to be kept until its checksum has come, which stands at
// its end. It is read twice: once only to verify it, and, on another connection that begins at the boundary in front of it,
// once more to be handed over, a block at a time, each compared with what was verified.
func (s *stream) largePayload(ctx context.Context, e *event) error {
	p := s.progress
	size := int64(e.size)
	var sums []uint32
	if s.checksum {
		size -= checksumSize
	}
	if s.checksum && s.statement == nil {
		if !p.payload.is(s.cursor.file, e) {
			if p.again++; p.again > maxAgain {
				return s.fail(*e, fmt.Errorf("%w: it stands at another place each time it is read", ErrCorrupt))
			}
			if err := s.verify(*e, func(sum uint32) { sums = append(sums, sum) }); err != nil {
				return err
			}
			p.payload = &verified{s.cursor.file, e.start, e.end, sums}
			s.r.cfg.Logger.Info("a large compressed transaction is intact and read once more, to be handed over",
				"file", s.cursor.file, "offset", e.start, "bytes", e.size)
			return errReadAgain
		}
		sums = p.payload.sums
	}
	blocks := &blockReader{from: s.packets, sums: sums, left: size, buf: make([]byte, s.r.limits.block)}
	err := s.streamPayload(ctx, e, blocks)
	if blocks.err != nil {
		return brokenOff(s, *e, blocks.err)
	}
	if err != nil {
		return s.fail(*e, err)
	}
	if s.checksum {
		if _, err := io.ReadFull(s.packets, make([]byte, checksumSize)); err != nil { // it is one with the blocks'
			return brokenOff(s, *e, err)
		}
	}
	return s.packetEnds(*e)
}

// streamPayload handles the events in a payload that comes as r.
func (s *stream) streamPayload(ctx context.Context, e *event, r *blockReader) error {
	front := make([]byte, min(r.left, eventHeader+maxPayloadFields))
	size := uint64(r.left) - eventHeader
	if _, err := io.ReadFull(r, front); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	begun, compression, err := payloadOf(front[eventHeader:], size)
	if err != nil {
		return err
	}
	if err := s.innerEvents(ctx, e, io.MultiReader(bytes.NewReader(begun), r), compression); err != nil {
		return err
	}
	if r.left > 0 || len(r.rest) > 0 {
		return fmt.Errorf("%w: bytes follow the end of the compressed transaction", ErrCorrupt)
	}
	return nil
}

// blockReader hands an event on in blocks, once each is whole and found right.
type blockReader struct {
	from io.Reader
	sums []uint32 // of the blocks that are still to come; nil where the log has no checksums
	left int64
	buf  []byte
	rest []byte // of buf
	err  error  // of from
}

func (b *blockReader) Read(into []byte) (int, error) {
	if len(b.rest) == 0 {
		if b.left == 0 {
			return 0, io.EOF
		}
		block := b.buf[:min(b.left, int64(len(b.buf)))]
		if _, b.err = io.ReadFull(b.from, block); b.err != nil {
			return 0, b.err
		}
		if b.sums != nil {
			if crc32.ChecksumIEEE(block) != b.sums[0] {
				return 0, errChecksum
			}
			b.sums = b.sums[1:]
		}
		b.left -= int64(len(block))
		b.rest = block
	}
	n := copy(into, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}
