// Package localstream is an embedded, durable stream that speaks the Kinesis HTTP API on loopback: what stands where
// Kinesis stands for people without an AWS account, and for tests.
//
// It promises that an acknowledged record survives the death of the process at any moment and is read back exactly
// once, in the order of its shard, until its retention time is over; that a put that can't be stored is answered with
// InternalFailure and shows nothing; that memory is bounded by Config.MemoryBytes whatever the backlog is; and that of
// several processes configured with the same directory exactly one serves at any time, and another takes over when it
// ends or dies. The directory has to be on a local file system.
//
// # What it speaks
//
// awsJson1.1 as the AWS SDKs and the AWS CLI do: CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary,
// DescribeLimits, ListStreams, ListShards, SplitShard, MergeShards, UpdateShardCount, UpdateMaxRecordSize,
// IncreaseStreamRetentionPeriod, DecreaseStreamRetentionPeriod, PutRecord, PutRecords, GetShardIterator, GetRecords.
// Errors have the shapes of AWS, so that an SDK yields its typed errors.
//
// # Where it differs from AWS
//
//   - Changes of a stream or its shards are done when the call returns: the status is always ACTIVE.
//   - There are no throughput limits and hence no throttling.
//   - Signatures, credentials, account and Region are not looked at: whoever can connect to loopback on this machine
//     can use the stream. Web pages can't: see gate in server.go.
//   - Records leave a segment file at a time, so some stay readable a little longer than the retention period; never
//     shorter. A record that expires before an iterator reaches it is not skipped silently: GetRecords answers
//     ExpiredIteratorException, and GetShardIterator for its sequence number InvalidArgumentException.
//   - Arrival times never go down within a shard, and a closed shard ends with the GetRecords call that returns its
//     last record, not with the one after it.
//   - Tags, encryption, enhanced fan-out and resource policies are not there. Tags given to CreateStream are ignored.
//
// # Files
//
// In the directory: "lock" (held by the serving process), "address.json" (where it serves), "streams.json" (streams
// and shards, replaced as a whole, with a checksum) and "data/<creation time>-<stream>/<shard>/" with the segment files
// of package shardlog.
package localstream
