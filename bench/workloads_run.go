package main

import (
	"context"
	"fmt"
	"strings"
)

// workloadResult is what one workload costs.
type workloadResult struct {
	Name      string      `json:"name"`
	About     string      `json:"about"`
	Changes   int64       `json:"changes"`
	Binlog    int64       `json:"binlog_bytes"` // of a change
	Record    int64       `json:"record_bytes"` // with its key
	Raw       measurement `json:"raw"`
	Baseline  measurement `json:"baseline"`
	Ours      measurement `json:"ours"`
	Replicate measurement `json:"replicate"`
	Deliver   measurement `json:"deliver"`
}

// workloads measures every workload: to record bytes beside the baseline, and through each whole half.
func (b *bench) workloads(ctx context.Context) error {
	if _, err := b.changes(ctx); err != nil {
		return err
	}
	first := workload{name: ordinary, about: fmt.Sprintf("five small columns, transactions of %d changes: 16 inserts to 3 updates to 1 delete", b.TxRows), table: table}
	if b.wanted(first.name) {
		if err := b.workload(ctx, first, b.written); err != nil {
			return err
		}
	}
	if err := b.manyTables(ctx); err != nil {
		return err
	}
	for _, w := range workloads() {
		if !b.wanted(w.name) {
			continue
		}
		if err := b.prepared(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// wanted says whether a case or workload was asked for by a part of its name.
func (b *bench) wanted(name string) bool { return strings.Contains(name, b.Cases) }

// prepared writes a workload's changes and measures it.
func (b *bench) prepared(ctx context.Context, w workload) error {
	w.changes = max(w.changes/max(b.Part, 1), w.rows)
	progress("writing %d changes: %s", w.changes, w.name)
	s, err := w.prepare(ctx, b.db)
	if err != nil {
		return err
	}
	if err := b.workload(ctx, w, s); err != nil {
		return err
	}
	if w.chosen == 0 {
		return nil
	}
	return b.framing(ctx, s)
}

// workloadRounds is how often a workload is measured beside the baseline.
const workloadRounds = 2

func (b *bench) workload(ctx context.Context, w workload, s *span) error {
	p := b.params(s, w.table)
	m, err := rounds(ctx, workloadRounds, typical, b.plain("binlog raw", p), b.plain("binlog ours", p), b.plain("binlog baseline", p.first(baselineShare)))
	if err != nil {
		return err
	}
	r := workloadResult{Name: w.name, About: w.about, Changes: s.written, Binlog: s.bytes / s.written,
		Record: m[1].Bytes / s.chosen, Raw: m[0], Ours: m[1], Baseline: m[2]}
	if r.Replicate, err = b.onStub(ctx, "stream ours", p, nil); err != nil {
		return err
	}
	if p, err = b.records(ctx, p, b.Workload); err != nil {
		return err
	}
	defer removeRecords(p)
	if r.Deliver, err = b.onStub(ctx, "deliver ours", p, nil); err != nil {
		return err
	}
	b.report.Workloads = append(b.report.Workloads, r)
	b.report.cheaper("1", "workload: "+w.name+", CPU per change", "µs", r.Ours.cpuPerItem(), r.Baseline.cpuPerItem(), 0)
	b.report.memory("replicate, workload: "+w.name, r.Replicate)
	b.report.memory("deliver, workload: "+w.name, r.Deliver)
	return nil
}

// framing measures what changes cost of which none is selected, against their bytes alone.
func (b *bench) framing(ctx context.Context, s *span) error {
	if err := b.db.Exec(ctx, "INSERT INTO "+database+"."+marker+" VALUES (1)"); err != nil {
		return err
	}
	p := b.params(s, marker)
	p.Changes = 1
	m, err := rounds(ctx, b.Repeat, typical, b.plain("binlog raw", p), b.plain("binlog ours", p))
	if err != nil {
		return err
	}
	b.report.cheaper("1", "changes in tables that no rule selects, CPU per change against the bytes alone", "µs", m[1].cpuPerItem(), m[0].cpuPerItem(), 0)
	return nil
}

// manyTables makes the tables whose number grows, once.
func (b *bench) manyTables(ctx context.Context) error {
	if b.many {
		return nil
	}
	db, err := b.server(ctx)
	if err != nil {
		return err
	}
	progress("making %d tables", manyTables)
	b.many = true
	return prepareManyTables(ctx, db)
}
