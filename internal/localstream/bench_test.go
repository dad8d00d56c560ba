package localstream

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// BenchmarkPutRecords is the way a replicating process uses the stream: a few requests at a time, each of up to 500
// records of a changed row's size, every one on disk before its answer.
func BenchmarkPutRecords(b *testing.B) {
	for _, c := range []struct{ shards, writers, batch int }{{1, 1, 500}, {1, 4, 500}, {4, 4, 500}, {4, 16, 20}} {
		b.Run(fmt.Sprintf("shards=%d/writers=%d/batch=%d", c.shards, c.writers, c.batch), func(b *testing.B) {
			n, _ := start(b, Config{Dir: b.TempDir(), Stream: "s", Shards: c.shards})
			k := client(b, n)
			entries := make([]types.PutRecordsRequestEntry, c.batch)
			for i := range entries {
				entries[i] = types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprint("key ", i)), Data: []byte(strings.Repeat("d", 300))}
			}
			if _, err := n.Address(b.Context()); err != nil {
				b.Fatal(err)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range c.writers {
				wg.Go(func() {
					for left.Add(-int64(c.batch)) > -int64(c.batch) {
						if out, err := k.PutRecords(b.Context(), &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: entries}); err != nil || *out.FailedRecordCount != 0 {
							b.Errorf("%+v, %v", out, err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkGetRecords(b *testing.B) {
	n, _ := start(b, Config{Dir: b.TempDir(), Stream: "s"})
	k := client(b, n)
	var entries []types.PutRecordsRequestEntry
	for i := range 500 {
		entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprint("key ", i)), Data: []byte(strings.Repeat("d", 300))})
	}
	for range 20 {
		if _, err := k.PutRecords(b.Context(), &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: entries}); err != nil {
			b.Fatal(err)
		}
	}
	it, err := k.GetShardIterator(b.Context(), &kinesis.GetShardIteratorInput{StreamName: aws.String("s"),
		ShardId: aws.String(shardID(0)), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if out, err := k.GetRecords(b.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator}); err != nil || len(out.Records) != 10000 {
			b.Fatal(len(out.Records), err)
		}
	}
	b.ReportMetric(10000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
