package kinesisin

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// Stream reads one stream. Its methods may be called from several goroutines. They go on trying until their context
// ends, except where an error cannot heal by itself.
type Stream struct {
	config Config

	mu    sync.Mutex // covers known
	known Description
}

// New makes a Stream; nothing is called yet.
func New(c Config) *Stream { return &Stream{config: c.withDefaults()} }

// Description is what there is to know about a stream.
type Description struct {
	Name      string
	ARN       string // "" where the endpoint has none
	Created   time.Time
	Retention time.Duration
	Spread    bool // records are spread over the shards without regard to their keys (record distribution AUTO)
}

// Describe asks for the description. From the second time on, it is a *ReplacedError if the stream is another one.
func (s *Stream) Describe(ctx context.Context) (Description, error) {
	in := &kinesis.DescribeStreamSummaryInput{}
	in.StreamName, in.StreamARN = s.address()
	var d Description
	err := s.call(ctx, "describe", "", nil, func(ctx context.Context) error {
		out, err := s.config.API.DescribeStreamSummary(ctx, in)
		if err != nil {
			return err
		}
		sum := out.StreamDescriptionSummary
		d = Description{
			Name:      aws.ToString(sum.StreamName),
			ARN:       aws.ToString(sum.StreamARN),
			Created:   aws.ToTime(sum.StreamCreationTimestamp),
			Retention: time.Duration(aws.ToInt32(sum.RetentionPeriodHours)) * time.Hour,
			Spread:    sum.RecordDistributionStrategy == types.RecordDistributionStrategyAuto,
		}
		return nil
	})
	if err != nil {
		return Description{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known.Created.IsZero() && s.known.Created.Unix() != d.Created.Unix() {
		return Description{}, &ReplacedError{Stream: s.config.Stream, Was: s.known.Created, Now: d.Created}
	}
	s.known = d
	return d, nil
}

func (s *Stream) retention() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known.Retention
}

// Shard is one shard of the stream.
type Shard struct {
	ID      string
	Parents []string // the one it was split from, or the two it was merged from; they may no longer be listed
	Closed  bool     // by a split or a merge: it gets no more records

	StartHash, EndHash string // of its range of hash keys, as Kinesis writes them; "" where the endpoint says nothing
}

// Shards lists all shards that still hold records or can get some.
func (s *Stream) Shards(ctx context.Context) ([]Shard, error) {
	var shards []Shard
	err := s.call(ctx, "list shards", "", nil, func(ctx context.Context) error {
		var err error
		shards, err = s.listShards(ctx)
		return err
	})
	return shards, err
}

func (s *Stream) listShards(ctx context.Context) ([]Shard, error) {
	in := &kinesis.ListShardsInput{}
	in.StreamName, in.StreamARN = s.address()
	var shards []Shard
	for {
		out, err := s.config.API.ListShards(ctx, in)
		if err != nil {
			return nil, err // an expired token as well: the list begins again
		}
		for _, sh := range out.Shards {
			shards = append(shards, shardOf(sh))
		}
		if aws.ToString(out.NextToken) == "" {
			return shards, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

func shardOf(sh types.Shard) Shard {
	s := Shard{ID: aws.ToString(sh.ShardId)}
	for _, p := range []*string{sh.ParentShardId, sh.AdjacentParentShardId} {
		if aws.ToString(p) != "" {
			s.Parents = append(s.Parents, *p)
		}
	}
	if r := sh.HashKeyRange; r != nil {
		s.StartHash, s.EndHash = aws.ToString(r.StartingHashKey), aws.ToString(r.EndingHashKey)
	}
	s.Closed = sh.SequenceNumberRange != nil && aws.ToString(sh.SequenceNumberRange.EndingSequenceNumber) != ""
	return s
}

// Ready picks the shards that may be read now: those that are not done and whose parents all are. A parent that is no
// longer listed has expired and counts as done.
func Ready(shards []Shard, done func(id string) bool) []Shard {
	listed := make(map[string]bool, len(shards))
	for _, s := range shards {
		listed[s.ID] = true
	}
	var ready []Shard
	for _, s := range shards {
		if !done(s.ID) && !waits(s, listed, done) {
			ready = append(ready, s)
		}
	}
	return ready
}

func waits(s Shard, listed map[string]bool, done func(string) bool) bool {
	for _, p := range s.Parents {
		if listed[p] && !done(p) {
			return true
		}
	}
	return false
}

func (s *Stream) address() (name, arn *string) {
	if strings.HasPrefix(s.config.Stream, "arn:") {
		return nil, aws.String(s.config.Stream)
	}
	return aws.String(s.config.Stream), nil
}

// pauses are those between attempts of a call.
var pauses = backoff.Pauses{First: 200 * time.Millisecond, Longest: 20 * time.Second}

// call makes a call until it succeeds, ctx ends, or its error is one that final says the caller handles.
func (s *Stream) call(ctx context.Context, step, shard string, final func(error) bool, f func(context.Context) error) error {
	for n := 0; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, s.config.Timeout)
		err := f(attempt)
		cancel()
		switch {
		case err == nil:
			s.config.Health.Working()
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case throttled(err):
			s.config.Metrics.Throttled.WithLabelValues(shard).Inc()
		case final != nil && final(err):
			return err
		default:
			s.config.Metrics.Failed.Inc()
			s.config.Health.Failing(&Error{Step: step, Stream: s.config.Stream, Shard: shard, Hint: hint(err), Err: err})
		}
		if err := pauses.Sleep(ctx, n); err != nil {
			return err
		}
	}
}
