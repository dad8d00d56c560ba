// Package console serves what an operator and a supervisor ask of a running daemon: the status page and its API, metrics,
// health, readiness, profiles, pauses, and the reload of a table. It promises to answer within seconds whatever the daemon is
// doing, since it only reads what others publish or leaves a wish with them; that profiles are for clients on the same
// machine, and control calls for these or for whoever shows the token; that no web page of another site can use a
// browser to get at either; and that its own page needs nothing from outside and shows hostile names as text.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// Check is one thing that must hold for the daemon to be ready.
type Check struct {
	Name  string // e.g. "replicate"
	Ready func() bool
}

// Config holds what a Console needs.
type Config struct {
	Listen   string // host:port; port 0: any free one
	Gatherer prometheus.Gatherer
	Ready    []Check                                       // all must hold; asked at every request
	Report   func() *status.Report                         // for the status page and its API; nil: there is none
	History  func() []status.Point                         // goes with Report
	Halves   []Half                                        // that can be paused
	Stuck    func() []string                               // what should move and does not: the daemon is not alive then; may be nil
	Reload   func(ctx context.Context, table string) error // begins a table's reload; nil: there is nothing to reload
	Token    func() string                                 // that control calls must show; nil or "": they are for this machine
	Hosts    []string                                      // names, in lower case, that the status is asked by, beside addresses and localhost
	Log      *slog.Logger
}

// Console is the daemon's HTTP server.
type Console struct {
	cfg      Config
	guard    *guard
	listener net.Listener
}

// New makes a Console. It does no I/O.
func New(cfg Config) *Console { return &Console{cfg: cfg, guard: newGuard(cfg.Token, cfg.Hosts)} }

// Bind takes the address, so that one that is in use is known before any work begins. The caller calls Run or Close
// afterwards.
func (c *Console) Bind(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on http.listen %s: %w; another process may hold the address: end it or choose another one", c.cfg.Listen, err)
	}
	c.listener = l
	return nil
}

// Addr is the address that Bind took.
func (c *Console) Addr() string { return c.listener.Addr().String() }

// Close gives the address back where Run is not called.
func (c *Console) Close() error { return c.listener.Close() }

// Run answers until ctx is done. Requests in work then get a second to end.
func (c *Console) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:           c.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(c.cfg.Log.Handler(), slog.LevelDebug),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve on %s: %w", c.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			return server.Close()
		}
		return nil
	})
	return group.Wait()
}
