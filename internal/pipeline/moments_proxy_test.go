package pipeline_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mysqlProxy stands between a Replicate and its source. It makes some statements late, which widens every gap between
// two of them, can break all connections, and can change statements on their way.
type mysqlProxy struct {
	listener net.Listener
	target   string
	delay    time.Duration           // at most; for about a quarter of the statements
	dump     time.Duration           // how late the binlog begins to come
	rewrite  func(sql []byte) []byte // nil: none
	drop     func(sql []byte) bool   // nil: none; true breaks the connection
	changed  atomic.Int64            // statements that rewrite changed

	wg    sync.WaitGroup
	mu    sync.Mutex // covers everything below
	r     *rand.Rand
	conns map[net.Conn]bool
}

func newMySQLProxy(t *testing.T, target string, r *rand.Rand) *mysqlProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return &mysqlProxy{listener: l, target: target, r: rand.New(rand.NewPCG(r.Uint64(), 2)), conns: map[net.Conn]bool{}}
}

func (p *mysqlProxy) port() uint16 { return uint16(p.listener.Addr().(*net.TCPAddr).Port) }

func (p *mysqlProxy) start() { p.wg.Go(p.accept) }

func (p *mysqlProxy) stop() {
	p.listener.Close()
	p.cut()
	p.wg.Wait()
}

// cut breaks all connections; new ones are served.
func (p *mysqlProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *mysqlProxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *mysqlProxy) serve(from net.Conn) {
	to, err := net.Dial("tcp", p.target)
	if err != nil {
		from.Close()
		return
	}
	p.keep(from, to)
	defer p.forget(from, to)
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(from, to)
		from.Close()
		to.Close()
	})
	_ = p.forward(to, from)
	from.Close()
	to.Close()
	back.Wait()
}

func (p *mysqlProxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
}

func (p *mysqlProxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// forward passes the client's packets on.
func (p *mysqlProxy) forward(to io.Writer, from io.Reader) error {
	const comQuery, comBinlogDump, comBinlogDumpGTID = 3, 18, 30
	var head [4]byte
	for {
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return err
		}
		size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		body := make([]byte, size)
		if _, err := io.ReadFull(from, body); err != nil {
			return err
		}
		if head[3] == 0 && size > 0 && body[0] == comQuery {
			time.Sleep(p.pause()) // the delay of a network
			if p.drop != nil && p.drop(body[1:]) {
				return errors.New("dropped")
			}
			if p.rewrite != nil {
				if sql := p.rewrite(body[1:]); !bytes.Equal(sql, body[1:]) {
					p.changed.Add(1)
					body = append(body[:1:1], sql...)
					binary.LittleEndian.PutUint32(head[:], uint32(len(body))) // sequence number 0
				}
			}
		}
		if head[3] == 0 && size > 0 && (body[0] == comBinlogDump || body[0] == comBinlogDumpGTID) {
			time.Sleep(p.dump) // a server looks for the place in its log
		}
		if _, err := to.Write(append(head[:], body...)); err != nil {
			return err
		}
	}
}

func (p *mysqlProxy) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.delay == 0 || p.r.IntN(4) > 0 {
		return 0
	}
	return time.Duration(p.r.Int64N(int64(p.delay)))
}

// withoutTheWait takes the wait for visibility out of the statements of a full load: MySQL's wait answers at once, and
// MariaDB's snapshot becomes an ordinary transaction, which has no place in the binlog.
func withoutTheWait(sql []byte) []byte {
	switch {
	case bytes.Contains(sql, []byte("WAIT_FOR_EXECUTED_GTID_SET")):
		return []byte("SELECT 0")
	case bytes.Contains(sql, []byte("WITH CONSISTENT SNAPSHOT")):
		return []byte("START TRANSACTION")
	}
	return sql
}
