package localstream

import (
	"net"
	"net/http"
	"sync"
)

// fresh keeps track of connections that have not been used yet. An HTTP server that shuts down gives them seconds to
// send something; clients open some in reserve that never do, and the end of the process would wait for them.
type fresh struct {
	mu     sync.Mutex // covers what follows
	conns  map[net.Conn]bool
	closed bool
}

// watch is an http.Server's ConnState.
func (f *fresh) watch(c net.Conn, s http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case s != http.StateNew:
		delete(f.conns, c)
	case f.closed:
		c.Close()
	default:
		f.conns[c] = true
	}
}

// close closes the unused connections, and those that still come.
func (f *fresh) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for c := range f.conns {
		c.Close()
	}
}
