// Package s3sink turns runs of records into objects and stores each of them exactly once.
//
// One object holds one contiguous run of one shard. Its key depends on nothing but the run's first record and the
// layout, and it is created only if it does not exist. So whoever continues a shard's chain of objects after a crash,
// a lost answer, a lost checkpoint or beside another live writer arrives at the same key, finds the object that is
// there, reads from it where it ends, and goes on behind it. The chain cannot fork.
//
// The package promises that a stored object is complete, is never overwritten, and says what it holds: shard, first
// and last sequence number, number of records and a checksum of the plain bytes stand in the object's metadata and, if
// it is gzip, in its header too.
package s3sink
