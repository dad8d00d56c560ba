package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// readStream reads every record of every shard, parents before their children.
func readStream(t *testing.T, api *kinesis.Client, stream string, decoded *decoder) []rec {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out []rec
	for _, shard := range shardsInOrder(t, ctx, api, stream) {
		id := aws.ToString(shard.ShardId)
		it, err := api.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: &stream, ShardId: &id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		for next := it.ShardIterator; next != nil; {
			page, err := api.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(10_000)})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				out = append(out, decoded.parse(t, id, r.Data))
			}
			next = page.NextShardIterator
			if len(page.Records) == 0 && aws.ToInt64(page.MillisBehindLatest) == 0 {
				break
			}
		}
	}
	return out
}

func shardsInOrder(t *testing.T, ctx context.Context, api *kinesis.Client, stream string) []types.Shard {
	t.Helper()
	var all []types.Shard
	in := &kinesis.ListShardsInput{StreamName: &stream}
	for {
		page, err := api.ListShards(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Shards...)
		if page.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: page.NextToken}
	}
	// Ids count up, and a child is made after its parents.
	return all
}
