package streamtest_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/binlogstreamer/binlogstreamer/internal/localstream/streamtest"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// What the suite asks is what Kinesis does, not what the embedded stream happens to do: other implementations agree
// with it, but for what they are declared to lack here. What is declared was seen with the versions in use.

func TestKinesisLocal(t *testing.T) {
	const ignores = "ignores it"
	server := testservers.KinesisLocal(t, "unused:1")
	streamtest.Run(t, streamtest.Server{
		Client: func(testing.TB) *kinesis.Client { return server.Kinesis() },
		Lacks: map[streamtest.Feature]string{
			streamtest.Summaries:         "no StreamSummaries",
			streamtest.MillisBehind:      "always 0",
			streamtest.FutureTimestamps:  ignores,
			streamtest.ValidatesPuts:     "takes 0 and 501 records; 500 Internal Server Error for a hash key that is no number",
			streamtest.RecordSizeLimit:   ignores,
			streamtest.MaxRecordSize:     "the call is there and does nothing",
			streamtest.RequestSizeLimit:  ignores,
			streamtest.ValidatesReads:    "500 Internal Server Error for an iterator that is none",
			streamtest.EndingNumbers:     "always 2^63-1",
			streamtest.ValidatesReshards: "splits a shard at its own start",
			streamtest.TrimHorizonFilter: "returns all shards",
			streamtest.ConflictingNames:  "takes one of the two",
			streamtest.StaleIterators:    "takes them for the new stream's",
			streamtest.DryRun:            "does the call",
		},
	})
}

func TestKinesalite(t *testing.T) {
	const older = "older than this call or parameter"
	server := testservers.Kinesalite(t)
	streamtest.Run(t, streamtest.Server{
		Client: func(testing.TB) *kinesis.Client { return server.Kinesis() },
		Lacks: map[streamtest.Feature]string{
			streamtest.OnDemand:         older,
			streamtest.StreamPages:      "returns all shards at once",
			streamtest.Summaries:        older,
			streamtest.StreamARN:        older,
			streamtest.ShardPages:       "returns all shards at once, and dies of a NextToken",
			streamtest.ShardFilters:     older,
			streamtest.ChildShards:      older,
			streamtest.ScalesShards:     older,
			streamtest.RecordSizeLimit:  "does not count the key",
			streamtest.MaxRecordSize:    older,
			streamtest.RequestSizeLimit: older,
			streamtest.MillisBehind:     "always 0",
			streamtest.StaleIterators:   "takes them for the new stream's",
			streamtest.DryRun:           older,
		},
	})
}
