package stored

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"archive/zip"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// How the compressed forms begin. Objects say in which form they are by nothing else: layouts change, and so do names.
var (
	gzipMagic   = []byte{0x1f, 0x8b}
	zipMagic    = []byte("PK\x03\x04")
	zstdMagic   = []byte{0x28, 0xb5, 0x2f, 0xfd}
	snappyMagic = []byte("\x82SNAPPY\x00")
)

const (
	snappyHeader = 16
	maxBlock     = 64 << 20 // of a Snappy form; the writer's have far less
)

// plain undoes an object's compression. The reader that it returns is closed before body is.
func plain(body io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(body, 64<<10)
	head, err := in.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		return gzip.NewReader(in)
	case bytes.HasPrefix(head, zipMagic):
		return unzip(in)
	case bytes.HasPrefix(head, zstdMagic):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case bytes.HasPrefix(head, snappyMagic):
		if _, err := in.Discard(snappyHeader); err != nil {
			return nil, err
		}
		return io.NopCloser(&blocks{in: in}), nil
	case len(head) > 0 && head[0] < 0x20 && !bytes.ContainsRune([]byte(" \t\r\n"), rune(head[0])):
		return io.NopCloser(&blocks{in: in, hadoop: true}), nil // which begins with a length of four bytes
	}
	return io.NopCloser(in), nil
}

// unzip reads the only file of an archive, whose directory stands at its end.
func unzip(in io.Reader) (io.ReadCloser, error) {
	body, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, err
	}
	if len(z.File) != 1 {
		return nil, fmt.Errorf("the archive has %d files, not one", len(z.File))
	}
	return z.File[0].Open()
}

// blocks reads a Snappy form: blocks behind their lengths, each behind its plain length too with Hadoop's.
type blocks struct {
	in     io.Reader
	hadoop bool
	packed []byte
	block  []byte // decoded
	rest   []byte // of block
	left   uint32 // plain bytes of Hadoop's present block that are to come
}

func (b *blocks) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *blocks) next() error {
	if b.hadoop && b.left == 0 {
		n, err := b.length()
		if err != nil {
			return err
		}
		b.left = n
		if n == 0 {
			return nil
		}
	}
	n, err := b.length()
	if err != nil {
		if b.hadoop {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if n > maxBlock {
		return fmt.Errorf("a block of %d bytes: this is no Snappy form", n)
	}
	b.packed = append(b.packed[:0], make([]byte, n)...)
	if _, err := io.ReadFull(b.in, b.packed); err != nil {
		return io.ErrUnexpectedEOF
	}
	if size, err := snappy.DecodedLen(b.packed); err != nil || size > maxBlock {
		return fmt.Errorf("a broken Snappy block: %w", errors.Join(err, snappy.ErrCorrupt))
	}
	b.block, err = snappy.Decode(b.block[:cap(b.block)], b.packed)
	b.rest = b.block
	if b.hadoop {
		if uint32(len(b.block)) > b.left {
			return snappy.ErrCorrupt
		}
		b.left -= uint32(len(b.block))
	}
	return err
}

func (b *blocks) length() (uint32, error) {
	var n [4]byte
	if _, err := io.ReadFull(b.in, n[:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(n[:]), nil
}
