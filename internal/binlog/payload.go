package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

// payloadReader decompresses transactions as a stream: besides the compressed bytes, or a part of them, only one event
// is in memory.
type payloadReader struct {
	zstd *zstd.Decoder
	head [peeked]byte
	open bool
}

// Fields of a transaction payload event.
const (
	payloadEnd         = 0
	payloadSize        = 1
	payloadCompression = 2

	compressionZstd = 0
	compressionNone = 255

	maxPayloadFields = 64 // bytes that the fields take, at most
)

// payloadEvent handles the events in a compressed transaction that is in memory.
func (s *stream) payloadEvent(ctx context.Context, e *event) error {
	data, compression, err := payloadOf(e.body, uint64(len(e.body)))
	if err != nil {
		return err
	}
	return s.innerEvents(ctx, e, bytes.NewReader(data), compression)
}

// innerEvents handles the events in a compressed transaction, in order. All of them get the place of the payload; the
// byte at which each stands in the decompressed stream goes into the row numbers, so that a row's coordinate is unique, in
// order, and the same whoever reads it.
func (s *stream) innerEvents(ctx context.Context, e *event, r io.Reader, compression uint64) error {
	if s.payload.open {
		return fmt.Errorf("%w: a compressed transaction within a compressed transaction", ErrCorrupt)
	}
	s.payload.open = true
	defer func() { s.payload.open = false }()
	switch compression {
	case compressionNone:
	case compressionZstd:
		z, done, err := s.payload.decompress(r)
		if err != nil {
			return err
		}
		defer done()
		r = z
	default:
		return fmt.Errorf("%w: compression type %d", ErrUnknownEvent, compression)
	}
	for at := uint64(0); ; {
		var err error
		inner := &s.inner
		*inner, err = s.innerEvent(r)
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
		err = s.event(ctx, inner)
		inner.body = nil
		if err != nil {
			return s.fail(*inner, err)
		}
	}
}

// payloadOf reads the fields in front of the payload: type, length, value each. b is the beginning of the event's body,
// or all of it, size is the body's length.
func payloadOf(b []byte, size uint64) (payload []byte, compression uint64, err error) {
	bad := fmt.Errorf("%w: its fields do not fit in", ErrCorrupt)
	announced, compression, body := uint64(math.MaxUint64), compressionNone, uint64(len(b))
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
			if announced = value; !ok {
				return nil, 0, bad
			}
		case payloadCompression:
			if compression = value; !ok {
				return nil, 0, bad
			}
		}
		b = rest[length:]
	}
	if size -= body - uint64(len(b)); announced != math.MaxUint64 && announced != size {
		return nil, 0, fmt.Errorf("%w: a payload of %d bytes is announced and %d came", ErrCorrupt, announced, size)
	}
	return b, compression, nil
}

// maxWindow is how far back a payload may refer to what has been decompressed: as far as the highest level that the
// server can be set to does.
const maxWindow = 128 << 20

// decompress starts decompressing, with the one decoder that is kept.
func (p *payloadReader) decompress(r io.Reader) (z io.Reader, done func(), err error) {
	if p.zstd == nil {
		// Concurrency 1 means: in this goroutine, nothing to be closed, nothing read ahead.
		p.zstd, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	} else {
		err = p.zstd.Reset(r)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: decompress: %w", ErrCorrupt, err)
	}
	return p.zstd, func() { _ = p.zstd.Reset(nil) }, nil
}

// innerEvent reads one event, of a large one that is not needed only the beginning. Events in a payload have no checksum.
// The error is io.EOF behind the last.
func (s *stream) innerEvent(r io.Reader) (event, error) {
	failed := func(err error) error { return fmt.Errorf("%w: decompress: %w", ErrCorrupt, err) }
	head := s.payload.head[:eventHeader]
	if _, err := io.ReadFull(r, head); err != nil {
		if errors.Is(err, io.EOF) {
			return event{}, io.EOF
		}
		return event{}, failed(err)
	}
	e, err := headerOf(head)
	if err != nil {
		return e, err
	}
	left := int64(e.size) - eventHeader
	if int64(e.size) > int64(s.r.limits.whole) && left > peeked-eventHeader {
		head = s.payload.head[:]
		if _, err := io.ReadFull(r, head[eventHeader:]); err != nil {
			return e, failed(err)
		}
		e.body = head[eventHeader:]
		left -= peeked - eventHeader
		if !s.keeps(&e) {
			e.cut = true
			if _, err := io.CopyN(io.Discard, r, left); err != nil {
				return e, failed(err)
			}
			return e, nil
		}
	}
	data, err := s.scratch.read(r, head, int(left))
	if err != nil {
		return e, failed(err)
	}
	e.body = data[eventHeader:]
	return e, nil
}
