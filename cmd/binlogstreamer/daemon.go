package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/console"
	"github.com/binlogstreamer/binlogstreamer/internal/demo"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// runCmd, replicateCmd and deliverCmd are the same daemon with other halves.
type runCmd struct {
	configFlag
	Once bool `help:"Replicate and deliver what is there now, and exit."`
}

type replicateCmd struct{ configFlag }

type deliverCmd struct {
	configFlag
	Once bool `help:"Deliver what is in the stream now, and exit."`
}

func (c *runCmd) Run(a *app) error       { return daemon(a, c.Config, config.Both, c.Once) }
func (c *replicateCmd) Run(a *app) error { return daemon(a, c.Config, config.Replicate, false) }
func (c *deliverCmd) Run(a *app) error   { return daemon(a, c.Config, config.Deliver, c.Once) }

// load reads a configuration, and finds all that is wrong with it before anything is connected.
func load(file string, halves config.Half) (*config.Pipeline, error) {
	cfg, err := config.Load(file, os.LookupEnv, halves)
	if err != nil || cfg.Halves&config.Deliver == 0 {
		return cfg, err
	}
	if _, err := s3sink.NewLayout(layoutConfig(cfg)); err != nil {
		faults := &config.Faults{File: cfg.File}
		for _, problem := range strings.Split(err.Error(), "\n") { // each names its key
			faults.List = append(faults.List, config.Fault{Problem: problem})
		}
		return nil, faults
	}
	return cfg, nil
}

// daemon runs halves of the pipeline in this process until they end or a signal comes.
func daemon(a *app, file string, halves config.Half, once bool) error {
	cfg, err := load(file, halves)
	if err != nil {
		return err
	}
	registry := newRegistry(cfg)
	level := new(slog.LevelVar)
	log := newLogger(a.stderr, cfg.Log, level, registry)
	keepMemoryBelow(int64(cfg.MemoryLimit))
	log.Info("binlogstreamer starts", "version", buildVersion(), "pipeline", cfg.Name, "config", cfg.File, "pid", os.Getpid())
	if idle := cfg.Replication.Settings.NoEffect; halves&config.Replicate != 0 && len(idle) > 0 {
		log.Info("parts of the task settings have no effect here", "file", cfg.Replication.TaskSettings, "parts", idle)
	}
	h := newHost(a.ctx, cfg, a.stderr, registry, log, level)
	defer h.reloader.close()
	err = stopped(a.ctx, serve(a.ctx, cfg, log, registry, once, nil, h), cfg)
	if err == nil {
		log.Info("binlogstreamer ends; everything acknowledged is saved")
	}
	return err
}

// unflushedError is a stop by a signal that could not flush everything in time: nothing is lost, but not all was done.
type unflushedError struct {
	cfg *config.Pipeline
	err error
}

func (e *unflushedError) Error() string {
	cure := fmt.Sprintf(" (more time: shutdown_grace, now %s)", e.cfg.ShutdownGrace)
	if left, ok := errors.AsType[*pipeline.UnstoredError](e.err); ok && left.Unread != "" {
		cure = ""
	}
	return fmt.Sprintf("stopped before everything was flushed: %v; the next start goes on from the last checkpoint%s", e.err, cure)
}

func (e *unflushedError) Unwrap() error { return e.err }

// RestartHelps says that starting again is all there is to do.
func (e *unflushedError) RestartHelps() bool { return true }

// stopped is err as it looks in the light of a signal: being cancelled is what was asked for, and running out of
// time says that the other side was away.
func stopped(ctx context.Context, err error, cfg *config.Pipeline) error {
	switch {
	case err == nil || !errors.Is(context.Cause(ctx), errStopped):
		return err
	case errors.Is(err, context.DeadlineExceeded), isUnstored(err):
		return &unflushedError{cfg, err}
	case err == context.Cause(ctx) || errors.Unwrap(err) == context.Cause(ctx): //nolint:errorlint // a joined error says more than the signal
		return nil
	}
	return err
}

// serve runs the halves of cfg with everything around them. The services below the halves, the console and the
// embedded stream, end after them; if one of them fails, so do the halves. listening, if not nil, is told the
// console's address and what it reports; h is nil where there is no service manager to talk to, and no file to read anew.
func serve(ctx context.Context, cfg *config.Pipeline, log *slog.Logger, registry *prometheus.Registry, once bool, listening demo.Listening, h *host) error {
	m, log := monitored(cfg, log)
	p, err := assemble(ctx, cfg, log, registry, once)
	if err != nil {
		return err
	}
	m.watch(p)
	services := []func(context.Context) error{m.history.Run}
	if p.node != nil {
		services = append(services, p.node.Run)
	}
	if cfg.HTTP.Listen != "" {
		with, err := m.console(console.Config{Listen: cfg.HTTP.Listen, Gatherer: registry, Ready: p.ready(), Stuck: p.stuck, Reload: p.reload(), Log: log})
		if err != nil {
			return err
		}
		c := console.New(with)
		if err := c.Bind(ctx); err != nil {
			return err
		}
		log.Info("serving status page, metrics and health", "address", "http://"+c.Addr()+"/")
		if beyondThisMachine(cfg.HTTP.Listen) && with.Token() == "" {
			log.Info("pause, resume and reload-table are for clients on this machine, since http.token is not set", "listen", cfg.HTTP.Listen)
		}
		if listening != nil {
			listening(c.Addr(), m.report)
		}
		services = append(services, c.Run)
	}
	if h != nil {
		services = append(services, h.services(p)...)
	}
	return beside(ctx, services, func(ctx context.Context) error { return p.run(ctx) })
}

// beside runs work while services run, and ends them after it. A service that fails ends the work with its error.
func beside(ctx context.Context, services []func(context.Context) error, work func(context.Context) error) error {
	workCtx, stopWork := context.WithCancelCause(ctx)
	defer stopWork(nil)
	below, stopServices := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServices()
	var group errgroup.Group
	for _, service := range services {
		group.Go(func() error {
			err := service(below)
			if err != nil {
				stopWork(err)
			}
			return err
		})
	}
	err := work(workCtx)
	stopServices()
	serviceErr := group.Wait()
	if serviceErr != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, serviceErr)) {
		return serviceErr
	}
	return err
}

func isUnstored(err error) bool {
	_, ok := errors.AsType[*pipeline.UnstoredError](err)
	return ok
}

// needs names what is missing in the configuration only on this machine, as the configuration's own faults are named.
func needs(cfg *config.Pipeline, path, problem, cure string) error {
	return &config.Faults{File: cfg.File, List: []config.Fault{{Path: path, Problem: problem, Cure: cure}}}
}

// named says which half an error came from.
func named(half string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", half, err)
}
