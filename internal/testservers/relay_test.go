package testservers

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
)

func TestRelayTakesTheServerAway(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("here"))
		}
	}()
	relay := NewRelay(t, server.Addr().String())
	reach := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", relay.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Error(err)
		}
		return c
	}
	before := reach()
	defer before.Close()

	relay.Point("")
	if n, err := before.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes over a connection that should be broken", n)
	}
	if _, err := net.Dial("tcp", relay.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting: %v, expected it to be refused", err)
	}
	relay.Point(server.Addr().String())
	reach().Close()
}
