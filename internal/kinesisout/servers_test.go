package kinesisout

import (
	"context"
	"fmt"
	"log/slog"
	"math/big"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// Real servers take what is written while their shards are split and merged.
func TestAgainstServers(t *testing.T) {
	for name, c := range map[string]struct {
		start   func(t *testing.T) *testservers.AWSServer
		records int
	}{
		"kinesalite": {func(t *testing.T) *testservers.AWSServer {
			s := testservers.Kinesalite(t)
			s.CreateStream(t, "orders", 2)
			return s
		}, 20_000},
		"kinesis-local": {func(t *testing.T) *testservers.AWSServer { return testservers.KinesisLocal(t, "orders:2") }, 2000},
	} {
		t.Run(name, func(t *testing.T) { writeAndReshard(t, c.start(t), c.records) })
	}
}

func writeAndReshard(t *testing.T, s *testservers.AWSServer, records int) {
	client := NewClient(s.Config(), s.Endpoint)
	ledger := newLedger()
	w := New(Config{API: client, StreamName: "orders", Logger: slog.New(slog.DiscardHandler), ListEvery: 2 * time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.Run(run) }()
	for i := range records {
		switch i {
		case records / 4:
			split(t, s, client, 0)
		case records / 2:
			split(t, s, client, 1)
			if err := w.EachShard(ctx, "fence", []byte("fence")); err != nil {
				t.Fatal(err)
			}
		case records * 3 / 4:
			merge(t, s, client)
		}
		if err := w.Put(ctx, ledger.record(fmt.Sprint("key-", i*i%997), i%300)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	f := &fakeKinesis{t: t, ledger: ledger, records: readAll(t, client)}
	fences := 0
	for i := range f.records {
		if f.records[i].data == "fence" {
			f.records[i].explicit = true
			fences++
		}
	}
	if doubled := f.mustHold(); doubled > 0 {
		t.Errorf("%d records are stored twice", doubled)
	}
	if fences < 3 {
		t.Errorf("%d shards got the record for each", fences)
	}
}

// openOf lists the open shards by their hash ranges.
func openOf(t *testing.T, client *kinesis.Client) layout {
	t.Helper()
	l, err := New(Config{API: client, StreamName: "orders"}).listOpen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func split(t *testing.T, s *testservers.AWSServer, client *kinesis.Client, i int) {
	t.Helper()
	open := openOf(t, client)
	number := func(s string) *big.Int {
		n, _ := new(big.Int).SetString(s, 10)
		return n
	}
	from, to := number(open[i].hashKey), new(big.Int).Lsh(big.NewInt(1), 128)
	if i+1 < len(open) {
		to = number(open[i+1].hashKey)
	}
	middle := new(big.Int).Rsh(new(big.Int).Add(from, to), 1)
	_, err := client.SplitShard(t.Context(), &kinesis.SplitShardInput{
		StreamName: aws.String("orders"), ShardToSplit: &open[i].id, NewStartingHashKey: aws.String(middle.String()),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.AwaitStream(t, "orders")
}

func merge(t *testing.T, s *testservers.AWSServer, client *kinesis.Client) {
	t.Helper()
	open := openOf(t, client)
	_, err := client.MergeShards(t.Context(), &kinesis.MergeShardsInput{
		StreamName: aws.String("orders"), ShardToMerge: &open[0].id, AdjacentShardToMerge: &open[1].id,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.AwaitStream(t, "orders")
}

// readAll reads every shard from its begin, parents before children.
func readAll(t *testing.T, client *kinesis.Client) (all []stored) {
	t.Helper()
	shards, err := New(Config{API: client, StreamName: "orders"}).listShards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards {
		it, err := client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
			StreamName: aws.String("orders"), ShardId: &s.id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		for next := it.ShardIterator; next != nil; {
			out, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: next})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.Records {
				all = append(all, stored{key: *r.PartitionKey, data: string(r.Data), shard: s.id})
			}
			if next = out.NextShardIterator; len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
				break
			}
		}
	}
	t.Log(strconv.Itoa(len(all)), "records in", len(shards), "shards")
	return all
}
