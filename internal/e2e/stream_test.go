package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"google.golang.org/protobuf/encoding/protowire"
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
				for _, data := range disaggregated(t, r.Data) {
					out = append(out, decoded.parse(t, id, data))
				}
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

// parentsOf are the parents of each shard that has some.
func parentsOf(shards []types.Shard) map[string][]string {
	parents := map[string][]string{}
	for _, s := range shards {
		for _, p := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
			if p != nil && *p != "" {
				parents[aws.ToString(s.ShardId)] = append(parents[aws.ToString(s.ShardId)], *p)
			}
		}
	}
	return parents
}

// disaggregated takes an aggregated record apart, by the documented format and without our own parser: the magic number, a
// message whose field 3 holds records whose field 3 holds the data, and an MD5. Other records are given back as they are.
func disaggregated(t *testing.T, data []byte) [][]byte {
	t.Helper()
	body, ok := bytes.CutPrefix(data, []byte{0xf3, 0x89, 0x9a, 0xc2})
	if !ok || len(body) < md5.Size {
		return [][]byte{data}
	}
	body, sum := body[:len(body)-md5.Size], body[len(body)-md5.Size:]
	if got := md5.Sum(body); !bytes.Equal(got[:], sum) {
		t.Fatalf("an aggregated record has a wrong checksum: %.80x", data)
	}
	var out [][]byte
	fields(t, body, 3, func(record []byte) {
		fields(t, record, 3, func(data []byte) { out = append(out, data) })
	})
	return out
}

// fields calls f for each field of a protobuf message that has this number, which must be of bytes.
func fields(t *testing.T, message []byte, number protowire.Number, f func([]byte)) {
	t.Helper()
	for len(message) > 0 {
		got, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			t.Fatalf("an aggregated record is damaged: %v", protowire.ParseError(n))
		}
		message = message[n:]
		if got == number && kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(message)
			if n < 0 {
				t.Fatalf("an aggregated record is damaged: %v", protowire.ParseError(n))
			}
			f(value)
			message = message[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(got, kind, message); n < 0 {
			t.Fatalf("an aggregated record is damaged: %v", protowire.ParseError(n))
		}
		message = message[n:]
	}
}
