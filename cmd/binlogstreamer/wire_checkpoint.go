package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// openStore opens the store of checkpoints for use: a table that is missing is made, and a bucket has to show that it
// keeps conditions. table is the store's, where it is one in DynamoDB.
func openStore(ctx context.Context, cfg *config.Pipeline) (store checkpoint.Store, table *dynamo.Table, err error) {
	store, table, err = makeStore(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	if table != nil {
		err = table.Ensure(ctx)
	} else if s, ok := store.(*checkpoint.S3); ok {
		err = s.Probe(ctx)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case err != nil:
		return nil, nil, fmt.Errorf("open checkpoint.store %s: %w", cfg.Checkpoint.Store, err)
	}
	return store, table, nil
}

// makeStore connects the store of checkpoints. table is the store's, where it is one in DynamoDB. Only a folder is made.
func makeStore(ctx context.Context, cfg *config.Pipeline) (store checkpoint.Store, table *dynamo.Table, err error) {
	k := &cfg.Checkpoint
	if k.Store.Dir != "" {
		store, err := checkpoint.OpenFile(k.Store.Dir)
		if err != nil {
			return nil, nil, fmt.Errorf("%w; let the daemon's user write to checkpoint.store, %s", err, k.Store)
		}
		return store, nil, nil
	}
	region := k.Region
	if region == "" {
		region = cfg.Stream.Region
	}
	awsConfig, err := loadAWS(ctx, cfg, "checkpoint", region, k.Endpoint)
	if err != nil {
		return nil, nil, err
	}
	if k.Store.Bucket != "" {
		return checkpoint.NewS3(checkpoint.S3Config{
			API:    s3.NewFromConfig(awsConfig, s3sink.ClientOptions(k.Endpoint, k.UsePathStyle)),
			Bucket: k.Store.Bucket, Prefix: k.Store.Prefix, Compatible: k.Endpoint != "", Failover: k.FailoverTime,
		}), nil, nil
	}
	api := dynamodb.NewFromConfig(awsConfig, func(o *dynamodb.Options) {
		if k.Endpoint != "" {
			o.BaseEndpoint = aws.String(k.Endpoint)
		}
	})
	table = &dynamo.Table{API: api, Name: k.Store.Table, Region: awsConfig.Region}
	return checkpoint.NewDynamoDB(table, k.FailoverTime), table, nil
}
