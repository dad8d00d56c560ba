package e2e

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy passes TCP connections on to a server and can take the server away: then it refuses and breaks connections.
type proxy struct {
	addr   string
	target string

	mu       sync.Mutex // covers everything below
	listener net.Listener
	conns    map[net.Conn]bool
	wg       sync.WaitGroup
}

// newProxy stands in front of the server at an http URL and returns the URL to use instead.
func newProxy(t *testing.T, url string) (*proxy, string) {
	t.Helper()
	p := &proxy{target: strings.TrimPrefix(url, "http://"), conns: map[net.Conn]bool{}}
	p.addr = "127.0.0.1:0"
	if err := p.restore(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.cut)
	return p, "http://" + p.addr
}

// restore lets connections through.
func (p *proxy) restore() error {
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.addr = l, l.Addr().String()
	p.wg.Go(func() { p.accept(l) })
	return nil
}

// cut breaks every connection and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *proxy) accept(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			in.Close()
			continue
		}
		if !p.keep(in, out) {
			return
		}
		p.wg.Go(func() { p.pipe(in, out) })
		p.wg.Go(func() { p.pipe(out, in) })
	}
}

func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.listener == nil {
			c.Close()
			continue
		}
		p.conns[c] = true
	}
	return p.listener != nil
}

func (p *proxy) pipe(dst, src net.Conn) {
	_, _ = io.Copy(dst, src) // either end may break it at any time; the other end is then told by the close
	dst.Close()
	src.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, src)
}
