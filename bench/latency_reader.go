package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/requestbody"
)

// lookPause is between two looks at a shard that has nothing new.
const lookPause = time.Millisecond

// watchLimit is how long records may be missing.
const watchLimit = 30 * time.Second

// watch reads all shards without a pause while there is something, and notes when each row was there.
type watch struct {
	api      *kinesis.Client
	first    int64           // number of the first row
	readable []time.Duration // of each row; 0: not yet
	seen     atomic.Int64
	group    *errgroup.Group
	cancel   context.CancelFunc
}

// watchStream begins to watch for n rows, from what comes next on.
func watchStream(ctx context.Context, endpoint string, first, n int64) (*watch, error) {
	w := &watch{first: first, readable: make([]time.Duration, n)}
	w.api = kinesis.New(kinesis.Options{Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: awsConfig().Credentials, APIOptions: requestbody.Options()})
	shards, err := w.api.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String(streamName)})
	if err != nil {
		return nil, err
	}
	ctx, w.cancel = context.WithCancel(ctx)
	w.group, ctx = errgroup.WithContext(ctx)
	for _, s := range shards.Shards {
		at, err := w.api.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: aws.String(streamName), ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeLatest})
		if err != nil {
			w.cancel()
			return nil, err
		}
		w.group.Go(func() error { return w.shard(ctx, at.ShardIterator) })
	}
	return w, nil
}

func (w *watch) shard(ctx context.Context, at *string) error {
	for ctx.Err() == nil {
		out, err := w.api.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: at})
		if err != nil {
			return err
		}
		now := sinceBegan()
		at = out.NextShardIterator
		for i := range out.Records {
			if err := w.note(out.Records[i].Data, now); err != nil {
				return err
			}
		}
		if len(out.Records) == 0 {
			time.Sleep(lookPause)
		}
	}
	return nil
}

// note notes a row when it is seen for the first time.
func (w *watch) note(record []byte, now time.Duration) error {
	n, ok, err := rowNumber(record)
	if i := n - w.first; ok && i >= 0 && i < int64(len(w.readable)) && w.readable[i] == 0 {
		w.readable[i] = now
		w.seen.Add(1)
	}
	return err
}

// rowNumber is the id in a record; control records have none.
func rowNumber(record []byte) (n int64, ok bool, err error) {
	_, rest, found := bytes.Cut(record, []byte(`"id":`))
	end := bytes.IndexAny(rest, ",}")
	if !found || end < 0 {
		return 0, false, nil
	}
	n, err = strconv.ParseInt(string(bytes.TrimSpace(rest[:end])), 10, 64)
	return n, err == nil, err
}

// wait returns when so many rows were seen.
func (w *watch) wait(ctx context.Context, rows int64) error {
	limit := time.Now().Add(watchLimit)
	for w.seen.Load() < rows {
		if time.Now().After(limit) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("%d of %d rows came", w.seen.Load(), rows), context.Cause(ctx))
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

func (w *watch) stop() {
	w.cancel()
	_ = w.group.Wait() // what fails shows in what is missing
}
