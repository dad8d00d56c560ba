// Package kinesisin reads Kinesis streams by polling: it lists a stream's shards as the graph that splits and merges
// have made of them, and reads one shard from a position to its end, with aggregated records taken apart.
//
// It promises that the records of a shard come in order and without gaps, however often iterators expire, calls are
// throttled or the endpoint is away; and that a position that has fallen out of the stream's retention is an error
// with a choice, never a silent jump. Which shard may be read before which is for Ready to say.
package kinesisin
