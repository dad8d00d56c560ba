package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/systemd"
)

// host is what a daemon has to do with the machine that it runs on: the service manager and SIGHUP. A demonstration has none.
type host struct {
	reloader *reloader
	stopping <-chan struct{}
	stop     time.Duration // that stopping may take
	parts    *parts
}

// newHost begins to take SIGHUP. level is the log's.
func newHost(ctx context.Context, cfg *config.Pipeline, stderr io.Writer, registry *prometheus.Registry, log *slog.Logger, level *slog.LevelVar) *host {
	// Replicate flushes, and then saves, each within the grace; deliver does its part beside it.
	h := &host{stopping: ctx.Done(), stop: 2*cfg.ShutdownGrace + 10*time.Second}
	h.reloader = newReloader(cfg, stderr, registry, log, func(next *config.Pipeline) {
		level.Set(next.Log.Level.Level())
		if d := h.parts.deliver; d != nil {
			d.Hint(hintsOf(next))
		}
	})
	return h
}

// services are what runs beside the halves.
func (h *host) services(p *parts) []func(context.Context) error {
	h.parts = p
	if !systemd.Wanted() {
		return []func(context.Context) error{func(ctx context.Context) error {
			return h.reloader.run(ctx, func(reload func() string) { reload() })
		}}
	}
	n := systemd.New(systemd.Config{Up: p.up, Stuck: p.stuck, Status: h.status, Stopping: h.stopping, Stop: h.stop, Log: p.log})
	return []func(context.Context) error{n.Run, func(ctx context.Context) error { return h.reloader.run(ctx, n.Reload) }}
}

func (h *host) status() string {
	s := h.parts.status()
	if t := h.reloader.trouble(); t != "" {
		s += "; " + t
	}
	return s
}

// up says whether the service has started: each half has reached both of its ends, or stands by for another process, which is
// a service, too, and may be so for months.
func (p *parts) up() bool {
	return (p.replicate == nil || p.replicate.Ready() || p.replicate.StandsBy()) &&
		(p.deliver == nil || p.deliver.Ready() || p.deliver.StandsBy())
}

// stuck names what of the halves should move and does not.
func (p *parts) stuck() (what []string) {
	if p.replicate != nil {
		for _, s := range p.replicate.Stuck() {
			what = append(what, "replicate: "+s)
		}
	}
	if p.deliver != nil {
		for _, s := range p.deliver.Stuck() {
			what = append(what, "deliver: "+s)
		}
	}
	return what
}

// status is what the halves do, in a line.
func (p *parts) status() string {
	var halves []string
	if p.replicate != nil {
		halves = append(halves, "replicate: "+p.replicate.Summary())
	}
	if p.deliver != nil {
		halves = append(halves, "deliver: "+p.deliver.Summary())
	}
	return strings.Join(halves, "; ")
}

// hintsOf are the sizes and times at which objects are closed.
func hintsOf(cfg *config.Pipeline) (size int64, interval time.Duration) {
	h := cfg.Delivery.BufferingHints
	return int64(h.SizeInMBs) << 20, time.Duration(h.IntervalInSeconds) * time.Second
}
