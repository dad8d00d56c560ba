package kinesisin

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// API is what is called of Kinesis; the SDK's client satisfies it.
type API interface {
	DescribeStreamSummary(ctx context.Context, in *kinesis.DescribeStreamSummaryInput, opts ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error)
	ListShards(ctx context.Context, in *kinesis.ListShardsInput, opts ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput, opts ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, opts ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// Health hears how the stream's endpoint is doing. Its methods may be called from several goroutines, and again and
// again.
type Health interface {
	Failing(err error) // a call failed and will be made again
	Working()          // a call succeeded
}

// Gate bounds the memory that records take. Its methods may be called from several goroutines.
type Gate interface {
	// Reserve waits until n bytes may be used.
	Reserve(ctx context.Context, n int64) error
	// Add takes n bytes more without waiting, or gives them back if n is negative.
	Add(n int64)
}

// Config is what a Stream needs.
type Config struct {
	API    API
	Stream string // name or ARN
	Health Health
	Gate   Gate

	PollInterval time.Duration // between calls for a shard that has nothing new; 0 means a second
	CallInterval time.Duration // between calls for a shard that is behind; 0 means 200 ms, as AWS allows 5 calls a second
	Timeout      time.Duration // of one call; 0 means 30 seconds
	MaxRead      int64         // about how many bytes to ask for in one call; 0 means 4 MiB
	AcceptLoss   bool          // go on at the oldest record that is left where records may have expired unread

	Metrics *Metrics
	Logger  *slog.Logger
}

func (c Config) withDefaults() Config {
	c.PollInterval = cmp.Or(c.PollInterval, time.Second)
	c.CallInterval = cmp.Or(c.CallInterval, 200*time.Millisecond)
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	c.MaxRead = cmp.Or(c.MaxRead, 4<<20)
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
