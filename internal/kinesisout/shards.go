package kinesisout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// shard is what the Writer knows of a shard.
type shard struct {
	id      string
	start   hash
	hashKey string // start as Kinesis writes it
	open    bool
	parents [2]string // "" where it has fewer
}

// layout is the open shards, by the begin of their hash ranges.
type layout []shard

// errNoShards is what a listing without an open shard means: the stream is being changed, or the endpoint is confused.
var errNoShards = errors.New("the stream has no open shard")

// openShards picks the open ones of all shards.
func openShards(all []shard) (layout, error) {
	open := slices.DeleteFunc(slices.Clone(all), func(s shard) bool { return !s.open })
	if len(open) == 0 {
		return nil, errNoShards
	}
	slices.SortFunc(open, func(a, b shard) int { return cmp.Or(a.start.compare(b.start), cmp.Compare(a.id, b.id)) })
	return open, nil
}

// find is the index of the shard that takes a hash. Kinesis decides by itself where a record goes, so in a listing that
// was taken in the middle of a change and has gaps or overlaps, the nearest range will do.
func (l layout) find(h hash) int {
	behind := sort.Search(len(l), func(i int) bool { return l[i].start.compare(h) > 0 })
	return max(behind-1, 0)
}

// same says whether two layouts have the same shards.
func (l layout) same(o layout) bool {
	return slices.EqualFunc(l, o, func(a, b shard) bool { return a.id == b.id })
}

// listShards reads all pages of the stream's shards, open or not.
func (w *Writer) listShards(ctx context.Context) ([]shard, error) {
	var all []shard
	in := &kinesis.ListShardsInput{StreamName: w.cfg.name(), StreamARN: w.cfg.arn()}
	for {
		out, err := w.listPage(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, s := range out.Shards {
			if s.HashKeyRange == nil || s.SequenceNumberRange == nil {
				return nil, fmt.Errorf("shard %q is listed without its ranges", aws.ToString(s.ShardId))
			}
			key := aws.ToString(s.HashKeyRange.StartingHashKey)
			start, err := parseHash(key)
			if err != nil {
				return nil, fmt.Errorf("shard %q: %w", aws.ToString(s.ShardId), err)
			}
			all = append(all, shard{
				id: aws.ToString(s.ShardId), start: start, hashKey: key,
				open:    s.SequenceNumberRange.EndingSequenceNumber == nil,
				parents: [2]string{aws.ToString(s.ParentShardId), aws.ToString(s.AdjacentParentShardId)},
			})
		}
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken} // which says the stream as well
	}
}

func (w *Writer) listPage(ctx context.Context, in *kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CallTimeout)
	defer cancel()
	return w.cfg.API.ListShards(ctx, in)
}
