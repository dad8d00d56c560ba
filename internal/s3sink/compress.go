package s3sink

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// Compression is a compression format, in Firehose's spelling.
type Compression string

// The compression formats.
const (
	Uncompressed Compression = "UNCOMPRESSED"
	GZIP         Compression = "GZIP"
	ZIP          Compression = "ZIP"
	Snappy       Compression = "Snappy" // the stream format of snappy-java
	HadoopSnappy Compression = "HADOOP_SNAPPY"
	ZSTD         Compression = "ZSTD" // ours; Firehose has none
)

var compressions = []Compression{Uncompressed, GZIP, ZIP, Snappy, HadoopSnappy, ZSTD}

// ParseCompression reads a compression format; upper and lower case are the same.
func ParseCompression(s string) (Compression, error) {
	for _, c := range compressions {
		if strings.EqualFold(s, string(c)) {
			return c, nil
		}
	}
	return "", Compression(s).check()
}

func (c Compression) check() error {
	for _, known := range compressions {
		if c == known {
			return nil
		}
	}
	return fmt.Errorf("%q is unknown: use UNCOMPRESSED, GZIP, ZIP, Snappy, HADOOP_SNAPPY or ZSTD", string(c))
}

func (c Compression) extension() string {
	switch c {
	case GZIP:
		return ".gz"
	case ZIP:
		return ".zip"
	case Snappy, HadoopSnappy:
		return ".snappy"
	case ZSTD:
		return ".zst"
	}
	return ""
}

// contentEncoding is what Firehose sets.
func (c Compression) contentEncoding() string {
	switch c {
	case GZIP:
		return "gzip"
	case ZIP:
		return "zip"
	case Snappy:
		return "snappy-java"
	case HadoopSnappy:
		return "hadoop-snappy"
	case ZSTD:
		return "zstd"
	}
	return ""
}

// gzipLevel is where more effort stops paying on JSON records: docs/why/gzip-level.md.
const gzipLevel = 3

var (
	gzipWriters  = sync.Pool{New: func() any { w, _ := gzip.NewWriterLevel(nil, gzipLevel); return w }} // the level is valid
	flateWriters = sync.Pool{New: func() any { w, _ := flate.NewWriter(nil, gzipLevel); return w }}
)

// compress writes the plain bytes of a run in the given format. entry names the file inside a ZIP.
func compress(out *bytes.Buffer, c Compression, meta *Meta, entry string, plain func(io.Writer) error) error {
	switch c {
	case GZIP:
		return compressGzip(out, meta, plain)
	case ZIP:
		return compressZip(out, entry, plain)
	case Snappy:
		out.WriteString(xerialHeader)
		return compressBlocks(plain, xerialBlock, func(block []byte) {
			writeBlock(out, snappy.Encode(nil, block))
		})
	case HadoopSnappy:
		return compressBlocks(plain, hadoopBlock, func(block []byte) {
			out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(block))))
			writeBlock(out, snappy.Encode(nil, block))
		})
	case ZSTD:
		return compressZstd(out, plain)
	case Uncompressed:
		return plain(out)
	}
	return c.check()
}

// compressGzip leaves room for the metadata in the header, as the checksum is known only when the bytes are through.
func compressGzip(out io.Writer, meta *Meta, plain func(io.Writer) error) error {
	extra, err := gzipExtra(meta)
	if err != nil {
		return err
	}
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(out)
	w.Extra = extra
	if err := plain(w); err != nil {
		return err
	}
	return w.Close()
}

// gzipMetaAt is where the metadata's text begins in a gzip object: behind ten bytes of header, two of the extra
// field's length, and four of the subfield's name and length.
const gzipMetaAt = 10 + 2 + 4

// patchGzipMeta puts the metadata in the place that was left for it. White space behind it means nothing in JSON.
func patchGzipMeta(object []byte, meta *Meta) error {
	text, err := json.Marshal(gzipMeta{metaFormat, *meta})
	if err != nil {
		return err
	}
	room := int(binary.LittleEndian.Uint16(object[gzipMetaAt-2:]))
	if len(text) > room {
		return fmt.Errorf("metadata of %d bytes has room for %d", len(text), room)
	}
	place := object[gzipMetaAt : gzipMetaAt+room]
	for i := copy(place, text); i < room; i++ {
		place[i] = ' '
	}
	return nil
}

// gzipSum is the checksum of the plain bytes, from the end of a gzip object.
func gzipSum(object []byte) uint32 { return binary.LittleEndian.Uint32(object[len(object)-8:]) }

func compressZip(out io.Writer, entry string, plain func(io.Writer) error) error {
	z := zip.NewWriter(out)
	z.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		w := flateWriters.Get().(*flate.Writer)
		w.Reset(out)
		return &pooledFlate{w}, nil
	})
	w, err := z.CreateHeader(&zip.FileHeader{Name: entry, Method: zip.Deflate})
	if err != nil {
		return err
	}
	if err := plain(w); err != nil {
		return err
	}
	return z.Close()
}

type pooledFlate struct{ *flate.Writer }

func (w *pooledFlate) Close() error {
	err := w.Writer.Close()
	flateWriters.Put(w.Writer)
	return err
}

func compressZstd(out io.Writer, plain func(io.Writer) error) error {
	w, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	if err := plain(w); err != nil {
		return err
	}
	return w.Close()
}

// The stream format of snappy-java: a header with two version numbers, then blocks with their compressed lengths.
const (
	xerialHeader = "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
	xerialBlock  = 32 << 10
	hadoopBlock  = 256 << 10
)

func writeBlock(out *bytes.Buffer, block []byte) {
	out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(block))))
	out.Write(block)
}

// compressBlocks cuts the plain bytes into blocks.
func compressBlocks(plain func(io.Writer) error, size int, emit func([]byte)) error {
	b := &blockWriter{size: size, emit: emit}
	if err := plain(b); err != nil {
		return err
	}
	if len(b.block) > 0 {
		emit(b.block)
	}
	return nil
}

type blockWriter struct {
	size  int
	block []byte
	emit  func([]byte)
}

func (b *blockWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(len(p), b.size-len(b.block))
		b.block = append(b.block, p[:take]...)
		p = p[take:]
		if len(b.block) == b.size {
			b.emit(b.block)
			b.block = b.block[:0]
		}
	}
	return n, nil
}

// gzipSubfield is the id of our subfield in the extra field of a gzip header.
const gzipSubfield = "BS"

// gzipMeta is the content of the subfield.
type gzipMeta struct {
	Format int `json:"format"`
	Meta
}

func gzipExtra(meta *Meta) ([]byte, error) {
	text, err := json.Marshal(gzipMeta{metaFormat, *meta})
	if err != nil {
		return nil, err
	}
	extra := append([]byte(gzipSubfield), byte(len(text)), byte(len(text)>>8))
	return append(extra, text...), nil
}

// MetaFromGzip reads the metadata from the header of a gzip object.
func MetaFromGzip(r io.Reader) (Meta, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return Meta{}, fmt.Errorf("read gzip header: %w", err)
	}
	for extra := z.Extra; len(extra) >= 4; {
		size := int(binary.LittleEndian.Uint16(extra[2:]))
		if size > len(extra)-4 {
			break
		}
		if string(extra[:2]) == gzipSubfield {
			return decodeMeta(extra[4 : 4+size])
		}
		extra = extra[4+size:]
	}
	return Meta{}, ErrNoMeta
}

func decodeMeta(text []byte) (Meta, error) {
	var m gzipMeta
	if err := json.Unmarshal(text, &m); err != nil {
		return Meta{}, fmt.Errorf("read object metadata: %w", err)
	}
	return m.Meta, m.check(m.Format)
}
