package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/localstream"
	"github.com/binlogstreamer/binlogstreamer/internal/requestbody"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestDeliverFromRealStreams delivers from every stand-in for Kinesis there is into a real S3 store, over a split, a
// merge and a restart.
func TestDeliverFromRealStreams(t *testing.T) {
	store := testservers.VersityGW(t)
	store.CreateBucket(t, "objects")
	for name, start := range map[string]func(t *testing.T) (*kinesis.Client, func()){
		"kinesalite": func(t *testing.T) (*kinesis.Client, func()) {
			server := testservers.Kinesalite(t)
			server.CreateStream(t, "s", 2)
			return kinesisout.NewClient(server.Config(), server.Endpoint), func() { server.AwaitStream(t, "s") }
		},
		"kinesis-local": func(t *testing.T) (*kinesis.Client, func()) {
			server := testservers.KinesisLocal(t, "s:2")
			return kinesisout.NewClient(server.Config(), server.Endpoint), func() { server.AwaitStream(t, "s") }
		},
		"embedded": embeddedStream,
	} {
		t.Run(name, func(t *testing.T) {
			// Kinesalite moves an iterator on to the present time when it finds nothing, past a record that is being
			// put in the same moment: it may be read only while nothing is written.
			r := &realDelivery{T: t, live: name != "kinesalite", layout: s3sink.LayoutConfig{Name: "real", Compression: s3sink.GZIP}}
			if name == "embedded" { // three objects of each run
				r.layout.Partitioned, r.layout.Query = true, "{k: (.key % 3)}"
				r.layout.Prefix, r.layout.ErrorOutputPrefix = "k=!{partitionKeyFromQuery:k}/!{timestamp:yyyy/MM/dd}/", "errors/"
			}
			r.client, r.await = start(t)
			client := s3.NewFromConfig(store.Config(), s3sink.ClientOptions(store.Endpoint, true))
			r.destination = s3sink.NewS3(s3sink.S3Config{API: client, Bucket: "objects", Prefix: name + "/", Compatible: true})
			r.run(t.TempDir())
			r.check(readBucket(t, client, "objects", name+"/"))
		})
	}
}

// embeddedStream serves our own stream until the test ends.
func embeddedStream(t *testing.T) (*kinesis.Client, func()) {
	node, err := localstream.New(localstream.Config{Dir: t.TempDir(), Stream: "s", Shards: 2, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	h := node.HTTPClient()
	t.Cleanup(h.CloseIdleConnections)
	client := kinesis.New(kinesis.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(node.Endpoint()), HTTPClient: h,
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
		APIOptions:  requestbody.Options(),
	})
	awaitStream(t, client)
	return client, func() { awaitStream(t, client) }
}

func awaitStream(t *testing.T, client *kinesis.Client) {
	t.Helper()
	waiter := kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second })
	if err := waiter.Wait(t.Context(), &kinesis.DescribeStreamInput{StreamName: aws.String("s")}, 2*time.Minute); err != nil {
		t.Fatal(err)
	}
}

type realDelivery struct {
	*testing.T
	client      *kinesis.Client
	await       func()
	destination s3sink.Destination
	layout      s3sink.LayoutConfig
	live        bool // read while records are put
	next        int
}

func (r *realDelivery) run(state string) {
	files, err := checkpoint.OpenFile(state)
	if err != nil {
		r.Fatal(err)
	}
	deliver := func(once bool) *Deliver {
		return NewDeliver(DeliverConfig{
			Stream:      kinesisin.Config{API: r.client, Stream: "s", PollInterval: 100 * time.Millisecond, CallInterval: 10 * time.Millisecond},
			Destination: r.destination,
			Layout:      r.layout,
			Store:       files,
			Size:        10_000,
			Interval:    time.Second,
			ListEvery:   200 * time.Millisecond,
			Once:        once,
		})
	}
	if r.live {
		r.beside(deliver(false), func() { r.put(600) })
	} else {
		r.put(600)
	}
	open := r.open()
	r.split(open[0])
	if r.live {
		r.beside(deliver(false), func() { r.put(300) })
	} else {
		r.put(300)
		r.once(deliver(true))
	}
	r.put(300)
	open = r.open() // the halves of the split are neighbours
	r.merge(open[len(open)-2], open[len(open)-1])
	r.put(300)
	r.once(deliver(true))
}

func (r *realDelivery) once(d *Deliver) {
	r.Helper()
	if err := d.Run(r.Context()); err != nil {
		r.Fatalf("Run = %v", err)
	}
}

// beside delivers while f runs, and until some objects are stored.
func (r *realDelivery) beside(d *Deliver, f func()) {
	r.Helper()
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	f()
	for objects := 0; objects < 2; {
		select {
		case err := <-ended:
			r.Fatalf("Run = %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		for _, s := range d.Status().Shards {
			objects += s.Objects
		}
	}
	stop()
	if err := <-ended; err != nil {
		r.Fatalf("Run = %v", err)
	}
}

// put sends records until the stream has all of them.
func (r *realDelivery) put(n int) {
	r.Helper()
	for end := r.next + n; r.next < end; {
		var entries []types.PutRecordsRequestEntry
		for i := r.next; i < min(end, r.next+100); i++ {
			entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprint("key", i%37)), Data: fmt.Appendf(nil, "{\"key\":%d,\"n\":%d}\n", i%37, i)})
		}
		out, err := r.client.PutRecords(r.Context(), &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: entries})
		if err != nil || *out.FailedRecordCount != 0 {
			r.Fatalf("put: %v", err)
		}
		r.next += len(entries)
	}
}

func (r *realDelivery) open() []string {
	r.Helper()
	out, err := r.client.ListShards(r.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})
	if err != nil {
		r.Fatal(err)
	}
	var open []string
	for _, s := range out.Shards {
		if s.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, *s.ShardId)
		}
	}
	return open
}

func (r *realDelivery) split(id string) {
	r.Helper()
	// The lower half of the first of two shards is a quarter of the range of hashes.
	_, err := r.client.SplitShard(r.Context(), &kinesis.SplitShardInput{StreamName: aws.String("s"), ShardToSplit: &id, NewStartingHashKey: aws.String("85070591730234615865843651857942052864")})
	if err != nil {
		r.Fatal(err)
	}
	r.await()
}

func (r *realDelivery) merge(a, b string) {
	r.Helper()
	_, err := r.client.MergeShards(r.Context(), &kinesis.MergeShardsInput{StreamName: aws.String("s"), ShardToMerge: &a, AdjacentShardToMerge: &b})
	if err != nil {
		r.Fatal(err)
	}
	r.await()
}

// check makes sure that every record is stored once, and those of a key in order over shards and objects.
func (r *realDelivery) check(stored *memBucket) {
	r.Helper()
	lines := stored.lines(r.T)
	seen := make([]int, r.next)
	last := map[int]int{}
	for _, shard := range slices.Sorted(maps.Keys(lines)) {
		for _, line := range lines[shard] {
			var record struct{ Key, N int }
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				r.Fatal(err)
			}
			seen[record.N]++
			if before, ok := last[record.Key]; ok && before > record.N {
				r.Errorf("key %d: %d comes after %d", record.Key, record.N, before)
			}
			last[record.Key] = record.N
		}
	}
	for n, times := range seen {
		if times != 1 {
			r.Fatalf("record %d is stored %d times", n, times)
		}
	}
	if len(lines) != 5 {
		r.Errorf("objects of %d shards, want 5", len(lines))
	}
}

// readBucket reads back all objects below a prefix, as any S3 client sees them.
func readBucket(t *testing.T, client *s3.Client, bucket, prefix string) *memBucket {
	t.Helper()
	b := newMemBucket()
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			b.add(t, client, bucket, *o.Key)
		}
	}
	return b
}

func (b *memBucket) add(t *testing.T, client *s3.Client, bucket, key string) {
	t.Helper()
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := s3sink.MetaFromMap(out.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	b.objects[key] = &s3sink.Object{Key: key, Meta: meta, Body: body, ContentEncoding: aws.ToString(out.ContentEncoding)}
}
