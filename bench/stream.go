package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/mapping"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

func awsConfig() aws.Config {
	return aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("bench", "bench", "")}
}

// streamOurs is the product's whole replicating half, with order per key, checkpoints and all.
func streamOurs(ctx context.Context, p *params, done func(items, bytes int64)) error {
	return untilCounted(ctx, p, nil, done)
}

// untilCounted replicates until the stub has everything. What the stub counts includes the records that announce the
// start.
func untilCounted(ctx context.Context, p *params, change func(*pipeline.ReplicateConfig), done func(items, bytes int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		if p.Warm > 0 {
			if got := counted(ctx, p, p.Warm); got.Records < p.Changes {
				p.Warm = got.Records
				p.warmed()
			}
		}
		done(p.written(), counted(ctx, p, p.Changes).Bytes)
	}()
	return replicate(ctx, p, change)
}

// counted waits until the stub has so many records.
func counted(ctx context.Context, p *params, records int64) (got stubState) {
	for ctx.Err() == nil {
		var err error
		if got, err = askStub(ctx, p.Stream); err == nil && got.Records >= records {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(countPause):
		}
	}
	return got
}

// countPause is between two questions to the stub: short beside what a step takes.
const countPause = 10 * time.Millisecond

// daemonOurs is the same as a service: it goes on until SIGTERM. What it worked on, whoever started it knows.
func daemonOurs(ctx context.Context, p *params, done func(items, bytes int64)) error {
	ctx, stop := untilTerminated(ctx)
	defer stop()
	err := replicate(ctx, p, nil)
	done(1, 0)
	return err
}

// refusalOurs replicates where something comes that has to be refused.
func refusalOurs(ctx context.Context, p *params, done func(items, bytes int64)) error {
	err := replicate(ctx, p, func(c *pipeline.ReplicateConfig) { c.TableErrors = pipeline.StopTask })
	if err == nil || !strings.Contains(err.Error(), p.Refusal) {
		return fmt.Errorf("ended with %w where %q was due", err, p.Refusal)
	}
	done(1, 0)
	return nil
}

// spillOurs is the same where a record that the stream does not take is stored in a folder instead.
func spillOurs(ctx context.Context, p *params, done func(items, bytes int64)) error {
	bodies := filepath.Join(p.Dir, "bodies")
	return untilCounted(ctx, p, func(c *pipeline.ReplicateConfig) {
		c.Oversized = pipeline.OversizedConfig{Policy: pipeline.OversizedSpill, MaxBytes: productMemory / 4,
			Destination: s3sink.NewFile(bodies), Location: "file://" + bodies + "/"}
	}, done)
}

func replicate(ctx context.Context, p *params, change func(*pipeline.ReplicateConfig)) error {
	rules, err := mapping.Parse(fmt.Appendf(nil, `{"rules": [{"rule-type": "selection", "rule-id": "1", "rule-name": "1",
		"object-locator": {"schema-name": %q, "table-name": %q}, "rule-action": "include"}]}`, p.database(), p.Table))
	if err != nil {
		return err
	}
	store, err := checkpoint.OpenFile(filepath.Join(p.Dir, "state"))
	if err != nil {
		return err
	}
	c := pipeline.ReplicateConfig{
		Task: "bench", Migration: pipeline.CDC, Source: p.source(), ServerID: 7003, Rules: rules,
		Records: recordOptions(), Rendered: schema.Options{}, Deduplicate: true,
		Stream: kinesisout.Config{API: kinesisout.NewClient(awsConfig(), p.Stream), StreamName: streamName},
		Store:  store, Start: fmt.Sprintf("%s:%d", p.File, p.Offset), Log: discard,
	}
	if change != nil {
		change(&c)
	}
	return pipeline.NewReplicate(c).Run(ctx)
}
