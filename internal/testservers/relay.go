package testservers

import (
	"context"
	"net"
	"sync"
	"testing"
)

// Relay stands in front of a server as a stable address does in front of a database cluster: connections go to the
// server it points to, and it can be pointed to another one, or stop forwarding without a word.
type Relay struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex // covers everything below
	target string     // "": connections are refused
	conns  map[net.Conn]bool
	frozen chan struct{} // closed when forwarding goes on; nil: it does
	closed bool
}

// NewRelay makes a relay to host:port that ends with the test.
func NewRelay(t testing.TB, target string) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{listener: l, target: target, conns: map[net.Conn]bool{}}
	r.wg.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

// Port16 is where the relay listens.
func (r *Relay) Port16() uint16 {
	return uint16(r.listener.Addr().(*net.TCPAddr).Port) //nolint:errcheck,forcetypeassert // it listens on TCP
}

// Point breaks all connections and sends new ones to another server; "" refuses them.
func (r *Relay) Point(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
	for c := range r.conns {
		c.Close()
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

func (r *Relay) close() {
	r.Thaw()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.listener.Close()
	r.Point("")
	r.wg.Wait()
}

func (r *Relay) accept() {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		target := r.target
		r.mu.Unlock()
		out, err := new(net.Dialer).DialContext(context.Background(), "tcp", target)
		if target == "" || err != nil || !r.keep(in, out) {
			in.Close()
			if err == nil {
				out.Close()
			}
			continue
		}
		r.wg.Go(func() { r.forward(in, out) })
		r.wg.Go(func() { r.forward(out, in) })
	}
}

func (r *Relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = true
	}
	return !r.closed
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
