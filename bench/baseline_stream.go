package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"golang.org/x/sync/errgroup"
)

// putters is how many requests a baseline has in flight.
const putters = 4

// plainClient is the SDK's as it comes.
func plainClient(p *params) *kinesis.Client {
	return kinesis.New(kinesis.Options{Region: "us-east-1", BaseEndpoint: &p.Stream, Credentials: awsConfig().Credentials})
}

// streamSDK puts the same 500 records again and again: what PutRecords costs where records cost nothing.
func streamSDK(ctx context.Context, p *params, done func(items, bytes int64)) error {
	const size, perCall = 500, 500 // of a record's data; records in a call
	entries := make([]types.PutRecordsRequestEntry, perCall)
	for i := range entries {
		entries[i] = types.PutRecordsRequestEntry{
			Data:         fmt.Appendf(nil, "%0*d", size, i),
			PartitionKey: aws.String(fmt.Sprintf("dms_sample.ticket_purchase_hist.%d", i)),
		}
	}
	k := plainClient(p)
	group, putCtx := errgroup.WithContext(ctx)
	group.SetLimit(putters)
	calls := p.Changes / perCall
	for range calls {
		group.Go(func() error {
			_, err := k.PutRecords(putCtx, &kinesis.PutRecordsInput{StreamName: aws.String(streamName), Records: entries})
			return err
		})
	}
	err := group.Wait()
	done(calls*perCall, calls*perCall*size)
	return err
}

// streamBaseline sends the records of binlogBaseline in requests of 500, four at a time, with no care for order.
func streamBaseline(ctx context.Context, p *params, done func(items, bytes int64)) error {
	k := plainClient(p)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putters)
	var (
		batch []types.PutRecordsRequestEntry
		items int64
		sent  sync.Mutex // covers bytes
		bytes int64
	)
	flush := func() {
		entries := batch
		batch = nil
		group.Go(func() error {
			_, err := k.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String(streamName), Records: entries})
			sent.Lock()
			defer sent.Unlock()
			for _, e := range entries {
				bytes += int64(len(e.Data) + len(*e.PartitionKey))
			}
			return err
		})
	}
	err := runCanal(ctx, p, marshalMaps, func(key string, data []byte) error {
		items++
		batch = append(batch, types.PutRecordsRequestEntry{Data: data, PartitionKey: &key})
		if len(batch) == 500 || items == p.Changes {
			flush()
		}
		return nil
	})
	if waitErr := group.Wait(); waitErr != nil {
		err = waitErr
	}
	done(items, bytes)
	return err
}
