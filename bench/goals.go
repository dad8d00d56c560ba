package main

import (
	"context"
	"path/filepath"
)

// binlog measures goal 1: from the binlog to record bytes, which are dropped.
func (b *bench) binlog(ctx context.Context) error {
	p, err := b.changes(ctx)
	if err != nil {
		return err
	}
	part := p.first(baselineShare)
	m, err := rounds(ctx, b.Repeat, typical, b.plain("binlog baseline", part), b.plain("binlog lean", part), b.plain("binlog ours", p), b.plain("binlog raw", p))
	if err != nil {
		return err
	}
	b.report.median(m...)
	base, lean, ours, raw := m[0], m[1], m[2], m[3]
	b.report.cheaper("1", "binlog to record bytes, CPU per change", "µs", ours.cpuPerItem(), base.cpuPerItem(), 25)
	b.report.faster("1", "binlog to record bytes, changes per second", "/s", ours.perSecond(), base.perSecond(), 15)
	b.report.cheaper("1", "binlog to record bytes, CPU per change, baseline with a struct for the metadata", "µs", ours.cpuPerItem(), lean.cpuPerItem(), 0)
	b.report.cheaper("1", "binlog to record bytes, CPU per change, against the bytes alone", "µs", ours.cpuPerItem(), raw.cpuPerItem(), 0)
	return nil
}

// stream measures goal 2: from the binlog to acknowledged requests.
func (b *bench) stream(ctx context.Context) error {
	p, err := b.changes(ctx)
	if err != nil {
		return err
	}
	part := p.first(baselineShare)
	m, err := rounds(ctx, b.Repeat, typical, b.stubbed("stream baseline", part), b.stubbed("stream sdk", part), b.stubbed("stream ours", p))
	if err != nil {
		return err
	}
	b.report.median(m...)
	base, sdk, ours := m[0], m[1], m[2]
	b.report.cheaper("2", "binlog to acknowledged stream, CPU per change", "µs", ours.cpuPerItem(), base.cpuPerItem(), 6)
	b.report.faster("2", "binlog to acknowledged stream, changes per second", "/s", ours.perSecond(), base.perSecond(), 0)
	b.report.cheaper("2", "binlog to acknowledged stream, CPU per change, against PutRecords of the SDK alone", "µs", ours.cpuPerItem(), sdk.cpuPerItem(), 0)
	return nil
}

// load measures goal 3: from a table's rows to record bytes.
func (b *bench) load(ctx context.Context) error {
	p, err := b.changes(ctx)
	if err != nil {
		return err
	}
	large, err := b.largeTable(ctx, p)
	if err != nil {
		return err
	}
	const pool = "holds the table"
	m, err := rounds(ctx, b.Repeat, typical, b.watched(pool, b.plain("load bare", large)), b.plain("load baseline", p), b.watched(pool, b.plain("load ours", large)))
	if err != nil {
		return err
	}
	b.report.median(m...)
	bare, base, ours := m[0], m[1], m[2]
	b.report.cheaper("3", "full load to record bytes, CPU per row", "µs", ours.cpuPerItem(), base.cpuPerItem(), 5)
	b.report.faster("3", "full load to record bytes, rows per second against a bare SELECT", "/s", ours.perSecond(), bare.perSecond(), 0.6)
	return b.loadFromDisk(ctx, large)
}

// records writes records of a step's changes into a file, and changes the step into one that delivers as many of them
// as make up so many MiB, or all.
func (b *bench) records(ctx context.Context, p params, mib int64) (params, error) {
	p.Records, p.Written = filepath.Join(memoryFolder(b.dir), "bench-records-"+filepath.Base(b.dir)), 0
	if _, err := child(ctx, "records", p); err != nil || mib == 0 {
		return p, err
	}
	n, err := cutRecords(p.Records, mib<<20)
	p.Changes = n
	return p, err
}

// deliver measures goal 4: from the stream to objects.
func (b *bench) deliver(ctx context.Context) error {
	p, err := b.changes(ctx)
	if err != nil {
		return err
	}
	if p, err = b.records(ctx, p, b.Deliver); err != nil {
		return err
	}
	defer removeRecords(p)
	progress("delivering %d records", p.Changes)
	m, err := rounds(ctx, b.Repeat*manyRounds, typical, b.plain("deliver gzip", p), b.stubbed("deliver ours", p), b.stubbed("deliver s3 ours", p))
	if err != nil {
		return err
	}
	b.report.median(m...)
	bare, ours, s3 := m[0], m[1], m[2]
	b.report.faster("4", "stream to gzip in a folder, MB of records per second, against gzip alone on one core", "MB/s", ours.mbPerSecond(), bare.mbPerSecond(), 0.8)
	b.report.faster("4", "stream to gzip in a folder, the same per second of CPU", "MB/s", ours.mbPerCPUSecond(), bare.mbPerCPUSecond(), 0)
	b.report.faster("4", "stream to gzip in S3, MB of records per second, against gzip alone on one core", "MB/s", s3.mbPerSecond(), bare.mbPerSecond(), 0.8)
	b.report.faster("4", "stream to gzip in S3, the same per second of CPU", "MB/s", s3.mbPerCPUSecond(), bare.mbPerCPUSecond(), 0)
	b.report.memory("deliver, a backlog", ours)
	b.report.memory("deliver to S3, a backlog", s3)
	return nil
}
