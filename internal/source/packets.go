package source

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

const (
	packetBuffer   = 128 << 10 // read from the connection in pieces of up to this size
	packetKeep     = 4 << 20   // a larger packet's buffer is given back once the packet was used
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
	seq        uint8
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
	return newPackets(conn.Conn.Conn, conn.Sequence), nil
}

func newPackets(r io.Reader, seq uint8) *Packets {
	return &Packets{r: r, buf: make([]byte, packetBuffer), seq: seq}
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

// Next is the payload of the next packet, valid until the next call. The error is io.EOF where the connection ended
// between two packets.
func (p *Packets) Next() ([]byte, error) {
	if cap(p.big) > packetKeep {
		p.big = nil
	}
	n, err := p.header()
	if err != nil {
		return nil, err
	}
	if n < maxPacketPiece && n <= len(p.buf) {
		if err := p.fill(n); err != nil {
			return nil, unexpected(err)
		}
		payload := p.buf[p.start : p.start+n]
		p.start += n
		return payload, nil
	}
	p.big = p.big[:0]
	for {
		if p.large != nil {
			if err := p.large(len(p.big) + n); err != nil {
				return nil, err
			}
		}
		if err := p.appendBig(n); err != nil {
			return nil, unexpected(err)
		}
		if n < maxPacketPiece {
			return p.big, nil
		}
		if n, err = p.header(); err != nil {
			return nil, unexpected(err)
		}
	}
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
	p.big = append(p.big, make([]byte, n)...)
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
