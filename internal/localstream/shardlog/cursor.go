package shardlog

import (
	"errors"
	"fmt"
	"io"
)

const (
	firstChunk = 64 << 10
	maxChunk   = 1 << 20
)

// frames reads the frames of one file in order. The frames that it returned stay valid: it never reads into the same
// memory twice.
type frames struct {
	file io.ReaderAt
	name string
	salt uint32
	off  int64 // of the next frame
	end  int64 // where the durable part ends

	buf   []byte // bytes from off on that are in memory already
	chunk int
}

// next returns the frame at f.off and steps over it.
func (f *frames) next() (frame, error) {
	fr, err := f.peek()
	if err == nil {
		f.buf = f.buf[fr.size:]
		f.off += int64(fr.size)
	}
	return fr, err
}

// peek returns the frame at f.off; io.EOF at the end, *CorruptError for a frame that can't be read.
func (f *frames) peek() (frame, error) {
	if f.off >= f.end {
		return frame{}, io.EOF
	}
	fr, err := parseFrame(f.buf, f.salt)
	for errors.Is(err, errPartial) {
		if int64(fr.size) > f.end-f.off {
			return frame{}, f.corrupt(errPartial.Error())
		}
		if err := f.fill(fr.size); err != nil {
			return frame{}, err
		}
		fr, err = parseFrame(f.buf, f.salt)
	}
	if err != nil {
		return frame{}, f.corrupt(err.Error())
	}
	return fr, nil
}

// fill makes at least need bytes available in f.buf. It reads in growing steps, so that looking at one record of a
// small limit does not cost a megabyte.
func (f *frames) fill(need int) error {
	f.chunk = min(max(firstChunk, f.chunk*2), maxChunk)
	size := int(min(int64(max(need, f.chunk)), f.end-f.off))
	buf := make([]byte, size)
	have := copy(buf, f.buf)
	n, err := f.file.ReadAt(buf[have:], f.off+int64(have))
	if have+n < size {
		if err == nil || errors.Is(err, io.EOF) {
			return f.corrupt(fmt.Sprintf("the file ends at byte %d of %d", f.off+int64(have+n), f.end))
		}
		return fmt.Errorf("read segment %s: %w", f.name, err)
	}
	f.buf = buf
	return nil
}

func (f *frames) corrupt(reason string) error {
	return &CorruptError{File: f.name, Offset: f.off, Reason: reason}
}
