package binlog

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
)

// inflater undoes MariaDB's compression of single events. Its result is overwritten by the next call.
type inflater struct {
	limit int // larger results are refused
	zlib  io.ReadCloser
	out   scratch
}

// inflate reads a head of one byte, of which the lower three bits say how many bytes of length follow and the next three
// how it was compressed, the length with its highest byte first, and then the compressed bytes.
func (f *inflater) inflate(data []byte) ([]byte, error) {
	if len(data) == 0 || len(data) < 1+int(data[0]&7) {
		return nil, fmt.Errorf("%w: it ends in the head of its compressed part", ErrCorrupt)
	}
	if how := data[0] >> 4 & 7; how != 0 {
		return nil, fmt.Errorf("%w: compression %d", ErrUnknownEvent, how)
	}
	size := uint64(0)
	for _, b := range data[1 : 1+data[0]&7] {
		size = size<<8 | uint64(b)
	}
	if size > uint64(f.limit) {
		return nil, fmt.Errorf("%w: decompressed it has %d bytes", ErrTooLarge, size)
	}
	from := bytes.NewReader(data[1+data[0]&7:])
	var err error
	if f.zlib == nil {
		f.zlib, err = zlib.NewReader(from)
	} else {
		err = f.zlib.(zlib.Resetter).Reset(from, nil)
	}
	if err != nil {
		f.zlib = nil
		return nil, fmt.Errorf("%w: decompress: %w", ErrCorrupt, err)
	}
	out, err := f.out.read(f.zlib, nil, int(size))
	if err != nil {
		return nil, fmt.Errorf("%w: decompress %d bytes: %w", ErrCorrupt, size, err)
	}
	// Only its end shows whether the compressed bytes were whole.
	if n, err := f.zlib.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than %d bytes could be decompressed, or their end is damaged: %w", ErrCorrupt, size, err)
	}
	return out, nil
}
