package faultproxy

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Config is what a Proxy needs.
type Config struct {
	Service Service
	Target  string // http://host:port
	Seed    uint64
	Faults  Faults

	Longest time.Duration // of delays and of late answers; default 300 ms
	Held    time.Duration // how long a request is held back at most; default 1.5 s

	// Throttled is which share of the entries that Partial refuses is refused as throttled; the others are internal failures.
	Throttled float64
}

// Proxy passes requests on to a server, most of them.
type Proxy struct {
	cfg       Config
	transport *http.Transport
	server    *http.Server
	endpoint  string
	open      chan struct{} // closed by LetThrough
	work      sync.WaitGroup

	mu      sync.Mutex // covers everything below
	random  *rand.Rand
	faults  Faults
	counts  Counts
	late    int // requests that are held back
	through bool
}

// maxBody is more than any request or answer of a test has.
const maxBody = 128 << 20

// New starts a proxy that ends with the test.
func New(t testing.TB, cfg Config) *Proxy {
	t.Helper()
	if cfg.Longest == 0 {
		cfg.Longest = 300 * time.Millisecond
	}
	if cfg.Held == 0 {
		cfg.Held = 1500 * time.Millisecond
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("proxy of %s: %v", cfg.Service.name, err)
	}
	p := &Proxy{
		cfg: cfg, transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
		endpoint: "http://" + listener.Addr().String(), open: make(chan struct{}),
		random: rand.New(rand.NewPCG(cfg.Seed, 0xfa17)), faults: cfg.Faults, counts: Counts{},
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	p.work.Go(func() { _ = p.server.Serve(listener) })
	t.Cleanup(func() {
		p.LetThrough()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if p.server.Shutdown(ctx) != nil {
			p.server.Close()
		}
		p.work.Wait()
		p.transport.CloseIdleConnections()
	})
	return p
}

// Endpoint is where the proxy listens, as http://host:port.
func (p *Proxy) Endpoint() string { return p.endpoint }

// Set replaces the faults.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// Counts is what was done so far.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// LetThrough ends all faults for good: what is delayed or held back is passed on now.
func (p *Proxy) LetThrough() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.through {
		p.through, p.faults = true, nil
		close(p.open)
	}
}

// Settle waits until every request that was held back has been passed on.
func (p *Proxy) Settle(ctx context.Context) error {
	for {
		p.mu.Lock()
		held := p.late
		p.mu.Unlock()
		if held == 0 {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// plan is what is going to be done to a request.
type plan struct {
	call    string
	fault   Fault
	partial bool
	wait    time.Duration
	random  *rand.Rand // of this request alone
}

// plan draws what is done to the next request.
func (p *Proxy) plan(call string, conditional bool) plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[call]++
	pl := plan{call: call}
	if p.faults == nil {
		return pl
	}
	pl.fault, pl.partial = p.faults.of(call).draw(p.random)
	pl.random = rand.New(rand.NewPCG(p.random.Uint64(), 1))
	if (pl.fault == Conflict || pl.fault == Twice) && !conditional {
		pl.fault = ""
	}
	longest := p.cfg.Longest
	if pl.fault == HoldBack {
		longest = p.cfg.Held
	}
	pl.wait = time.Duration(pl.random.Int64N(int64(longest))) + 1
	return pl
}

// did counts what was done.
func (p *Proxy) did(call string, f Fault) {
	if f == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[call+" "+string(f)]++
}

// pause waits, but not behind LetThrough.
func (p *Proxy) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.open:
	}
}

// cut breaks the connection of the request that is served.
func cut() { panic(http.ErrAbortHandler) }

// ServeHTTP deals with one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pl := p.plan(p.cfg.Service.call(r), r.Header.Get("If-None-Match") != "")
	if pl.fault == CutRequest {
		p.did(pl.call, CutRequest)
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		cut()
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		cut() // the client is gone
	}
	p.did(pl.call, pl.fault)
	switch pl.fault {
	case Throttle, Fail, ExpireIterator, Conflict:
		p.cfg.Service.refuse(w, r, pl)
		return
	case Delay:
		p.pause(pl.wait)
	case HoldBack:
		p.holdBack(r, body, pl)
		cut()
	}
	answer, err := p.forward(r, body, pl)
	if err == nil && pl.fault == Twice {
		answer, err = p.forward(r, body, pl)
	}
	if err != nil {
		cut()
	}
	p.give(w, r, answer, pl)
}

// give answers the client.
func (p *Proxy) give(w http.ResponseWriter, r *http.Request, a *answer, pl plan) {
	switch pl.fault {
	case FailStored:
		p.cfg.Service.refuse(w, r, pl)
		return
	case LoseAnswer:
		cut()
	case LateAnswer:
		p.pause(pl.wait)
	}
	maps.Copy(w.Header(), a.header)
	if r.Method != http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	if pl.fault == CutAnswer {
		_, _ = w.Write(a.body[:len(a.body)/2])
		_ = http.NewResponseController(w).Flush()
		cut()
	}
	_, _ = w.Write(a.body)
}

// holdBack passes a request on later. Its client is not there to see the answer.
func (p *Proxy) holdBack(r *http.Request, body []byte, pl plan) {
	late := r.Clone(context.WithoutCancel(r.Context()))
	p.held(1)
	p.work.Go(func() {
		defer p.held(-1)
		p.pause(pl.wait)
		_, _ = p.forward(late, body, pl)
	})
}

func (p *Proxy) held(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late += n
}

// answer is what the server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// forward passes a request on. It does not end with the client: what is under way arrives.
func (p *Proxy) forward(r *http.Request, body []byte, pl plan) (*answer, error) {
	var refused *refusals
	if pl.partial {
		body, refused = p.refuseSome(pl, body)
		if refused != nil && refused.all() {
			return refused.answer()
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
	defer cancel()
	out, err := http.NewRequestWithContext(ctx, r.Method, p.cfg.Target+r.RequestURI, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header, out.Host = r.Header.Clone(), r.Host // the host is part of the signature
	for _, name := range []string{"Connection", "Expect", "Content-Length"} {
		out.Header.Del(name)
	}
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody)); err != nil {
		return nil, err
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding"} {
		a.header.Del(name)
	}
	if refused != nil && a.status == http.StatusOK {
		a.body, err = refused.insert(a.body)
		a.header.Del("X-Amz-Crc32")
	}
	return a, err
}
