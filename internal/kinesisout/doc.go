// Package kinesisout writes records into a Kinesis stream, in order per partition key, whatever fails.
//
// Kinesis stores the records of one request in any order and may refuse some of them while it takes later ones. So a
// key's next record is not sent before its previous one is acknowledged: every open shard has a lane, one request at a time
// has records of a lane, and it holds at most one record of each partition key. A record that was refused, or whose
// answer was lost, is sent again before any later record of its key. After a lost answer a record may be stored twice,
// and where the first request was only delayed, its copy may come after later records of the key; the positions and
// numbers inside records tell readers which copy that is. Nothing else doubles, and nothing is lost while the Writer runs.
//
// With Config.Aggregate the records of one key that wait behind a request leave in one aggregated record, in the format
// of the Kinesis Producer Library, which is taken and refused as one. It never holds two keys. Nothing waits to be packed:
// the record of a key that is not busy leaves at once, and plain.
//
// A request has the records of all lanes that wait when it leaves, as far as Kinesis takes them in one. Each lane deals with
// its part of the answer: what a shard refuses, or takes slowly, holds back that shard's records alone. A request that is not
// answered holds back those that are in it.
//
// A lane keeps to the pace of its shard: to the known limits of a provisioned stream at AWS (Config.ShardLimits), else to
// what throttling has taught.
//
// What is queued is bounded in bytes and Put blocks at the bound. Trouble that may pass (throttling, an endpoint that
// is away, expired credentials) is waited out for ever; what cannot pass by itself (no permission, no such stream) ends
// Run with an *Error that says what to do.
package kinesisout
