package kinesisout

import (
	"context"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/localstream"
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
		t.Run(name, func(t *testing.T) { writeAndReshard(t, c.start(t), c.records, false) })
		t.Run(name+", aggregated", func(t *testing.T) { writeAndReshard(t, c.start(t), c.records/4, true) })
	}
}

func writeAndReshard(t *testing.T, s *testservers.AWSServer, records int, aggregate bool) {
	client := NewClient(s.Config(), s.Endpoint)
	ledger := newLedger()
	w := New(Config{API: client, StreamName: "orders", Logger: slog.New(slog.DiscardHandler), ListEvery: 2 * time.Second, Aggregate: aggregate})
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
			if err := w.EachShard(ctx, "fence", fences()); err != nil {
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
		if f.records[i].key == "fence" {
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

// embedded starts an embedded stream and gives a client of it.
func embedded(t testing.TB, shards int) *kinesis.Client {
	t.Helper()
	node, err := localstream.New(localstream.Config{
		Dir: t.TempDir(), Stream: "orders", Shards: shards, MaxRecordKiB: 1024, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	inBackground(t, node.Run)
	http := node.HTTPClient()
	t.Cleanup(http.CloseIdleConnections)
	return NewClient(aws.Config{
		Region: "us-east-1", HTTPClient: http, Credentials: aws.CredentialsProviderFunc(credentials),
	}, node.Endpoint())
}

// inBackground runs something until the test ends or stop is called.
func inBackground(t testing.TB, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// All shards change at once, up and down, while records are written and one of them is larger than the stream took at
// the start.
func TestShardCountAndRecordSizeChange(t *testing.T) {
	for _, aggregate := range []bool{false, true} {
		t.Run(fmt.Sprintf("aggregate=%t", aggregate), func(t *testing.T) { scaleWhileWriting(t, aggregate) })
	}
}

func scaleWhileWriting(t *testing.T, aggregate bool) {
	client := embedded(t, 2)
	ledger := newLedger()
	w := New(Config{API: client, StreamName: "orders", Logger: slog.New(slog.DiscardHandler), Aggregate: aggregate})
	stop := inBackground(t, w.Run)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const records = 6000
	for i := range records {
		if target := map[int]int32{records / 6: 4, records / 3: 2, records / 2: 3, records * 2 / 3: 6}[i]; target > 0 {
			_, err := client.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{
				StreamName: aws.String("orders"), TargetShardCount: &target, ScalingType: types.ScalingTypeUniformScaling,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		size := i % 300
		if i == records*3/4 {
			size = 2 << 20
			sum, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("orders")})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.UpdateMaxRecordSize(ctx, &kinesis.UpdateMaxRecordSizeInput{
				StreamARN: sum.StreamDescriptionSummary.StreamARN, MaxRecordSizeInKiB: aws.Int32(4096),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Put(ctx, ledger.record(fmt.Sprint("key-", i*i%97), size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	stop()
	f := &fakeKinesis{t: t, ledger: ledger, records: readAll(t, client)}
	if doubled := f.mustHold(); doubled > 0 {
		t.Errorf("%d records are stored twice", doubled)
	}
	packed := slices.ContainsFunc(f.records, func(r stored) bool { return r.packed })
	if packed != aggregate {
		t.Errorf("there are aggregates: %t", packed)
	}
}

// farAway is a stream whose answers take longer.
type farAway struct {
	API
	delay time.Duration
}

func (f farAway) PutRecords(ctx context.Context, in *kinesis.PutRecordsInput, o ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	sleep(ctx, nil, f.delay)
	return f.API.PutRecords(ctx, in, o...)
}

// BenchmarkOneKey is the rate of a table whose records all have the same key, on the embedded stream, as it is and with
// answers that take as long as those of a stream in the network.
func BenchmarkOneKey(b *testing.B) {
	for _, delay := range []time.Duration{0, 10 * time.Millisecond} {
		for _, aggregate := range []bool{false, true} {
			b.Run(fmt.Sprintf("delay=%v/aggregate=%t", delay, aggregate), func(b *testing.B) {
				w := New(Config{API: farAway{embedded(b, 1), delay}, StreamName: "orders", Logger: slog.New(slog.DiscardHandler), Aggregate: aggregate, MaxBytes: 4 << 20})
				stop := inBackground(b, w.Run)
				r := Record{Key: []byte("shop.customer"), Data: []byte(strings.Repeat("d", 600))}
				b.ResetTimer()
				for range b.N {
					if err := w.Put(b.Context(), r); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
				stop()
			})
		}
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
				parts := kinesisin.Deaggregate(r.Data)
				for _, part := range parts {
					all = append(all, stored{key: *r.PartitionKey, data: string(part), shard: s.id, packed: len(parts) > 1})
				}
			}
			if next = out.NextShardIterator; len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
				break
			}
		}
	}
	t.Log(strconv.Itoa(len(all)), "records in", len(shards), "shards")
	return all
}
