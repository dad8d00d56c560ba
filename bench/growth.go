package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// growthResult is what a change costs where there is more of something.
type growthResult struct {
	Of    string      `json:"of"` // tables, shards, or changes behind
	Half  string      `json:"half"`
	N     int64       `json:"n"`
	Found measurement `json:"found"`
}

// flat is what the goal calls so: a change costs at most so many times as much with most of a thing as with least.
const flat = 1.25

// growth measures goal 7: how cost grows with tables and shards, and memory with what is behind.
func (b *bench) growth(ctx context.Context) error {
	if _, err := b.changes(ctx); err != nil {
		return err
	}
	for _, grow := range []func(context.Context) error{b.growTables, b.growShards, b.growBacklog} {
		if err := grow(ctx); err != nil {
			return err
		}
	}
	return nil
}

// growTables has the same transactions go to more and more tables.
func (b *bench) growTables(ctx context.Context) error {
	if err := b.manyTables(ctx); err != nil {
		return err
	}
	numbers := []int64{1, 10, 100, manyTables}
	var decode, whole []try
	for _, tables := range numbers {
		w := workload{name: fmt.Sprintf("%d tables", tables), table: firstTables(tables), changes: b.Growth, rows: 100, write: acrossTables(tables)}
		progress("writing %d changes: %s", w.changes, w.name)
		s, err := w.prepare(ctx, b.db)
		if err != nil {
			return err
		}
		p := b.params(s, w.table)
		p.Warm = min(2*10*manyTables, p.Changes/2) // each table twice: what is asked of the server about a table is asked once
		decode, whole = append(decode, b.plain("binlog ours", p)), append(whole, b.stubbed("stream ours", p))
	}
	if err := b.grow(ctx, b.Repeat*manyRounds, "tables", "binlog to record bytes", numbers, decode); err != nil {
		return err
	}
	return b.grow(ctx, b.Repeat, "tables", "replicate", numbers, whole)
}

// firstTables is the pattern of the first so many of the tables, a power of ten: all others are not selected, so that
// nothing is asked about them.
func firstTables(n int64) string {
	last := manyTable(n - 1)
	return strings.TrimRight(last, "9") + map[bool]string{true: "%"}[strings.HasSuffix(last, "9")]
}

// growShards has the same changes go through more and more shards. Delivering gets all changes there are: of a third of
// them, the sixty-fourth part is less than an object, and what a shard takes to begin would be most of what is found.
func (b *bench) growShards(ctx context.Context) error {
	p := b.work.first(max(1, b.work.Changes/b.Growth))
	all, err := b.records(ctx, b.work.first(1), 0)
	if err != nil {
		return err
	}
	defer removeRecords(all)
	numbers := []int64{1, 4, 16, 64}
	var replicate, deliver []try
	for _, shards := range numbers {
		read, write := all, p
		read.Shards, write.Shards = int(shards), int(shards)
		write.Warm = p.Changes / 10
		replicate, deliver = append(replicate, b.stubbed("stream ours", write)), append(deliver, b.stubbed("deliver ours", read))
	}
	if err := b.grow(ctx, b.Repeat, "shards", "replicate", numbers, replicate); err != nil {
		return err
	}
	return b.grow(ctx, b.Repeat, "shards", "deliver", numbers, deliver)
}

// grow measures one step with each of the numbers, in turn, and compares the dearest with the first. The least CPU time of
// each counts: what others take of the machine only adds to it, and the dearest of four medians is that of the unluckiest.
func (b *bench) grow(ctx context.Context, times int, of, half string, numbers []int64, do []try) error {
	m, err := rounds(ctx, times, least, do...)
	if err != nil {
		return err
	}
	dearest := 0
	for i, n := range numbers {
		b.report.Growth = append(b.report.Growth, growthResult{of, half, n, m[i]})
		if m[i].cpuPerItem() > m[dearest].cpuPerItem() {
			dearest = i
		}
	}
	first, last := numbers[0], numbers[len(numbers)-1]
	b.report.atMost("7", fmt.Sprintf("%s, CPU per change, dearest of %s to %s %s against %s", half, grouped(first), grouped(last), of, grouped(first)), "µs",
		m[dearest].cpuPerItem(), m[0].cpuPerItem(), flat)
	return nil
}

// growBacklog lets more and more changes be behind when replication begins, and records when delivery does.
func (b *bench) growBacklog(ctx context.Context) error {
	numbers := []int64{b.Backlog / 16, b.Backlog / 4, b.Backlog}
	var rss []int64
	for _, n := range numbers {
		w := workload{name: fmt.Sprintf("a backlog of %s", grouped(n)), table: backlogTable, changes: n, rows: 10_000,
			write: func(first, rows int64) []string { return insertPurchases(backlogTable, first, rows) }}
		w.schema = []string{"DROP TABLE IF EXISTS " + backlogTable, purchases(backlogTable, keepsNone)}
		progress("writing %d changes: %s", w.changes, w.name)
		s, err := w.prepare(ctx, b.db)
		if err != nil {
			return err
		}
		p := b.params(s, w.table)
		p.Takes = backlogTakes
		m, err := b.onStub(ctx, "stream ours", p, nil)
		if err != nil {
			return err
		}
		b.report.Growth = append(b.report.Growth, growthResult{"changes behind", "replicate", s.written, m})
		b.report.memory(fmt.Sprintf("replicate, %s changes behind", grouped(s.written)), m)
		rss = append(rss, m.RSS)
	}
	b.report.atMost("7", fmt.Sprintf("replicate, resident peak with %s changes behind against %s", grouped(numbers[2]), grouped(numbers[1])), "MiB",
		float64(rss[2])/(1<<20), float64(rss[1])/(1<<20), flat)
	return nil
}

const backlogTable = "behind"

// backlogTakes is how long the stream takes to acknowledge records of a backlog: so long that what waits for it is always
// as much as may wait. Where it answers at once, that is so only now and then, and more often the longer the backlog is.
const backlogTakes = 5 * time.Millisecond
