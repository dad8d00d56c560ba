package binlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

// payloadReader decompresses transactions as a stream: besides the compressed bytes, only one event is in memory.
type payloadReader struct {
	zstd  *zstd.Decoder
	buf   []byte
	depth int
}

// Fields of a transaction payload event.
const (
	payloadEnd         = 0
	payloadSize        = 1
	payloadCompression = 2

	compressionZstd = 0
	compressionNone = 255
)

// payloadEvent handles the events in a compressed transaction, in order. All of them get the place of the payload; the
// byte at which each stands in the decompressed stream goes into the row numbers, so that a row's coordinate is unique, in
// order, and the same whoever reads it.
func (s *stream) payloadEvent(ctx context.Context, e *event) error {
	if s.payload.depth > 0 {
		return fmt.Errorf("%w: a compressed transaction within a compressed transaction", ErrCorrupt)
	}
	s.payload.depth++
	defer func() { s.payload.depth-- }()

	data, compression, err := payloadOf(e.body)
	if err != nil {
		return err
	}
	var r io.Reader = bytes.NewReader(data)
	switch compression {
	case compressionNone:
	case compressionZstd:
		if r, err = s.payload.reader(r); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: compression type %d", ErrUnknownEvent, compression)
	}
	for at := uint64(0); ; {
		inner, err := s.payload.next(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if at > math.MaxUint32 {
			return fmt.Errorf("a compressed transaction of more than 4 GiB is not supported; set binlog_transaction_compression=OFF")
		}
		inner.start, inner.end, inner.rowBase = e.start, e.end, uint32(at)
		at += uint64(inner.size)
		s.r.metrics.count(inner.kind, 0)
		if err := s.event(ctx, &inner); err != nil {
			return s.fail(inner, err)
		}
	}
}

// payloadOf reads the fields in front of the payload: type, length, value each.
func payloadOf(b []byte) (payload []byte, compression uint64, err error) {
	bad := fmt.Errorf("%w: its fields do not fit in", ErrCorrupt)
	size, compression := uint64(math.MaxUint64), compressionNone
	for {
		field, rest, ok := packedInt(b)
		if !ok {
			return nil, 0, bad
		}
		if field == payloadEnd {
			b = rest
			break
		}
		length, rest, ok := packedInt(rest)
		if !ok || length > uint64(len(rest)) {
			return nil, 0, bad
		}
		value, _, ok := packedInt(rest[:length])
		switch field {
		case payloadSize:
			if size = value; !ok {
				return nil, 0, bad
			}
		case payloadCompression:
			if compression = value; !ok {
				return nil, 0, bad
			}
		}
		b = rest[length:]
	}
	if size != math.MaxUint64 && size != uint64(len(b)) {
		return nil, 0, fmt.Errorf("%w: a payload of %d bytes is announced and %d came", ErrCorrupt, size, len(b))
	}
	return b, compression, nil
}

// reader starts decompressing, with the one decoder that is kept.
func (p *payloadReader) reader(r io.Reader) (io.Reader, error) {
	if p.zstd == nil {
		// Concurrency 1 means: in this goroutine, nothing to be closed, nothing read ahead.
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		p.zstd = d
		return d, nil
	}
	return p.zstd, p.zstd.Reset(r)
}

// maxInnerEvent is the largest event that MySQL writes.
const maxInnerEvent = 1 << 30

// next reads one event. Events in a payload have no checksum. The error is io.EOF behind the last.
func (p *payloadReader) next(r io.Reader) (event, error) {
	head := [eventHeader]byte{}
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return event{}, io.EOF
		}
		return event{}, fmt.Errorf("%w: decompress: %w", ErrCorrupt, err)
	}
	size := binary.LittleEndian.Uint32(head[9:])
	if size < eventHeader || size > maxInnerEvent {
		return event{}, fmt.Errorf("%w: an event of %d bytes in it", ErrCorrupt, size)
	}
	if cap(p.buf) > 4<<20 && int(size) < cap(p.buf)/4 {
		p.buf = nil
	}
	p.buf = append(p.buf[:0], head[:]...)
	if err := p.fill(r, int(size)); err != nil {
		return event{}, fmt.Errorf("%w: decompress: %w", ErrCorrupt, err)
	}
	return parseHeader(p.buf)
}

// fill reads up to size bytes in steps, so that a length that lies does not take memory by itself.
func (p *payloadReader) fill(r io.Reader, size int) error {
	for len(p.buf) < size {
		at := len(p.buf)
		p.buf = append(p.buf, make([]byte, min(size-at, 1<<20))...)
		if _, err := io.ReadFull(r, p.buf[at:]); err != nil {
			return err
		}
	}
	return nil
}
