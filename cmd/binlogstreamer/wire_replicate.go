package main

import (
	"context"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// makeReplicate connects MySQL with the stream. With once, it ends where the binlog ends now.
func (p *parts) makeReplicate(ctx context.Context, once bool) (*pipeline.Replicate, error) {
	cfg := p.cfg
	awsConfig, endpoint, err := streamAWS(ctx, cfg, p.node)
	if err != nil {
		return nil, err
	}
	log := p.log.With("half", "replicate")
	from, err := makeSource(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	oversized, err := makeOversized(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return pipeline.NewReplicate(pipeline.ReplicateConfig{
		Task:        cfg.Name,
		Migration:   pipeline.Migration(cfg.Replication.MigrationType),
		Source:      from,
		ServerID:    cfg.Source.ServerID,
		Rules:       cfg.Replication.Rules,
		Records:     cfg.RecordOptions(),
		Rendered:    schema.Options{NoHexPrefix: cfg.Stream.NoHexPrefix},
		Deduplicate: cfg.Delivery.Deduplicate && cfg.Stream.IncludeTransactionDetails,
		Stream: kinesisout.Config{
			API:        kinesisout.NewClient(awsConfig, endpoint),
			StreamName: cfg.Stream.Name, StreamARN: cfg.Stream.ARN,
			Aggregate: cfg.Stream.Aggregation,
			// What a shard takes is known of AWS's own; everything else says by throttling when it is too much.
			ShardLimits: cfg.Stream.Endpoint == "",
			// Queued records may take an eighth of the ceiling; they exist as bytes of a request once more while it is sent.
			MaxBytes: int(min(32*config.MiB, cfg.MemoryLimit/8)),
		},
		Oversized: oversized,
		Store:     p.store,
		Start:     cfg.Replication.CDCStart.String(),
		Stop:      cfg.Replication.CDCStop.Time,
		Once:      once,
		Parallel:  cfg.Replication.Settings.MaxFullLoadSubTasks, TableErrors: pipeline.ErrorPolicy(cfg.Replication.Settings.TableErrorPolicy),
		// Chunks may take an eighth of the ceiling. A giant row exists several times, and beyond that, while it passes.
		LoadBytes: int(min(64*config.MiB, cfg.MemoryLimit/8)),
		Grace:     cfg.ShutdownGrace,
		Log:       log, Registerer: p.registry,
	}), nil
}

// makeOversized says what becomes of records that are larger than the stream takes.
func makeOversized(ctx context.Context, cfg *config.Pipeline) (pipeline.OversizedConfig, error) {
	o := pipeline.OversizedConfig{
		Policy:   pipeline.OversizedPolicy(cfg.Stream.OversizedRecords),
		LOBBytes: cfg.Stream.LOBMaxSize << 10,
		// The row and the record are both in memory while it is stored: half of the ceiling, then, at the most.
		MaxBytes: int(cfg.MemoryLimit / 4),
	}
	if o.Policy != pipeline.OversizedSpill {
		return o, nil
	}
	place := cfg.Stream.OversizedDestination
	o.Location = place.String()
	if place.Dir != "" {
		o.Destination = s3sink.NewFile(place.Dir)
		return o, nil
	}
	bucket, err := makeBucket(ctx, cfg, bucketConfig(cfg, place.Bucket, place.Prefix))
	o.Destination = bucket
	return o, err
}
