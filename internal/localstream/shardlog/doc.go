// Package shardlog is a durable, append-only log of records in segment files: what one shard of the embedded stream
// is made of. It promises that a record whose Append returned is on disk and is found again, once and in its place,
// after the process was killed at any moment; that what Append answered with an error is never shown to a reader of
// the running process; that damage to a stored record is reported with its file and offset and never stepped over;
// and that reading needs memory for what is read, however much is stored.
//
// # Files
//
// A log is a directory of files named after the counter of their first record, "%020d.seg". A file is a header and
// then frames, all integers little-endian:
//
//	header  magic "BSLOG\x00\x00\x01", salt u32, first u64, previous u64, floor i64, opened i64, crc u32
//	frame   length u32, crc u32, body of that length
//	body    counter u64, arrival i64, flags u8, key length u16, key, data
//
// Counters start at 1 and have no gaps. "previous" is the first counter of the file before (0 if there was none when
// the file was made), so that a file missing in the middle is noticed. "floor" is the arrival time of the last record
// before the file: arrival times never go down, so one file's header bounds the times of the file before it. All CRCs
// are CRC-32C; a frame's covers the file's salt, the length and the body, so that no bytes stored inside a record can
// pass for a frame. The first frame of each commit carries a flag: see recover.go for what that is needed for.
package shardlog
