package source

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/heap"
)

const (
	packetBuffer   = 128 << 10 // read from the connection in pieces of up to this size
	packetKeep     = 4 << 20   // a larger buffer is given back when packetPatience packets came that did not need it
	packetPatience = 16
	packetHeader   = 4
	maxPacketPiece = 1<<24 - 1 // a piece of this length is followed by another
)

// Packets reads the packets that a server sends in answer to one command, without copying those that fit its buffer. It
// takes the connection over from the client library for that time.
type Packets struct {
	r          io.Reader
	timeout    func() error // called before every read
	large      func(int) error
	buf        []byte
	start, end int // what of buf has been read from r but not handed out
	big        []byte
	unused     int // packets that came since big was needed
	seq        uint8

	open bool // a packet has begun: Peek or Read was called, and neither Next nor Read have come to its end
	left int  // bytes of its piece that were not handed out
	more bool // another piece follows
}

// Send writes a command and returns the reader of what the server answers. Until that was read to its end, or for good
// if it never ends, nothing else may use the connection.
func Send(conn *client.Conn, command byte, body []byte) (*Packets, error) {
	data := make([]byte, packetHeader+1, packetHeader+1+len(body))
	data[packetHeader] = command
	data = append(data, body...)
	conn.ResetSequence()
	if err := conn.WritePacket(data); err != nil {
		return nil, err
	}
	return NewPackets(conn.Conn.Conn, conn.Sequence), nil
}

// NewPackets reads the packets that come from r, the first of which is to have the number seq.
func NewPackets(r io.Reader, seq uint8) *Packets {
	return &Packets{r: r, buf: packetBuffers.Get().(*[packetBuffer]byte)[:], seq: seq}
}

// packetBuffers keeps the buffers of statements that are through for those to come.
var packetBuffers = sync.Pool{New: func() any { return new([packetBuffer]byte) }}

// release ends the use of p. What it has given out is not valid any more.
func (p *Packets) release() {
	packetBuffers.Put((*[packetBuffer]byte)(p.buf))
	p.buf, p.big = nil, nil
}

// SetTimeout limits how long each wait for the server may take from now on; 0 is no limit.
func (p *Packets) SetTimeout(d time.Duration) {
	conn, ok := p.r.(net.Conn)
	switch {
	case !ok:
	case d <= 0:
		p.timeout = nil
		_ = conn.SetReadDeadline(time.Time{})
	default:
		p.timeout = func() error { return conn.SetReadDeadline(time.Now().Add(d)) }
	}
}

// BeforeLarge makes f be called with the size, as far as it is known, of a packet that does not fit the buffer, before more
// memory is taken for it. It may wait; its error ends the reading.
func (p *Packets) BeforeLarge(f func(size int) error) { p.large = f }

// read fills b with what the connection has.
func (p *Packets) read(b []byte) (int, error) {
	if p.timeout != nil {
		if err := p.timeout(); err != nil {
			return 0, err
		}
	}
	return p.r.Read(b)
}

// Next is the payload of the next packet, or what Read has left of it, valid until the next call. The error is io.EOF
// where the connection ended between two packets.
func (p *Packets) Next() ([]byte, error) {
	if err := p.begin(); err != nil {
		return nil, err
	}
	if p.unused++; p.unused > packetPatience && cap(p.big) > packetKeep {
		p.big = nil
	}
	if !p.more && p.left <= len(p.buf) {
		if err := p.fill(p.left); err != nil {
			return nil, unexpected(err)
		}
		payload := p.buf[p.start : p.start+p.left]
		p.start += p.left
		p.open = false
		return payload, nil
	}
	p.big, p.unused = p.big[:0], 0
	for {
		if p.large != nil {
			if err := p.large(len(p.big) + p.left); err != nil {
				return nil, err
			}
		}
		if err := p.appendBig(p.left); err != nil {
			return nil, unexpected(err)
		}
		if !p.more {
			p.open = false
			return p.big, nil
		}
		if err := p.piece(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// Peek waits for the next packet and shows its first n bytes, or all where it has fewer, without taking them. It is for
// a handful of bytes. The result is valid until the next call.
func (p *Packets) Peek(n int) ([]byte, error) {
	if err := p.begin(); err != nil {
		return nil, err
	}
	n = min(n, p.left)
	if err := p.fill(n); err != nil {
		return nil, unexpected(err)
	}
	return p.buf[p.start : p.start+n], nil
}

// Read reads the packet that Peek has shown, for one that does not have to be in memory as a whole. The error is io.EOF
// at the packet's end, and then the next packet is due.
func (p *Packets) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for p.left == 0 {
		if !p.open || !p.more {
			p.open = false
			return 0, io.EOF
		}
		if err := p.piece(); err != nil {
			return 0, unexpected(err)
		}
	}
	b = b[:min(len(b), p.left)]
	n := copy(b, p.buf[p.start:p.end])
	p.start += n
	if n == 0 {
		var err error
		if n, err = p.read(b); n == 0 && err != nil {
			return 0, unexpected(err)
		}
	}
	p.left -= n
	return n, nil
}

// Ended reports whether the packet that was last begun has come to its end.
func (p *Packets) Ended() bool { return !p.open }

// begin waits for the next packet, unless one has begun.
func (p *Packets) begin() error {
	if p.open {
		return nil
	}
	if err := p.piece(); err != nil {
		return err
	}
	p.open = true
	return nil
}

// piece goes to the next piece of a packet.
func (p *Packets) piece() error {
	n, err := p.header()
	p.left, p.more = n, n == maxPacketPiece
	return err
}

// header reads a packet header and checks that no packet is missing.
func (p *Packets) header() (length int, err error) {
	if err := p.fill(packetHeader); err != nil {
		return 0, err
	}
	h := p.buf[p.start : p.start+packetHeader]
	p.start += packetHeader
	if h[3] != p.seq {
		return 0, fmt.Errorf("packet number %d came where %d was due: the connection is out of step", h[3], p.seq)
	}
	p.seq++
	return int(h[0]) | int(h[1])<<8 | int(h[2])<<16, nil
}

// fill makes n unread bytes stand at p.start; n is at most len(p.buf).
func (p *Packets) fill(n int) error {
	if p.end-p.start >= n {
		return nil
	}
	if p.start > 0 {
		p.end = copy(p.buf, p.buf[p.start:p.end])
		p.start = 0
	}
	for p.end < n {
		m, err := p.read(p.buf[p.end:])
		p.end += m
		if err != nil && p.end < n {
			if errors.Is(err, io.EOF) && p.end > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// appendBig moves n bytes of payload behind p.big.
func (p *Packets) appendBig(n int) error {
	at := len(p.big)
	p.big = heap.Grow(p.big, n)[:at+n]
	have := copy(p.big[at:], p.buf[p.start:p.end])
	p.start += have
	for at += have; at < len(p.big); {
		m, err := p.read(p.big[at:])
		at += m
		if err != nil && at < len(p.big) {
			return err
		}
	}
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Markers of a packet's first byte.
const (
	packetOK  = 0x00
	packetEOF = 0xfe
	packetErr = 0xff
)

// IsError reports whether a packet is the server's error message, and which.
func IsError(packet []byte) (*mysql.MyError, bool) {
	if len(packet) < 3 || packet[0] != packetErr {
		return nil, false
	}
	e := &mysql.MyError{Code: uint16(packet[1]) | uint16(packet[2])<<8, State: mysql.DEFAULT_MYSQL_STATE}
	rest := packet[3:]
	if len(rest) >= 6 && rest[0] == '#' {
		e.State, rest = string(rest[1:6]), rest[6:]
	}
	e.Message = string(rest)
	return e, true
}

// IsEOF reports whether a packet ends a list of columns or rows, or a binary log dump.
func IsEOF(packet []byte) bool { return len(packet) > 0 && len(packet) < 9 && packet[0] == packetEOF }
