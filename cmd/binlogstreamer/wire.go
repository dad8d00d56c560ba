package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/console"
	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/localstream"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
)

// parts is what one process of the pipeline consists of. All wrapping and connecting is done in assemble and in the
// functions that it calls; nothing else of the product knows both a part and its configuration.
type parts struct {
	cfg      *config.Pipeline
	log      *slog.Logger
	registry *prometheus.Registry
	store    checkpoint.Store
	table    *dynamo.Table     // the store's, where it is one in DynamoDB: leases are kept beside; else nil
	node     *localstream.Node // the embedded stream; nil: the stream is elsewhere

	replicate *pipeline.Replicate // nil: that half runs elsewhere
	deliver   *pipeline.Deliver   // nil: that half runs elsewhere
}

// assemble makes the parts that cfg's halves need. Nothing of it runs yet.
func assemble(ctx context.Context, cfg *config.Pipeline, log *slog.Logger, registry *prometheus.Registry, once bool) (*parts, error) {
	store, table, err := openStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p := &parts{cfg: cfg, log: log, registry: registry, store: store, table: table}
	if cfg.Stream.Embedded() {
		if p.node, err = embeddedNode(cfg, cfg.Stream.Name, log, registry); err != nil {
			return nil, err
		}
	}
	if cfg.Halves&config.Replicate != 0 {
		if p.replicate, err = p.makeReplicate(ctx, once); err != nil {
			return nil, err
		}
	}
	if cfg.Halves&config.Deliver != 0 {
		// With replicate beside it, deliver goes on until that is done.
		if p.deliver, err = p.makeDeliver(ctx, once && p.replicate == nil); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// ready is what /readyz asks.
func (p *parts) ready() (checks []console.Check) {
	if p.replicate != nil {
		checks = append(checks, console.Check{Name: "replicate", Ready: p.replicate.Ready})
	}
	if p.deliver != nil {
		checks = append(checks, console.Check{Name: "deliver", Ready: p.deliver.Ready})
	}
	return checks
}

// reload is how the console begins a table's reload; nil where replicate runs elsewhere.
func (p *parts) reload() func(context.Context, string) error {
	if p.replicate == nil {
		return nil
	}
	return p.replicate.Reload
}

// run runs the halves until ctx is done, one of them fails, or all is done: a full load, a stop position, once. When
// replicate ends by itself, nothing more will come: deliver stores what is left in the stream and ends, too.
func (p *parts) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if p.replicate != nil {
		group.Go(func() error {
			err := p.replicate.Run(ctx)
			if err == nil && ctx.Err() == nil && p.deliver != nil {
				p.log.Info("replicate is done; delivering what is left in the stream")
				p.deliver.Drain()
			}
			return named("replicate", err)
		})
	}
	if p.deliver != nil {
		group.Go(func() error { return named("deliver", p.deliver.Run(ctx)) })
	}
	return group.Wait()
}
