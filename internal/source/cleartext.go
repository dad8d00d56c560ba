package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
)

// ErrClearPassword is returned when a server is to get the password as it is, and the connection does not see to it that
// nobody else does.
var ErrClearPassword = errors.New("the password would go to the server as it is, over a connection that is not one with TLS")

// maxLoginPacket is more than any packet of a login has.
const maxLoginPacket = 1 << 20

// guarded is a connection in clear while a login goes on over it. The client library answers whatever a server asks
// for, so a server that is asked in clear, or whoever sits between, could have the password for the asking. Packets are
// read here first, and one that asks for it ends the login.
type guarded struct {
	net.Conn
	over  atomic.Bool // the login is: what follows is none of our business
	rest  []byte      // of a packet that was looked at and not handed on
	asked bool        // for the password
}

// Read hands on packets that were looked at.
func (g *guarded) Read(b []byte) (int, error) {
	if len(g.rest) == 0 {
		if g.over.Load() {
			return g.Conn.Read(b)
		}
		packet, err := g.packet()
		if err != nil {
			return 0, err
		}
		g.rest = packet
	}
	n := copy(b, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// packet reads one packet and looks at it.
func (g *guarded) packet() ([]byte, error) {
	packet := make([]byte, 4, 128)
	if _, err := io.ReadFull(g.Conn, packet); err != nil {
		return nil, err
	}
	size := int(binary.LittleEndian.Uint32(packet) & 0xffffff)
	if size > maxLoginPacket {
		return nil, errors.New("the server's greeting is malformed: a packet is too large")
	}
	packet = append(packet, make([]byte, size)...)
	if _, err := io.ReadFull(g.Conn, packet[4:]); err != nil {
		return nil, err
	}
	if g.asked = asksInClear(packet[4:]); g.asked {
		return nil, ErrClearPassword
	}
	return packet, nil
}

// asksInClear reports whether a packet is a request to go on with the plugin that sends passwords as they are.
func asksInClear(payload []byte) bool {
	const authSwitch = 0xfe
	if len(payload) == 0 || payload[0] != authSwitch {
		return false
	}
	plugin, _, _ := bytes.Cut(payload[1:], []byte{0})
	return string(plugin) == "mysql_clear_password"
}
