package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
)

// live are the keys that take effect without a restart; docs/why/reload-or-restart.md says why no others do.
var live = []string{"log.level", "delivery.buffering_hints.interval_in_seconds", "delivery.buffering_hints.size_in_mbs"}

// reloader reads the configuration anew at SIGHUP. Either all of its changes are applied, or none.
type reloader struct {
	read    func() (*config.Pipeline, error)
	apply   func(*config.Pipeline)
	log     *slog.Logger
	metrics *reloadMetrics
	signals chan os.Signal

	mu      sync.Mutex // covers what follows
	cfg     *config.Pipeline
	refused string // why the last reload was; empty if it was not
}

// newReloader begins to take SIGHUP, so that none comes too early. Where people look at the log, on a terminal, SIGHUP is that
// terminal's end, and ends the daemon as ever.
func newReloader(cfg *config.Pipeline, stderr io.Writer, registry *prometheus.Registry, log *slog.Logger, apply func(*config.Pipeline)) *reloader {
	r := &reloader{
		read:  func() (*config.Pipeline, error) { return load(cfg.File, cfg.Halves) },
		apply: apply, log: log, metrics: newReloadMetrics(registry), signals: make(chan os.Signal, 1), cfg: cfg,
	}
	if !isTerminal(stderr) && !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(r.signals, syscall.SIGHUP)
	}
	return r
}

// run reloads at every SIGHUP until ctx is done. around is what is told to others before and after.
func (r *reloader) run(ctx context.Context, around func(reload func() string)) error {
	for {
		select {
		case <-r.signals:
			around(r.reload)
		case <-ctx.Done():
			return nil
		}
	}
}

// close takes SIGHUP no more.
func (r *reloader) close() { signal.Stop(r.signals) }

// reload reads the file and applies what has changed, or says why not. The result is for people.
func (r *reloader) reload() (result string) {
	next, err := r.read()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = ""
	if err != nil {
		return r.refuse("faulty", fmt.Sprintf("%v; the running configuration stays", summary(err)),
			"configuration is not reloaded: it has faults; the running one stays", "faults", faultLines(err))
	}
	changes := r.cfg.Changes(next)
	var restart, listed []string
	for _, c := range changes {
		listed = append(listed, c.String())
		if !slices.Contains(live, c.Path) {
			restart = append(restart, c.String())
		}
	}
	switch {
	case len(restart) > 0:
		return r.refuse("restart_needed", "a restart is needed for "+strings.Join(restart, ", ")+"; nothing of it is applied",
			"configuration is not reloaded: some of its changes need a restart; none is applied", "restart_needed", restart, "changes", listed)
	case len(changes) == 0:
		r.log.Info("configuration is reloaded: nothing has changed", "config", r.cfg.File)
		r.metrics.done("unchanged", true)
		return "configuration reloaded: nothing has changed"
	}
	r.apply(next)
	r.cfg = next
	r.log.Info("configuration is reloaded", "config", r.cfg.File, "changes", listed)
	r.metrics.done("applied", true)
	return "configuration reloaded: " + strings.Join(listed, ", ")
}

func (r *reloader) refuse(result, why, message string, args ...any) string {
	r.log.Error(message, append([]any{"config", r.cfg.File}, args...)...)
	r.metrics.done(result, false)
	r.refused = "configuration not reloaded: " + why
	return r.refused
}

// trouble is why the file is not what runs; empty if it is, as far as was asked.
func (r *reloader) trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

func summary(err error) string {
	if faults, ok := errors.AsType[*config.Faults](err); ok {
		return faults.Summary()
	}
	return err.Error()
}

func faultLines(err error) (lines []string) {
	faults, ok := errors.AsType[*config.Faults](err)
	if !ok {
		return []string{err.Error()}
	}
	for _, f := range faults.List {
		lines = append(lines, f.String())
	}
	return lines
}

// reloadMetrics say what became of reloads.
type reloadMetrics struct {
	reloads *prometheus.CounterVec
	last    prometheus.Gauge
	ok      prometheus.Gauge
}

func newReloadMetrics(registry *prometheus.Registry) *reloadMetrics {
	m := &reloadMetrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "binlogstreamer_config_reloads_total",
			Help: "Reloads of the configuration by what came of them: applied, unchanged, faulty, restart_needed. The last two leave the running one in place.",
		}, []string{"result"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "binlogstreamer_config_last_reload_success_timestamp_seconds", Help: "When the configuration that runs was read, or was seen to be what the file says.",
		}),
		ok: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "binlogstreamer_config_last_reload_successful", Help: "1 if the last reload took effect, or there was none; 0 if the file is not what runs.",
		}),
	}
	for _, result := range []string{"applied", "unchanged", "faulty", "restart_needed"} {
		m.reloads.WithLabelValues(result)
	}
	m.loaded()
	registry.MustRegister(m.reloads, m.last, m.ok)
	return m
}

func (m *reloadMetrics) loaded() {
	m.last.Set(float64(time.Now().UnixMilli()) / 1000)
	m.ok.Set(1)
}

func (m *reloadMetrics) done(result string, ok bool) {
	m.reloads.WithLabelValues(result).Inc()
	if ok {
		m.loaded()
		return
	}
	m.ok.Set(0)
}
