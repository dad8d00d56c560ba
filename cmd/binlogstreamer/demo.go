package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/demo"
	"github.com/binlogstreamer/binlogstreamer/internal/verify"
)

type demoCmd struct {
	For  time.Duration `placeholder:"60s" help:"End by itself after this time (default: at Ctrl-C)."`
	Dir  string        `placeholder:"FOLDER" help:"Work in this folder, which must be empty (default: a new one)."`
	Rows int           `default:"200000" help:"Rows of the purchase history before the pipeline starts (default: 200000)."`
	Keep bool          `help:"Keep the server's data, the stream and the checkpoints in the folder, too."`
}

func (c *demoCmd) Run(a *app) error {
	if c.Rows < 1 || c.Rows > 100_000_000 {
		return &usageError{fmt.Errorf("--rows %d: choose a number from 1 to 100000000", c.Rows)}
	}
	if c.For < 0 {
		return &usageError{fmt.Errorf("--for %s: choose a time from now on, such as 60s", c.For)}
	}
	return demo.Run(a.ctx, demo.Config{
		Dir: c.Dir, For: c.For, Rows: c.Rows, Keep: c.Keep,
		Out: a.stdout, Terminal: isTerminal(a.stdout), Daemon: demoDaemon, Verify: demoVerify,
	})
}

// demoDaemon runs the same wiring as the run command; once, as run --once.
func demoDaemon(ctx context.Context, file string, registry *prometheus.Registry, log *slog.Logger, once bool, listening demo.Listening) error {
	cfg, err := load(file, config.Both)
	if err != nil {
		return err
	}
	return serve(ctx, cfg, log, registry, once, listening, nil)
}

// demoVerify runs the same wiring as the verify command. Nothing runs beside it: there is nothing to wait for.
func demoVerify(ctx context.Context, file string, log *slog.Logger, progress func(verify.Progress)) (*verify.Report, error) {
	cfg, err := load(file, config.Both)
	if err != nil {
		return nil, err
	}
	c := verifyCmd{MaxDifferences: 10, Wait: time.Second}
	what, stop, err := c.config(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	defer stop()
	what.Progress = progress
	return verify.Run(ctx, what)
}
