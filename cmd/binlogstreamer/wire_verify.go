package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink/stored"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/verify"
)

// config is what to verify, and how. stop ends what looking at it needs.
func (c *verifyCmd) config(ctx context.Context, cfg *config.Pipeline, log *slog.Logger) (v verify.Config, stop func(), err error) {
	stop = func() {}
	store, _, err := makeStore(ctx, cfg)
	if err != nil {
		return v, stop, err
	}
	layouts, err := pipeline.ReadLayouts(ctx, store)
	if err != nil {
		return v, stop, err
	}
	v = verify.Config{
		Name: cfg.Name, Prefixes: prefixes(cfg, layouts),
		Deduplicated: func(layout int) bool { return layouts[layout].Deduplicate },
		Deduplicate:  cfg.Delivery.Deduplicate, HashRange: cfg.Delivery.HashRange,
		Records: cfg.RecordOptions(), Rendered: schema.Options{NoHexPrefix: cfg.Stream.NoHexPrefix},
		Saved: savedBy(store),
		Stored: func(ctx context.Context, about kinesisin.Description, shard string) (string, bool, error) {
			return pipeline.ReadStored(ctx, store, about, shard)
		},
		Loads: cfg.Replication.MigrationType != config.CDC, Changes: cfg.Replication.MigrationType != config.FullLoad,
		WorkDir: cfg.Verify.WorkDir, Restart: c.Restart, Tables: c.Table, Sample: float64(c.Sample), Since: c.Since,
		MaxDifferences: c.MaxDifferences, Parallel: c.Readers, Wait: c.Wait, Memory: int64(cfg.MemoryLimit / 4), Log: log,
		Selected: func(lowerCaseTables int) func(schema, table string) bool {
			if lowerCaseTables != 0 {
				return cfg.Replication.Rules.CaseInsensitive().Selected
			}
			return cfg.Replication.Rules.Selected
		},
	}
	if cfg.Stream.OversizedRecords == config.Oversized(pipeline.OversizedTruncate) {
		v.LOBBytes = cfg.Stream.LOBMaxSize << 10
	}
	if v.Source, err = makeSource(ctx, cfg, log); err != nil {
		return v, stop, err
	}
	if v.Objects, err = makeObjects(ctx, cfg); err != nil {
		return v, stop, err
	}
	if v.Bodies, err = makeBodies(ctx, cfg); err != nil {
		return v, stop, err
	}
	awsConfig, endpoint, stop, err := reachStream(ctx, cfg)
	if err != nil {
		return v, stop, err
	}
	v.Stream = kinesisin.Config{API: kinesisout.NewClient(awsConfig, endpoint), Stream: cfg.Stream.Name, Logger: log}
	if v.Stream.Stream == "" {
		v.Stream.Stream = cfg.Stream.ARN
	}
	if cfg.Stream.Embedded() {
		v.Stream.PollInterval, v.Stream.CallInterval = 100*time.Millisecond, time.Millisecond
	}
	return v, stop, nil
}

// savedBy reads what replicate has saved.
func savedBy(store checkpoint.Store) func(context.Context) (verify.Saved, error) {
	return func(ctx context.Context) (verify.Saved, error) {
		s, err := pipeline.ReadSaved(ctx, store)
		return verify.Saved{Position: s.Position, Suspended: s.Suspended, States: s.States}, err
	}
}

// makeObjects is where objects are read from.
func makeObjects(ctx context.Context, cfg *config.Pipeline) (stored.Store, error) {
	d := cfg.Delivery.Destination
	if d.Dir != "" {
		return stored.Folder{Dir: d.Dir}, nil
	}
	api, err := makeS3(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return stored.Bucket{API: api, Name: d.Bucket}, nil
}

// prefixes are what the keys of all objects begin with, those of former layouts too.
func prefixes(cfg *config.Pipeline, layouts map[int]s3sink.LayoutConfig) (list []string) {
	add := func(c s3sink.LayoutConfig) {
		list = append(list, s3sink.LiteralPrefix(c.Prefix))
		if c.Partitioned {
			list = append(list, s3sink.LiteralPrefix(c.ErrorOutputPrefix))
		}
	}
	add(layoutConfig(cfg))
	for _, c := range layouts {
		add(c)
	}
	return list
}
