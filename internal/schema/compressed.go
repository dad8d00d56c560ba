package schema

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"io"
	"sync"
)

// A value of a compressed column of MariaDB is empty, or begins with a byte that says how it is stored: 0 for as it is,
// else the method in the upper half and, in the lower three bits, how many bytes of length follow, highest first. The one
// method there is, zlib, leaves zlib's head and checksum out where headless is set.
const (
	storedPlain = 0
	methodZlib  = 8
	headless    = 1 << 3
	lengthBytes = 1<<3 - 1
)

// maxDecompressed bounds a value whose column bounds it higher: no packet, and so no value, is larger.
const maxDecompressed = 1 << 30

// inflater holds what decompressing needs, to be used again.
type inflater struct {
	from  bytes.Reader
	flate io.ReadCloser
	zlib  io.ReadCloser // nil until it is needed: it cannot be made without a valid head to read
	plain bytes.Buffer
}

var inflaters = sync.Pool{New: func() any { return &inflater{flate: flate.NewReader(nil)} }}

// compressedValue decompresses a value and renders it.
func compressedValue(c *column, dst, v []byte) ([]byte, error) {
	if len(v) == 0 {
		return c.plain(c, dst, v)
	}
	if v[0] == storedPlain {
		return c.plain(c, dst, v[1:])
	}
	f := inflaters.Get().(*inflater)
	defer f.release()
	plain, err := f.inflate(v, c.size)
	if err != nil {
		return dst, err
	}
	return c.plain(c, dst, plain)
}

// inflate decompresses a value of at most so many bytes. The result is good until the next call.
func (f *inflater) inflate(v []byte, most int) ([]byte, error) {
	head, digits := v[0], int(v[0]&lengthBytes)
	if head>>4 != methodZlib || digits == 0 || digits > 4 || len(v) < 1+digits {
		return nil, corrupt("%x is no head of a compressed value", v[:min(len(v), 5)])
	}
	size := bigEndian(v[1 : 1+digits])
	if size > uint64(most) {
		return nil, corrupt("a compressed value claims to hold %d bytes, its column holds %d", size, most)
	}
	f.from.Reset(v[1+digits:])
	from, err := f.reader(head&headless != 0)
	if err != nil {
		return nil, corrupt("decompress: %v", err)
	}
	f.plain.Reset()
	// The length is believed only as far as there are bytes, so that a lie costs nothing.
	n, err := f.plain.ReadFrom(io.LimitReader(from, int64(size)+1))
	if err != nil || uint64(n) != size {
		return nil, corrupt("%d of %d bytes could be decompressed: %v", n, size, err)
	}
	return f.plain.Bytes(), nil
}

// reader decompresses what f.from holds.
func (f *inflater) reader(raw bool) (io.Reader, error) {
	if raw {
		return f.flate, f.flate.(flate.Resetter).Reset(&f.from, nil)
	}
	if f.zlib != nil {
		return f.zlib, f.zlib.(zlib.Resetter).Reset(&f.from, nil)
	}
	z, err := zlib.NewReader(&f.from)
	if err == nil {
		f.zlib = z
	}
	return z, err
}

// release keeps f for another value, without its value and, if that was large, without its memory.
func (f *inflater) release() {
	f.from.Reset(nil)
	if f.plain.Cap() > 4<<20 {
		f.plain = bytes.Buffer{}
	}
	inflaters.Put(f)
}
