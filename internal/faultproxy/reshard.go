package faultproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Resharder splits and merges shards of a stream, as an operator or the service itself does.
type Resharder struct {
	API    *kinesis.Client
	Stream string
	Most   int // open shards, at the most
}

// Reshard splits a shard, at its middle or near an edge, or merges two that lie side by side. It says which. A stream that
// is busy is left alone: then it says "".
func (r *Resharder) Reshard(ctx context.Context, random *rand.Rand) (string, error) {
	open, err := r.open(ctx)
	if err != nil {
		return "", err
	}
	if len(open) > 1 && (len(open) >= r.Most || random.IntN(2) == 0) {
		i := random.IntN(len(open) - 1)
		_, err = r.API.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &r.Stream, ShardToMerge: open[i].ShardId, AdjacentShardToMerge: open[i+1].ShardId})
		return outcome("merge", err)
	}
	shard := open[random.IntN(len(open))]
	at, ok := middle(shard.HashKeyRange, random)
	if !ok {
		return "", nil
	}
	_, err = r.API.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &r.Stream, ShardToSplit: shard.ShardId, NewStartingHashKey: &at})
	return outcome("split", err)
}

func outcome(what string, err error) (string, error) {
	var busy *types.ResourceInUseException
	var limit *types.LimitExceededException
	if errors.As(err, &busy) || errors.As(err, &limit) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	return what, nil
}

// middle is a place in a range, in quarters.
func middle(keys *types.HashKeyRange, random *rand.Rand) (string, bool) {
	low, ok1 := new(big.Int).SetString(aws.ToString(keys.StartingHashKey), 10)
	high, ok2 := new(big.Int).SetString(aws.ToString(keys.EndingHashKey), 10)
	if !ok1 || !ok2 {
		return "", false
	}
	width := new(big.Int).Sub(high, low)
	if width.BitLen() < 8 {
		return "", false
	}
	width.Mul(width, big.NewInt(int64(1+random.IntN(3)))).Rsh(width, 2)
	return width.Add(width, low).String(), true
}

// open are the open shards in the order of their hash keys.
func (r *Resharder) open(ctx context.Context) ([]types.Shard, error) {
	var open []types.Shard
	in := &kinesis.ListShardsInput{StreamName: &r.Stream}
	for {
		page, err := r.API.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list shards: %w", err)
		}
		for _, s := range page.Shards {
			if s.SequenceNumberRange.EndingSequenceNumber == nil {
				open = append(open, s)
			}
		}
		if page.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: page.NextToken}
	}
	slices.SortFunc(open, func(a, b types.Shard) int {
		x, y := aws.ToString(a.HashKeyRange.StartingHashKey), aws.ToString(b.HashKeyRange.StartingHashKey)
		return cmp.Or(len(x)-len(y), strings.Compare(x, y))
	})
	return open, nil
}
