// Package snapshot reads whole tables in chunks while the binlog streams: the full load. It takes no lock, writes
// nothing to the source, keeps its chunks within a budget of memory, and can go on in the middle of a table. Several
// readers share the tables, and the key ranges of large ones.
//
// It promises that every chunk it hands over equals the table at some source position (the chunk's High) in all rows
// that no change touched since the chunk's window was opened. Dropping the touched rows, and emitting the rest when
// the stream has passed High, is the job of the Stream it is given; together they give a stream of load and change
// records in which a key never goes back to an older row. Tables that no key divides are read in one pass instead, at
// one position, where the stream stands still meanwhile. docs/why/full-load-without-locks.md says why.
package snapshot
