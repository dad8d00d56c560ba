package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/gzip"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

const (
	objectSize = 5 << 20 // plain bytes of an object, the product's default
	gzipLevel  = 3       // the product's
)

// deliverGzip compresses the records and does nothing else: the least that storing them compressed costs.
func deliverGzip(_ context.Context, p *params, done func(items, bytes int64)) error {
	f, err := os.Open(p.Records)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(io.Discard, gzipLevel)
	if err != nil {
		return err
	}
	var total int64
	for {
		z.Reset(io.Discard)
		n, err := io.CopyN(z, f, objectSize)
		total += n
		if closeErr := z.Close(); closeErr != nil {
			return closeErr
		}
		if errors.Is(err, io.EOF) {
			done(p.Changes, total)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// deliverOurs is the product's whole delivering half: it reads the stream, drops what was sent twice, and stores
// compressed objects in a folder, with checkpoints.
func deliverOurs(ctx context.Context, p *params, done func(items, bytes int64)) error {
	return deliver(ctx, p, s3sink.NewFile(filepath.Join(p.Dir, "objects")), done)
}

// deliverS3Ours stores them in a bucket, with the SDK.
func deliverS3Ours(ctx context.Context, p *params, done func(items, bytes int64)) error {
	api := s3.NewFromConfig(awsConfig(), s3sink.ClientOptions(p.Stream, true))
	return deliver(ctx, p, s3sink.NewS3(s3sink.S3Config{API: api, Bucket: "bench"}), done)
}

func deliver(ctx context.Context, p *params, to s3sink.Destination, done func(items, bytes int64)) error {
	plain, err := os.Stat(p.Records)
	if err != nil {
		return err
	}
	store, err := checkpoint.OpenFile(filepath.Join(p.Dir, "state"))
	if err != nil {
		return err
	}
	err = pipeline.NewDeliver(pipeline.DeliverConfig{
		Stream: kinesisin.Config{API: kinesisout.NewClient(awsConfig(), p.Stream), Stream: streamName,
			CallInterval: time.Nanosecond, PollInterval: time.Millisecond}, // the stub has no limit of five calls a second
		Destination: to,
		Layout:      s3sink.LayoutConfig{Name: "bench", Compression: s3sink.GZIP, Deduplicate: true},
		Bodies:      &s3sink.FileBodies{Dir: filepath.Join(p.Dir, "bodies")}, // as always: each record is asked whether it has one
		Store:       store, Size: objectSize, Interval: 5 * time.Minute, MaxBytes: productMemory / 4, Once: true, Log: discard,
	}).Run(ctx)
	done(p.Changes, plain.Size())
	return err
}

// storedLines counts the records in all objects under a folder, to be sure that the work was done.
func storedLines(dir string) (lines int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".gz") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		z, err := gzip.NewReader(bufio.NewReader(f))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		scan := bufio.NewScanner(z)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			lines++
		}
		return scan.Err()
	})
	return lines, err
}
