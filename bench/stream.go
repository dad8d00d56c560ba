package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/mapping"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

func awsConfig() aws.Config {
	return aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("bench", "bench", "")}
}

// streamOurs is the product's whole replicating half, with order per key, checkpoints and all.
func streamOurs(ctx context.Context, p *params, done func(items, bytes int64)) error {
	// It ends when the stub has everything. What the stub counts includes the records that announce the start.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			if got, err := askStub(ctx, p.Stream); err == nil && got.Records >= p.Changes {
				done(p.Changes, got.Bytes)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return replicate(ctx, p, pipeline.SuspendTable)
}

// refusalOurs is the same where something comes that has to be refused.
func refusalOurs(ctx context.Context, p *params, done func(items, bytes int64)) error {
	err := replicate(ctx, p, pipeline.StopTask)
	if err == nil || !strings.Contains(err.Error(), p.Refusal) {
		return fmt.Errorf("ended with %w where %q was due", err, p.Refusal)
	}
	done(1, 0)
	return nil
}

func replicate(ctx context.Context, p *params, tableErrors pipeline.ErrorPolicy) error {
	rules, err := mapping.Parse(fmt.Appendf(nil, `{"rules": [{"rule-type": "selection", "rule-id": "1", "rule-name": "1",
		"object-locator": {"schema-name": %q, "table-name": %q}, "rule-action": "include"}]}`, cmp.Or(p.Database, database), p.Table))
	if err != nil {
		return err
	}
	store, err := checkpoint.OpenFile(p.Dir)
	if err != nil {
		return err
	}
	return pipeline.NewReplicate(pipeline.ReplicateConfig{
		Task: "bench", Migration: pipeline.CDC, Source: p.source(), ServerID: 7003, Rules: rules,
		Records: recordOptions(), Rendered: schema.Options{}, Deduplicate: true, TableErrors: tableErrors,
		Stream: kinesisout.Config{API: kinesisout.NewClient(awsConfig(), p.Stream), StreamName: streamName},
		Store:  store, Start: fmt.Sprintf("%s:%d", p.File, p.Offset), Log: discard,
	}).Run(ctx)
}
