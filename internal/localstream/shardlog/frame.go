package shardlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

const (
	frameHead = 8        // length and CRC
	bodyHead  = 19       // counter, arrival, flags, key length
	maxData   = 16 << 20 // far above the largest Kinesis record, far below what would hurt to allocate
	maxKey    = math.MaxUint16
	maxBody   = bodyHead + maxKey + maxData

	flagCommit = 1 << 0 // the first frame of a commit
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is one stored record. Key and Data read from a log may share memory with their neighbours.
type Record struct {
	Counter uint64
	Arrival int64 // Unix milliseconds, never lower than the record before
	Key     []byte
	Data    []byte
}

// frame is a record together with what only the file knows of it.
type frame struct {
	Record
	flags uint8
	size  int // of the frame in the file
}

// errPartial is returned by parseFrame when the bytes end before the frame does.
var errPartial = errors.New("the file ends inside a frame")

// appendFrame appends the stored form of r to dst.
func appendFrame(dst []byte, salt uint32, flags uint8, r Record) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(bodyHead+len(r.Key)+len(r.Data)))
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, r.Counter)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Arrival))
	dst = append(dst, flags)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(r.Key)))
	dst = append(dst, r.Key...)
	dst = append(dst, r.Data...)
	binary.LittleEndian.PutUint32(dst[start+4:], frameCRC(salt, dst[start:]))
	return dst
}

// frameSize is the number of bytes that appendFrame appends.
func frameSize(key, data int) int { return frameHead + bodyHead + key + data }

// parseFrame reads the frame at the start of b. It returns errPartial if b is too short for it, with the number of
// bytes needed in frame.size, and another error if b can't be the start of a frame.
func parseFrame(b []byte, salt uint32) (frame, error) {
	if len(b) < frameHead {
		return frame{size: frameHead}, errPartial
	}
	length := binary.LittleEndian.Uint32(b)
	if length < bodyHead || length > maxBody {
		return frame{}, fmt.Errorf("a frame can't be %d bytes long", length)
	}
	size := frameHead + int(length)
	if len(b) < size {
		return frame{size: size}, errPartial
	}
	b = b[:size:size]
	if got, want := frameCRC(salt, b), binary.LittleEndian.Uint32(b[4:]); got != want {
		return frame{}, fmt.Errorf("the checksum is %08x where %08x is stored", got, want)
	}
	body := b[frameHead:]
	keyEnd := bodyHead + int(binary.LittleEndian.Uint16(body[17:]))
	if keyEnd > len(body) {
		return frame{}, fmt.Errorf("the key ends at byte %d of a body of %d bytes", keyEnd, len(body))
	}
	return frame{
		Record: Record{
			Counter: binary.LittleEndian.Uint64(body),
			Arrival: int64(binary.LittleEndian.Uint64(body[8:])),
			Key:     body[bodyHead:keyEnd:keyEnd],
			Data:    body[keyEnd:],
		},
		flags: body[16],
		size:  size,
	}, nil
}

// frameCRC covers the salt, the length and the body of the frame f, whatever its CRC field holds.
func frameCRC(salt uint32, f []byte) uint32 {
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], salt)
	copy(head[4:], f[:4])
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, f[frameHead:])
}
