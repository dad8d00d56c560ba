package main

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/lease"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// makeDeliver connects the stream with the objects. With once, it ends when what is in the stream now is stored.
func (p *parts) makeDeliver(ctx context.Context, once bool) (*pipeline.Deliver, error) {
	cfg := p.cfg
	awsConfig, endpoint, err := streamAWS(ctx, cfg, p.node)
	if err != nil {
		return nil, err
	}
	destination, err := makeDestination(ctx, cfg)
	if err != nil {
		return nil, err
	}
	bodies, err := makeBodies(ctx, cfg)
	if err != nil {
		return nil, err
	}
	in := kinesisin.Config{API: kinesisout.NewClient(awsConfig, endpoint), Stream: cfg.Stream.Name}
	if in.Stream == "" {
		in.Stream = cfg.Stream.ARN
	}
	if p.node != nil {
		// AWS allows five calls a second and shard, and bills by what waits; our own stream does neither.
		in.PollInterval, in.CallInterval = 200*time.Millisecond, time.Millisecond
	}
	d := &cfg.Delivery
	size, interval := hintsOf(cfg)
	var leases func(stream string) lease.Table
	if p.table != nil {
		leases = func(stream string) lease.Table { return lease.NewDynamoDB(p.table, stream) }
	}
	return pipeline.NewDeliver(pipeline.DeliverConfig{
		Stream:      in,
		Destination: destination,
		Layout:      layoutConfig(cfg),
		Bodies:      bodies,
		Partitions:  d.Partitioning.MaxOpen,
		Store:       p.store,
		Leases:      leases,
		Failover:    cfg.Checkpoint.FailoverTime,
		Start:       pipeline.DeliverStart{Latest: d.StartFrom.Kind == config.Latest, Time: d.StartFrom.Time},
		Size:        size,
		Interval:    interval,
		// A quarter of the ceiling: records are there once as they came and once more, compressed, while an object is made.
		MaxBytes:        int64(cfg.MemoryLimit / 4),
		Once:            once,
		AcceptLoss:      d.AcceptLoss,
		Grace:           cfg.ShutdownGrace,
		HashRangeFilter: d.HashRange,
		Log:             p.log.With("half", "deliver"),
		Registerer:      p.registry,
	}), nil
}

// layoutConfig says how objects are named and what is in them.
func layoutConfig(cfg *config.Pipeline) s3sink.LayoutConfig {
	d := &cfg.Delivery
	return s3sink.LayoutConfig{
		Name: cfg.Name, Prefix: d.Prefix, ErrorOutputPrefix: d.ErrorPrefix,
		Compression: s3sink.Compression(d.Compression), TimeZone: d.TimeZone.String(), Extension: d.FileExtension,
		AppendDelimiter: d.AppendNewline, Deduplicate: d.Deduplicate,
		Partitioned: d.Partitioning.Enabled, Query: d.Partitioning.Query, PartitionTime: string(d.PartitionTime),
	}
}

// makeBodies is where records are read from that were too large for the stream. That does not depend on what becomes of
// such records now: references to them stay in the stream for a while.
func makeBodies(ctx context.Context, cfg *config.Pipeline) (s3sink.Bodies, error) {
	place := cfg.Stream.OversizedDestination
	if place.Dir != "" {
		return &s3sink.FileBodies{Dir: place.Dir}, nil
	}
	api, err := makeS3(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &s3sink.S3Bodies{API: api, Bucket: place.Bucket, Prefix: place.Prefix}, nil
}

// makeDestination is where objects go.
func makeDestination(ctx context.Context, cfg *config.Pipeline) (s3sink.Destination, error) {
	d := &cfg.Delivery
	if d.Destination.Dir != "" {
		return s3sink.NewFile(d.Destination.Dir), nil
	}
	bucket := bucketConfig(cfg, d.Destination.Bucket, "")
	bucket.Tags = d.ObjectTags
	if bucket.StorageClass = string(d.StorageClass); bucket.StorageClass == "STANDARD" {
		bucket.StorageClass = "" // the default; some stores know no classes
	}
	return makeBucket(ctx, cfg, bucket)
}

// bucketConfig is a place in a bucket.
func bucketConfig(cfg *config.Pipeline, bucket, prefix string) s3sink.S3Config {
	d := &cfg.Delivery
	return s3sink.S3Config{Bucket: bucket, Prefix: prefix, Compatible: d.Endpoint != "", KMSKey: d.Encryption.KMS.KeyARN}
}

// makeBucket reaches a bucket as delivery's settings say.
func makeBucket(ctx context.Context, cfg *config.Pipeline, c s3sink.S3Config) (*s3sink.S3, error) {
	api, err := makeS3(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c.API = api
	return s3sink.NewS3(c), nil
}

// makeS3 is the client for the store that objects go to.
func makeS3(ctx context.Context, cfg *config.Pipeline) (*s3.Client, error) {
	d := &cfg.Delivery
	region := d.Region
	if region == "" {
		region = cfg.Stream.Region
	}
	awsConfig, err := loadAWS(ctx, cfg, "delivery", region, d.Endpoint)
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(awsConfig, s3sink.ClientOptions(d.Endpoint, d.UsePathStyle)), nil
}
