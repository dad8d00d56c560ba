package binlog

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
)

// inflater undoes MariaDB's compression of single events. Its result is overwritten by the next call.
type inflater struct {
	zlib io.ReadCloser
	buf  bytes.Buffer
}

// maxInflated is the largest event that MariaDB writes.
const maxInflated = 1 << 30

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
	if size > maxInflated {
		return nil, fmt.Errorf("%w: it claims to hold %d bytes", ErrCorrupt, size)
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
	if f.buf.Cap() > 4<<20 {
		f.buf = bytes.Buffer{}
	}
	f.buf.Reset()
	// The length is only believed as far as there are bytes: growing with them costs what they are worth.
	if n, err := io.Copy(&f.buf, io.LimitReader(f.zlib, int64(size)+1)); err != nil || uint64(n) != size {
		return nil, fmt.Errorf("%w: %d of %d bytes could be decompressed: %w", ErrCorrupt, n, size, err)
	}
	return f.buf.Bytes(), nil
}
