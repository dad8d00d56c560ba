// Package streamtest is the suite that says what a Kinesis endpoint has to do for this program. It promises to ask
// only through the AWS SDK, so that it can be run against the embedded stream, against other test servers and against
// AWS itself, and to pass over only what a server is declared to lack.
package streamtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// Feature is something that a server may be declared to lack.
type Feature string

// The features. What is not listed is asked of every server.
const (
	OnDemand         Feature = "streams can be made in on-demand mode"
	StreamPages      Feature = "DescribeStream returns its shards in pages"
	Summaries        Feature = "ListStreams returns summaries and tokens"
	StreamARN        Feature = "streams can be addressed by ARN"
	ConflictingNames Feature = "a name and an ARN that differ are refused"
	StaleIterators   Feature = "iterators and sequence numbers of a deleted stream are refused"

	ShardPages        Feature = "ListShards returns pages"
	ShardFilters      Feature = "ListShards takes filters"
	TrimHorizonFilter Feature = "the filter AT_TRIM_HORIZON leaves out shards that came later"
	ChildShards       Feature = "GetRecords names the children at the end of a shard"
	EndingNumbers     Feature = "a closed shard's ending sequence number is not below its last record's"
	ScalesShards      Feature = "UpdateShardCount"
	ValidatesReshards Feature = "impossible splits and merges are refused"

	ValidatesPuts    Feature = "puts that break a rule are refused with a client's error"
	ValidatesHashKey Feature = "an ExplicitHashKey above 2^128-1 is refused"
	RecordSizeLimit  Feature = "a record of more than 1 MiB, its key included, is refused"
	MaxRecordSize    Feature = "the record size limit can be changed"
	RequestSizeLimit Feature = "PutRecords takes 10 MiB and no more"
	ValidatesReads   Feature = "reads that break a rule are refused with a client's error"
	FutureTimestamps Feature = "an AT_TIMESTAMP in the future is refused"
	MillisBehind     Feature = "MillisBehindLatest is above 0 before the end of the shard"
	DryRun           Feature = "calls can be tried with DryRun"
)

// Server is an endpoint under test.
type Server struct {
	// Client returns a client of the endpoint. It may do so anew for each call.
	Client func(t testing.TB) *kinesis.Client
	// Lacks says what the endpoint does not do, and why that is so.
	Lacks map[Feature]string
}

// Run runs the suite.
func Run(t *testing.T, s Server) {
	for _, c := range []struct {
		name  string
		run   func(*suite)
		needs []Feature
	}{
		{"StreamLifecycle", (*suite).streamLifecycle, nil},
		{"OnDemandStream", (*suite).onDemandStream, []Feature{OnDemand}},
		{"ListStreamsPages", (*suite).listStreamsPages, nil},
		{"ListStreamsSummaries", (*suite).listStreamsSummaries, []Feature{Summaries}},
		{"PutAndGet", (*suite).putAndGet, nil},
		{"PutRecordAlone", (*suite).putRecordAlone, nil},
		{"Placement", (*suite).placement, nil},
		{"LimitAndMillisBehind", (*suite).limitAndMillisBehind, nil},
		{"IteratorTypes", (*suite).iteratorTypes, nil},
		{"AtTimestamp", (*suite).atTimestamp, nil},
		{"FutureTimestamp", (*suite).futureTimestamp, []Feature{FutureTimestamps}},
		{"RefusedPuts", (*suite).refusedPuts, []Feature{ValidatesPuts}},
		{"RefusedHashKey", (*suite).refusedHashKey, []Feature{ValidatesHashKey}},
		{"RefusedReads", (*suite).refusedReads, []Feature{ValidatesReads}},
		{"UnknownThings", (*suite).unknownThings, nil},
		{"RecordSize", (*suite).recordSize, []Feature{RecordSizeLimit}},
		{"MaxRecordSize", (*suite).maxRecordSize, []Feature{MaxRecordSize}},
		{"LargeRequest", (*suite).largeRequest, []Feature{RequestSizeLimit, MaxRecordSize}},
		{"Split", (*suite).split, nil},
		{"Merge", (*suite).merge, nil},
		{"ChildShards", (*suite).childShards, []Feature{ChildShards}},
		{"RefusedReshards", (*suite).refusedReshards, []Feature{ValidatesReshards}},
		{"UpdateShardCount", (*suite).updateShardCount, []Feature{ScalesShards}},
		{"ListShardsPages", (*suite).listShardsPages, []Feature{ShardPages}},
		{"ListShardsFilters", (*suite).listShardsFilters, []Feature{ShardFilters}},
		{"Retention", (*suite).retention, nil},
		{"StreamARN", (*suite).streamARN, []Feature{StreamARN}},
		{"RecreatedStream", (*suite).recreatedStream, []Feature{StaleIterators}},
		{"DryRun", (*suite).dryRun, []Feature{DryRun}},
		{"ConcurrentWriters", (*suite).concurrentWriters, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, f := range c.needs {
				if why, lacks := s.Lacks[f]; lacks {
					t.Skipf("declared to be missing: %s (%s)", f, why)
				}
			}
			c.run(&suite{T: t, s: s, client: s.Client(t)})
		})
	}
}

// suite is one case at work.
type suite struct {
	*testing.T
	s      Server
	client *kinesis.Client
}

// has says whether a part of a case is to be asked of the server.
func (s *suite) has(f Feature) bool {
	why, lacks := s.s.Lacks[f]
	if lacks {
		s.Logf("declared to be missing: %s (%s)", f, why)
	}
	return !lacks
}

// ctx bounds a call: a test server that hangs must fail the case.
func (s *suite) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	s.Cleanup(cancel)
	return ctx
}

// must fails the case on an error and hands the answer on. A method can't be generic, hence must[T](s)(call).
func must[T any](s *suite) func(T, error) T {
	return func(out T, err error) T {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
		return out
	}
}

// refused fails the case unless err is one of the AWS errors with the given codes.
func (s *suite) refused(what string, err error, codes ...string) {
	s.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		s.Errorf("%s: got %v, want the error %s", what, err, strings.Join(codes, " or "))
		return
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return
		}
	}
	s.Errorf("%s: got %v, want the error %s", what, err, strings.Join(codes, " or "))
}

// badRequest are the codes of a request that breaks a rule: which of the two a rule has is not documented by AWS for
// every rule, and callers treat them alike.
var badRequest = []string{"ValidationException", "InvalidArgumentException"}

// newStream makes a stream of the given number of shards that the case has for itself.
func (s *suite) newStream(shards int) string {
	s.Helper()
	name := "t-" + strings.ToLower(rand.Text()[:12])
	must[*kinesis.CreateStreamOutput](s)(s.client.CreateStream(s.ctx(), &kinesis.CreateStreamInput{
		StreamName: &name, ShardCount: aws.Int32(int32(shards))}))
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := s.client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &name})
		if _, gone := errors.AsType[*types.ResourceNotFoundException](err); err != nil && !gone {
			s.Errorf("delete stream %s: %v", name, err)
		}
	})
	s.active(name)
	return name
}

// active waits until a change of the stream is through.
func (s *suite) active(name string) {
	s.Helper()
	s.eventually("stream "+name+" to become active", func() bool {
		out, err := s.client.DescribeStreamSummary(s.ctx(), &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		return err == nil && out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive
	})
}

func (s *suite) eventually(what string, done func() bool) {
	s.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			s.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// shards lists all shards of the stream.
func (s *suite) shards(name string) []types.Shard {
	s.Helper()
	return must[*kinesis.ListShardsOutput](s)(s.client.ListShards(s.ctx(), &kinesis.ListShardsInput{StreamName: &name})).Shards
}

// put is an entry for PutRecords.
func put(key, data string) types.PutRecordsRequestEntry {
	return types.PutRecordsRequestEntry{PartitionKey: &key, Data: []byte(data)}
}

// putAll puts records one request after the other, fails the case unless all are taken, and returns the answers.
func (s *suite) putAll(name string, entries ...types.PutRecordsRequestEntry) []types.PutRecordsResultEntry {
	s.Helper()
	out := must[*kinesis.PutRecordsOutput](s)(s.client.PutRecords(s.ctx(), &kinesis.PutRecordsInput{StreamName: &name, Records: entries}))
	if aws.ToInt32(out.FailedRecordCount) != 0 || len(out.Records) != len(entries) {
		s.Fatalf("%d of %d records failed, %d answers: %+v", aws.ToInt32(out.FailedRecordCount), len(entries), len(out.Records), out.Records)
	}
	return out.Records
}

// iterator gets one; set fills in what its type needs.
func (s *suite) iterator(name, shard string, kind types.ShardIteratorType, set ...func(*kinesis.GetShardIteratorInput)) *string {
	s.Helper()
	in := &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: &shard, ShardIteratorType: kind}
	for _, f := range set {
		f(in)
	}
	return must[*kinesis.GetShardIteratorOutput](s)(s.client.GetShardIterator(s.ctx(), in)).ShardIterator
}

// atSequence sets the number for the two iterator types that have one.
func atSequence(n *string) func(*kinesis.GetShardIteratorInput) {
	return func(in *kinesis.GetShardIteratorInput) { in.StartingSequenceNumber = n }
}

// read follows an iterator until the shard ends, or until want records have come and the reader is at the tip.
func (s *suite) read(it *string, want int) (records []types.Record, end *kinesis.GetRecordsOutput) {
	s.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		out := must[*kinesis.GetRecordsOutput](s)(s.client.GetRecords(s.ctx(), &kinesis.GetRecordsInput{ShardIterator: it}))
		records = append(records, out.Records...)
		if out.NextShardIterator == nil || len(records) >= want && len(out.Records) == 0 {
			return records, out
		}
		if time.Now().After(deadline) {
			s.Fatalf("only %d of %d records came", len(records), want)
		}
		it = out.NextShardIterator
	}
}

// readShard reads a shard from its beginning.
func (s *suite) readShard(name, shard string, want int) []types.Record {
	s.Helper()
	records, _ := s.read(s.iterator(name, shard, types.ShardIteratorTypeTrimHorizon), want)
	return records
}

func datas(records []types.Record) []string {
	out := []string{}
	for _, r := range records {
		out = append(out, string(r.Data))
	}
	return out
}

// above compares two sequence numbers.
func above(a, b string) bool {
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	return a > b
}

func number(prefix string, i int) string { return fmt.Sprintf("%s-%04d", prefix, i) }
