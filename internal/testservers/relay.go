package testservers

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// Relay stands in front of a server as a stable address does in front of a database cluster: connections go to the
// server it points to. It can be pointed to another one, take the server away, or stop forwarding without a word.
type Relay struct {
	t  testing.TB
	wg sync.WaitGroup

	mu       sync.Mutex // covers everything below
	addr     string
	listener net.Listener // nil while target is ""
	target   string
	conns    map[net.Conn]bool
	frozen   chan struct{} // closed when forwarding goes on; nil: it does
}

// NewRelay makes a relay to host:port that ends with the test.
func NewRelay(t testing.TB, target string) *Relay {
	t.Helper()
	r := &Relay{t: t, addr: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	r.Point(target)
	t.Cleanup(func() {
		r.Thaw()
		r.Point("")
		r.wg.Wait()
	})
	return r
}

// Addr is where the relay listens, as host:port.
func (r *Relay) Addr() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addr
}

// Port16 is the port of Addr.
func (r *Relay) Port16() uint16 { return netip.MustParseAddrPort(r.Addr()).Port() }

// Point breaks all connections and sends new ones to another server; "" refuses them.
func (r *Relay) Point(target string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
	for c := range r.conns {
		c.Close()
	}
	switch {
	case target == "" && r.listener != nil:
		r.listener.Close()
		r.listener = nil
	case target != "" && r.listener == nil:
		l, err := net.Listen("tcp", r.addr)
		if err != nil {
			r.t.Errorf("relay to %s: %v", target, err)
			return
		}
		r.addr, r.listener = l.Addr().String(), l
		r.wg.Go(func() { r.accept(l) })
	}
}

// Freeze stops forwarding on all connections, old and new, which stay open.
func (r *Relay) Freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen == nil {
		r.frozen = make(chan struct{})
	}
}

// Thaw forwards again.
func (r *Relay) Thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen != nil {
		close(r.frozen)
		r.frozen = nil
	}
}

func (r *Relay) accept(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		target := r.target
		r.mu.Unlock()
		out, err := new(net.Dialer).DialContext(context.Background(), "tcp", target)
		if err != nil {
			in.Close()
			continue
		}
		if !r.keep(target, in, out) {
			in.Close()
			out.Close()
			continue
		}
		r.wg.Go(func() { r.forward(in, out) })
		r.wg.Go(func() { r.forward(out, in) })
	}
}

// keep takes a connection on, unless the relay points elsewhere by now.
func (r *Relay) keep(target string, conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.target != target {
		return false
	}
	for _, c := range conns {
		r.conns[c] = true
	}
	return true
}

func (r *Relay) forward(dst, src net.Conn) {
	defer func() {
		dst.Close()
		src.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, src)
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		r.mu.Lock()
		frozen := r.frozen
		r.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		if n > 0 {
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
