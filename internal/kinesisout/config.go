package kinesisout

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
)

// API is what the Writer needs of Kinesis; *kinesis.Client satisfies it. Retries are the Writer's own: the client must
// not retry by itself (NewClient makes one that does not). An implementation must not keep anything of a PutRecordsInput
// beyond the call, since its memory is used again.
type API interface {
	PutRecords(context.Context, *kinesis.PutRecordsInput, ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error)
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error)
}

// What Kinesis allows in one request, and what a stream allows in one record unless it says otherwise.
const (
	MaxRecordsPerRequest = 500
	MaxRequestBytes      = 10 << 20
	DefaultRecordBytes   = 1 << 20
)

// Config says where a Writer writes and how much it may hold.
type Config struct {
	API        API
	StreamName string // either this
	StreamARN  string // or this, or both

	// MaxBytes bounds the memory of records that are queued or in flight, over all shards; default 32 MiB. One larger
	// record passes alone. The bodies of requests come on top, at most 4/3 of what they carry, and the pages that are
	// filled, at most an eighth.
	MaxBytes int

	MaxRecordBytes  int // data and partition key; default: what the stream allows, which also caps a larger value
	MaxRequestBytes int // data and partition keys of one request; default 5 MiB, at most 10 MiB. One larger record passes alone

	CallTimeout time.Duration // of one request; default 30 s
	ListEvery   time.Duration // how often the shards are listed without another reason; default 60 s

	// Aggregate packs the records of one key that wait for each other into one, in the KPL's format. Readers must know it.
	Aggregate bool

	// ShardLimits keeps to what a shard of a provisioned stream takes at AWS. Without it, and for on-demand streams, there
	// are no limits until a shard throttles.
	ShardLimits bool

	// AllowAutoDistribution writes into a stream whose record distribution strategy is AUTO. Such a stream ignores
	// partition keys, so the order of changes to one row is lost; without this the Writer refuses it.
	AllowAutoDistribution bool

	Health     *outage.Watch         // hears how the stream is doing; default: one that logs
	Logger     *slog.Logger          // default: slog.Default()
	Registerer prometheus.Registerer // nil: metrics are not registered
}

func (c Config) withDefaults() Config {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 32 << 20
	}
	if c.MaxRequestBytes <= 0 {
		c.MaxRequestBytes = 5 << 20
	}
	c.MaxRequestBytes = min(c.MaxRequestBytes, MaxRequestBytes)
	if c.CallTimeout <= 0 {
		c.CallTimeout = 30 * time.Second
	}
	if c.ListEvery <= 0 {
		c.ListEvery = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Health == nil {
		c.Health = outage.New(c.Logger, "writing to stream "+c.stream())
	}
	return c
}

// stream is how log lines and errors call the stream.
func (c Config) stream() string {
	if c.StreamName != "" {
		return c.StreamName
	}
	return c.StreamARN
}

// name and arn are the request parameters; Kinesis wants an absent one to be nil.
func (c Config) name() *string { return optional(c.StreamName) }
func (c Config) arn() *string  { return optional(c.StreamARN) }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Ack is told when a record is durable in the stream: once for each record, from a sender's goroutine, which waits for
// it; so it must be quick and must not call the Writer.
type Ack interface {
	Acked(seq uint64)
}

// Record is one record to write.
type Record struct {
	Key     []byte // partition key: 1 to 256 characters of UTF-8
	HashKey string // explicit hash key: a decimal number below 2^128 that says the shard instead of Key; "" is the rule
	Data    []byte
	Seq     uint64 // given back to Ack
	Ack     Ack    // may be nil

	// Unplaced says that the record has no position in the source. It never shares an aggregate with records that have
	// one: where that is stored twice, readers that know positions only drop the repeated records that have one, and would
	// take the unplaced one in front of them for the newest.
	Unplaced bool
}
