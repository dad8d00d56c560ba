// Package lease shares the shards of a stream among workers, by leases in a table that all of them can reach and that
// has the layout of the Kinesis Client Library's.
//
// It promises that of the workers that run, no two hold one shard at a time, whatever requests are lost or late, and
// without comparing clocks of two hosts; that a shard whose worker is gone gets another one within two failover times
// of a table that answers; that the workers' numbers of shards come to differ by one at most; and that a shard is given out
// when the leases of its parents say that they were read to their ends. A worker that was stopped and goes on finds out by its
// own clock that its shards are gone, but in between it may do anything: nothing that must hold may depend on a lease.
package lease
