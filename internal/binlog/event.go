package binlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/go-mysql-org/go-mysql/replication"
)

const (
	eventHeader  = 19
	checksumSize = 4
	fileHeader   = 4 // a log file's first event starts behind its magic number
)

// event is one event of the log: its header, its body without the checksum, and where it stands in the file.
type event struct {
	kind       replication.EventType
	time       uint32
	server     uint32
	size       uint32
	logPos     uint32 // low 32 bits of the offset behind the event; 0 if the server did not say
	flags      uint16
	body       []byte
	start, end uint64
	cut        bool   // body is only the beginning: the event was too large, or its body is not needed
	rowBase    uint32 // added to the row index: tells the rows of events apart that share one place
}

// artificial events are made up by the dump thread and stand in no file.
func (e *event) artificial() bool { return e.flags&replication.LOG_EVENT_ARTIFICIAL_F != 0 }

// parseHeader reads the header of an event that fills data.
func parseHeader(data []byte) (e event, err error) {
	err = e.parse(data)
	return e, err
}

// headerOf reads the header of an event that begins with data.
func headerOf(data []byte) (e event, err error) {
	err = e.begin(data)
	return e, err
}

// parse makes e the event that fills data.
func (e *event) parse(data []byte) error {
	err := e.begin(data)
	if err == nil && uint64(e.size) != uint64(len(data)) {
		err = fmt.Errorf("%w: its header says %d bytes, but %d came", ErrCorrupt, e.size, len(data))
	}
	return err
}

// begin makes e the event that begins with data.
func (e *event) begin(data []byte) error {
	if len(data) < eventHeader {
		*e = event{}
		return fmt.Errorf("%w: it has %d bytes where a header alone takes %d", ErrCorrupt, len(data), eventHeader)
	}
	*e = event{
		time:   binary.LittleEndian.Uint32(data),
		kind:   replication.EventType(data[4]),
		server: binary.LittleEndian.Uint32(data[5:]),
		size:   binary.LittleEndian.Uint32(data[9:]),
		logPos: binary.LittleEndian.Uint32(data[13:]),
		flags:  binary.LittleEndian.Uint16(data[17:]),
		body:   data[eventHeader:],
	}
	if e.size < eventHeader {
		return fmt.Errorf("%w: its header says that it has %d bytes, where a header alone takes %d", ErrCorrupt, e.size, eventHeader)
	}
	return nil
}

var errChecksum = fmt.Errorf("%w: its checksum does not fit its bytes", ErrCorrupt)

// dropChecksum verifies the checksum at the end of an event that is known to have one, and takes it off the body.
func (e *event) dropChecksum(data []byte) error {
	if len(e.body) < checksumSize {
		return fmt.Errorf("%w: it is too short for a checksum", ErrCorrupt)
	}
	if !checksumFits(data) {
		return errChecksum
	}
	e.body = e.body[:len(e.body)-checksumSize]
	return nil
}

// checksumFits reports whether an event ends in its own checksum.
func checksumFits(data []byte) bool {
	n := len(data) - checksumSize
	return n >= eventHeader && crc32.ChecksumIEEE(data[:n]) == binary.LittleEndian.Uint32(data[n:])
}

// cursor is where reading stands in the log, in 64 bits: event headers have room for 32 only, so that they wrap in files
// over 4 GiB, and some servers leave the field empty inside transactions.
type cursor struct {
	file   string
	number uint64 // numeric suffix of file
	end    uint64 // offset behind the last event
	began  int64  // when the server began the file; 0 until its format description has come
}

// maxBackstep is how far an event's position may seem to lie before the end of the one in front of it until that is
// taken for damage instead of for a wrap of 32 bits.
const maxBackstep = 1 << 20

// place gives an event its place in the file and moves the cursor behind it. Events that stand in no file get the
// cursor's place.
func (c *cursor) place(e *event, zeroMeansNext bool) error {
	e.start, e.end = c.end, c.end
	if e.artificial() || e.kind == replication.HEARTBEAT_EVENT || e.kind == replication.HEARTBEAT_LOG_EVENT_V2 {
		return nil
	}
	next := c.end + uint64(e.size)
	if e.logPos == 0 {
		if zeroMeansNext && e.kind != replication.FORMAT_DESCRIPTION_EVENT {
			e.end, c.end = next, next
		}
		return nil
	}
	ahead := e.logPos - uint32(next) // modulo 2^32; not 0 only where the server left events out
	if ahead > 1<<32-maxBackstep {
		return fmt.Errorf("%w: its header says that it ends at %d, but the event before it ends at %d and it is %d bytes long",
			ErrCorrupt, e.logPos, c.end, e.size)
	}
	e.end = next + uint64(ahead)
	e.start = e.end - uint64(e.size)
	c.end = e.end
	return nil
}

// eventName is the type's name for messages and metrics.
func eventName(k replication.EventType) string {
	if s := k.String(); s != "UnknownEvent" {
		return s
	}
	return fmt.Sprintf("type %d", byte(k))
}
