// Package kinesistest is a Kinesis stream in memory for tests of readers: records are put by shard, shards are split
// and merged, records expire, iterators grow old, and any call can be made to fail. Time is time.Now, so that it may be
// a synctest bubble's. It is no emulator: it holds what readers can see, and nothing of the network is in it.
package kinesistest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Stream is the stream. Its fields may be set before it is used.
type Stream struct {
	Name      string
	Created   time.Time
	Retention time.Duration
	PageSize  int           // shards per page of ListShards; 0 means 1000
	Iterators time.Duration // how long an iterator lives; 0 means five minutes
	Auto      bool          // record distribution AUTO
	// EmptyBeforeEnd is how many empty answers a closed shard gives before it says that it is at its end.
	EmptyBeforeEnd int
	// Fault is asked before every call: "describe", "list", "iterator" or "get", with the shard. A non-nil error is
	// the call's answer.
	Fault func(call, shard string) error

	mu     sync.Mutex // covers what follows
	shards []*shard
	next   int64 // the next sequence number
	calls  map[string]int
}

type shard struct {
	id      string
	hashes  *types.HashKeyRange
	parents []string
	closed  bool
	records []types.Record
	forgot  string // sequence number of the last record that was removed by hand
	empty   int    // answers of EmptyBeforeEnd that were given
}

// New is an active stream with open shards.
func New(name string, shards int) *Stream {
	s := &Stream{Name: name, Created: time.Now().Add(-time.Hour), Retention: 24 * time.Hour, next: 100, calls: map[string]int{}}
	for range shards {
		s.add()
	}
	return s
}

func (s *Stream) add(parents ...string) string {
	id := fmt.Sprintf("shardId-%012d", len(s.shards))
	s.shards = append(s.shards, &shard{id: id, parents: parents})
	return id
}

// Put adds a record to an open shard and returns its sequence number.
func (s *Stream) Put(shard string, data []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.find(shard)
	if sh.closed {
		panic("put into closed shard " + shard)
	}
	s.next += 3
	sequence := strconv.FormatInt(s.next, 10)
	sh.records = append(sh.records, types.Record{
		SequenceNumber: aws.String(sequence), Data: slices.Clone(data), PartitionKey: aws.String("k"), ApproximateArrivalTimestamp: aws.Time(time.Now()),
	})
	return sequence
}

// Split closes a shard and gives it two children.
func (s *Stream) Split(parent string) (a, b string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.find(parent).closed = true
	return s.add(parent), s.add(parent)
}

// Merge closes two shards and gives them one child.
func (s *Stream) Merge(a, b string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.find(a).closed, s.find(b).closed = true, true
	return s.add(a, b)
}

// Hashes gives a shard a range of hash keys.
func (s *Stream) Hashes(id, first, last string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.find(id).hashes = &types.HashKeyRange{StartingHashKey: aws.String(first), EndingHashKey: aws.String(last)}
}

// Open lists the open shards.
func (s *Stream) Open() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []string
	for _, sh := range s.shards {
		if !sh.closed {
			open = append(open, sh.id)
		}
	}
	return open
}

// Forget removes a closed shard, as its expiry does.
func (s *Stream) Forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards = slices.DeleteFunc(s.shards, func(sh *shard) bool { return sh.id == id })
}

// MadeAnew changes the time when the stream was made, as if it had been deleted and made again.
func (s *Stream) MadeAnew(created time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Created = created
}

// Calls counts the calls made, by kind and by kind and shard.
func (s *Stream) Calls(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[what]
}

func (s *Stream) find(id string) *shard {
	for _, sh := range s.shards {
		if sh.id == id {
			return sh
		}
	}
	return nil
}

// enter begins a call. The caller holds no lock before, and the lock after it, unless there is an error.
func (s *Stream) enter(ctx context.Context, call, shard string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	s.calls[call]++
	s.calls[call+" "+shard]++
	if s.Fault != nil {
		s.mu.Unlock()
		if err := s.Fault(call, shard); err != nil {
			return err
		}
		s.mu.Lock()
	}
	if sh := s.find(shard); sh != nil && s.Retention > 0 {
		old := time.Now().Add(-s.Retention)
		for len(sh.records) > 0 && sh.records[0].ApproximateArrivalTimestamp.Before(old) {
			sh.forgot = *sh.records[0].SequenceNumber
			sh.records = sh.records[1:]
		}
	}
	return nil
}

// DescribeStreamSummary is Kinesis's call.
func (s *Stream) DescribeStreamSummary(ctx context.Context, in *kinesis.DescribeStreamSummaryInput, _ ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	if err := s.enter(ctx, "describe", ""); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if aws.ToString(in.StreamName) != s.Name {
		return nil, &types.ResourceNotFoundException{Message: aws.String("no such stream")}
	}
	strategy := types.RecordDistributionStrategyUserPartitionKey
	if s.Auto {
		strategy = types.RecordDistributionStrategyAuto
	}
	return &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: &types.StreamDescriptionSummary{
		RecordDistributionStrategy: strategy,
		StreamName:                 aws.String(s.Name), StreamCreationTimestamp: aws.Time(s.Created), RetentionPeriodHours: aws.Int32(int32(s.Retention / time.Hour)),
	}}, nil
}

// ListShards is Kinesis's call.
func (s *Stream) ListShards(ctx context.Context, in *kinesis.ListShardsInput, _ ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	if err := s.enter(ctx, "list", ""); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if (in.NextToken == nil) == (in.StreamName == nil) {
		return nil, &types.InvalidArgumentException{Message: aws.String("name or token")}
	}
	from, _ := strconv.Atoi(aws.ToString(in.NextToken))
	size := s.PageSize
	if size == 0 {
		size = 1000
	}
	out := &kinesis.ListShardsOutput{}
	for i := from; i < min(from+size, len(s.shards)); i++ {
		sh := s.shards[i]
		d := types.Shard{ShardId: aws.String(sh.id), HashKeyRange: sh.hashes, SequenceNumberRange: &types.SequenceNumberRange{StartingSequenceNumber: aws.String("0")}}
		if sh.closed {
			d.SequenceNumberRange.EndingSequenceNumber = aws.String("99999999")
		}
		if len(sh.parents) > 0 {
			d.ParentShardId = aws.String(sh.parents[0])
		}
		if len(sh.parents) > 1 {
			d.AdjacentParentShardId = aws.String(sh.parents[1])
		}
		out.Shards = append(out.Shards, d)
	}
	if from+size < len(s.shards) {
		out.NextToken = aws.String(strconv.Itoa(from + size))
	}
	return out, nil
}

// GetShardIterator is Kinesis's call. An iterator is "shard|sequence to begin at|when it was given".
func (s *Stream) GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput, _ ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	id := aws.ToString(in.ShardId)
	if err := s.enter(ctx, "iterator", id); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	sh := s.find(id)
	if sh == nil || aws.ToString(in.StreamName) != s.Name {
		return nil, &types.ResourceNotFoundException{Message: aws.String("no such shard")}
	}
	at := "0"
	switch in.ShardIteratorType {
	case types.ShardIteratorTypeTrimHorizon:
	case types.ShardIteratorTypeAtTimestamp:
		at = s.first(sh, func(r types.Record) bool { return !r.ApproximateArrivalTimestamp.Before(*in.Timestamp) })
	case types.ShardIteratorTypeLatest:
		at = s.first(sh, func(types.Record) bool { return false })
	default:
		want := *in.StartingSequenceNumber
		if compare(want, sh.forgot) <= 0 {
			return nil, &types.InvalidArgumentException{Message: aws.String("sequence number is too old")}
		}
		at = s.first(sh, func(r types.Record) bool {
			c := compare(*r.SequenceNumber, want)
			return c > 0 || c == 0 && in.ShardIteratorType == types.ShardIteratorTypeAtSequenceNumber
		})
	}
	return &kinesis.GetShardIteratorOutput{ShardIterator: aws.String(iterator(id, at))}, nil
}

func (s *Stream) first(sh *shard, ok func(types.Record) bool) string {
	for _, r := range sh.records {
		if ok(r) {
			return *r.SequenceNumber
		}
	}
	return strconv.FormatInt(s.next+1, 10)
}

func iterator(shard, at string) string {
	return shard + "|" + at + "|" + strconv.FormatInt(time.Now().UnixNano(), 10)
}

// GetRecords is Kinesis's call.
func (s *Stream) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	part := strings.Split(aws.ToString(in.ShardIterator), "|")
	if err := s.enter(ctx, "get", part[0]); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	sh := s.find(part[0])
	if sh == nil {
		return nil, &types.ResourceNotFoundException{Message: aws.String("no such shard")}
	}
	lives := s.Iterators
	if lives == 0 {
		lives = 5 * time.Minute
	}
	given, _ := strconv.ParseInt(part[2], 10, 64)
	if time.Since(time.Unix(0, given)) > lives {
		return nil, &types.ExpiredIteratorException{Message: aws.String("too old")}
	}
	out := &kinesis.GetRecordsOutput{MillisBehindLatest: aws.Int64(0)}
	next := part[1]
	from, _ := slices.BinarySearchFunc(sh.records, part[1], func(r types.Record, at string) int { return compare(*r.SequenceNumber, at) })
	for i, r := range sh.records[from:] {
		if len(out.Records) == int(aws.ToInt32(in.Limit)) {
			out.MillisBehindLatest = aws.Int64(max(1, time.Since(*sh.records[from+i].ApproximateArrivalTimestamp).Milliseconds()))
			break
		}
		r.Data = slices.Clone(r.Data)
		out.Records = append(out.Records, r)
		n, _ := strconv.ParseInt(*r.SequenceNumber, 10, 64)
		next = strconv.FormatInt(n+1, 10)
	}
	late := sh.closed && len(out.Records) == 0 && sh.empty < s.EmptyBeforeEnd
	if late {
		sh.empty++
	}
	if sh.closed && *out.MillisBehindLatest == 0 && !late {
		for _, c := range s.shards {
			if slices.Contains(c.parents, sh.id) {
				out.ChildShards = append(out.ChildShards, types.ChildShard{ShardId: aws.String(c.id), ParentShards: c.parents})
			}
		}
		return out, nil
	}
	out.NextShardIterator = aws.String(iterator(sh.id, next))
	return out, nil
}

func compare(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }
