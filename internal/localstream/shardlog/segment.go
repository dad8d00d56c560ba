package shardlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	magic      = "BSLOG\x00\x00\x01" // the last byte is the format's version
	headerSize = len(magic) + 4 + 8 + 8 + 8 + 8 + 4
	suffix     = ".seg"
)

// segment is what memory holds of one file, whatever the file's size.
type segment struct {
	first    uint64 // counter of its first record, stored or to come
	previous uint64 // first of the segment before; 0 if there was none
	floor    int64  // arrival of the last record before this segment
	opened   int64  // when it was made, Unix milliseconds
	salt     uint32
	size     int64 // bytes that are durable; the file may be longer while a commit runs
}

// CorruptError is returned when stored bytes are not what was written.
type CorruptError struct {
	File   string
	Offset int64
	Reason string
}

// Error names the place and the way out.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("segment %s is damaged at byte %d: %s; records there were acknowledged and can't be read: "+
		"restore the file, or move the stream's directory away and load anew", e.File, e.Offset, e.Reason)
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, suffix) }

// parseSegmentName is the reverse of segmentName; ok is false for a name that is no segment's.
func parseSegmentName(name string) (first uint64, ok bool) {
	digits, found := strings.CutSuffix(name, suffix)
	if !found || len(digits) != 20 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0
}

func (s *segment) header() []byte {
	h := append(make([]byte, 0, headerSize), magic...)
	h = binary.LittleEndian.AppendUint32(h, s.salt)
	h = binary.LittleEndian.AppendUint64(h, s.first)
	h = binary.LittleEndian.AppendUint64(h, s.previous)
	h = binary.LittleEndian.AppendUint64(h, uint64(s.floor))
	h = binary.LittleEndian.AppendUint64(h, uint64(s.opened))
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

// errTornHeader is returned by parseHeader for a file that ends inside its header or whose header was not fully
// written. On the last file that is the trace of a crash while the file was made; on any other it is damage.
var errTornHeader = errors.New("the header is incomplete")

func parseHeader(h []byte) (segment, error) {
	if len(h) < headerSize {
		return segment{}, errTornHeader
	}
	h = h[:headerSize]
	body, sum := h[:headerSize-4], binary.LittleEndian.Uint32(h[headerSize-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return segment{}, errTornHeader
	}
	if !bytes.Equal(h[:len(magic)], []byte(magic)) {
		return segment{}, fmt.Errorf("the file starts with %q: another version of this program wrote it", h[:len(magic)])
	}
	f := h[len(magic):]
	return segment{
		salt:     binary.LittleEndian.Uint32(f),
		first:    binary.LittleEndian.Uint64(f[4:]),
		previous: binary.LittleEndian.Uint64(f[12:]),
		floor:    int64(binary.LittleEndian.Uint64(f[20:])),
		opened:   int64(binary.LittleEndian.Uint64(f[28:])),
	}, nil
}

// readHeader reads the header of the file at path and checks that it is the file its name says. With an error about
// the header, size and first (by the name) are set all the same.
func readHeader(path string) (segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return segment{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return segment{}, err
	}
	h := make([]byte, headerSize)
	n, err := io.ReadFull(f, h)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return segment{}, err
	}
	s, err := parseHeader(h[:n])
	s.size = info.Size()
	first, _ := parseSegmentName(filepath.Base(path))
	if err == nil && s.first != first {
		err = fmt.Errorf("its header says that it starts with record %d", s.first)
	}
	s.first = first
	return s, err
}
