// Package snapshot reads whole tables in chunks while the binlog streams: the full load. It takes no lock, writes
// nothing to the source, holds at most two chunks a table in memory, and can go on in the middle of a table.
//
// It promises that every chunk it hands over equals the table at some source position (the chunk's High) in all rows
// that no change touched since the chunk's window was opened. Dropping the touched rows, and emitting the rest when
// the stream has passed High, is the job of the Stream it is given; together they give a stream of load and change
// records in which a key never goes back to an older row. docs/why/full-load-without-locks.md says why.
package snapshot
