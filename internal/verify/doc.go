// Package verify compares what was delivered with the tables that it comes from, while both go on.
//
// It replays the objects of every shard, and behind them the stream's tail, into a store on disk that has one entry a
// key; reads the tables in chunks; and holds every row of one side against the other. It promises that it only reads
// what it looks at; that memory does not grow with the tables; that a row is never blamed for being on its way, since
// a difference counts only if the source's row, as a SELECT saw it, is none of the versions that the replay held up to
// a position behind that SELECT; and that every other difference in the rows that it covers is found, with key and
// both values. docs/why/verify-while-writing.md says why that is exact.
package verify
