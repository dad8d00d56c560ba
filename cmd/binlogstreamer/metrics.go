package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
)

// newRegistry holds the process's own metrics beside the pipeline's.
func newRegistry(cfg *config.Pipeline) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "binlogstreamer_build_info", Help: "1, with the version as a label.", ConstLabels: prometheus.Labels{"version": buildVersion()},
	})
	build.Set(1)
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "binlogstreamer_memory_limit_bytes", Help: "What the process's resident memory is kept below (memory_limit).",
	})
	limit.Set(float64(cfg.MemoryLimit))
	r.MustRegister(build, limit, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// countedLog counts what is logged.
type countedLog struct {
	slog.Handler

	lines *prometheus.CounterVec
	loss  prometheus.Counter
}

// countLog makes a log that counts its lines.
func countLog(h slog.Handler, r prometheus.Registerer) *slog.Logger {
	c := &countedLog{
		Handler: h,
		lines: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "binlogstreamer_log_lines_total", Help: "Lines written to the log.",
		}, []string{"level"}),
		loss: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "binlogstreamer_data_loss_reports_total", Help: "Lines of the log with severity=DATALOSS: each is a place where readers may have other rows than the source.",
		}),
	}
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		c.count(level, 0)
	}
	r.MustRegister(c.lines, c.loss)
	return slog.New(c)
}

func (c *countedLog) count(level slog.Level, n float64) {
	c.lines.WithLabelValues(strings.ToLower(level.String())).Add(n)
}

// Handle implements slog.Handler.
func (c *countedLog) Handle(ctx context.Context, r slog.Record) error {
	c.count(r.Level, 1)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "severity" && a.Value.String() == "DATALOSS" {
			c.loss.Inc()
		}
		return true
	})
	return c.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (c *countedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &countedLog{c.Handler.WithAttrs(attrs), c.lines, c.loss}
}

// WithGroup implements slog.Handler.
func (c *countedLog) WithGroup(name string) slog.Handler {
	return &countedLog{c.Handler.WithGroup(name), c.lines, c.loss}
}
