package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// selection says which parts are wanted; empty means all but the ceiling, which takes long.
type selection string

func (s selection) has(part string) bool {
	return s == "" && part != ceilingPart || slices.Contains(strings.Split(string(s), ","), part)
}

// bench is a run in the making.
type bench struct {
	settings
	dir      string
	profiles string // folder; empty: none are written
	db       *dbserver.Server
	work     params // the changes and the table that everything is measured with
	report   *report
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// measureAll prepares the data and measures the wanted parts.
func measureAll(ctx context.Context, s settings, parts selection, profiles string) (r *report, err error) {
	b := &bench{settings: s, report: newReport(s), profiles: profiles}
	if profiles != "" {
		if err := os.MkdirAll(profiles, 0o755); err != nil {
			return nil, err
		}
	}
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.dir)
	progress("starting a MySQL server")
	b.db, err = dbserver.Start(ctx, filepath.Join(b.dir, "mysql"), dbserver.Options{Flags: mysqlFlags, Template: true})
	if err != nil {
		return nil, err
	}
	defer b.db.Kill()
	b.report.Server = fmt.Sprintf("MySQL %s", b.db.Program.Version)
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{{"binlog", b.binlog}, {"stream", b.stream}, {"load", b.load}, {"deliver", b.deliver}, {"memory", b.memory}, {ceilingPart, b.ceiling}} {
		if !parts.has(part.name) {
			continue
		}
		if err := part.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return b.report, nil
}

// prepare makes the table and its changes.
func (b *bench) prepare(ctx context.Context) error {
	if err := createTable(ctx, b.db); err != nil {
		return err
	}
	if b.Changes == 0 {
		return nil
	}
	at, err := binlogEnd(ctx, b.db)
	if err != nil {
		return err
	}
	progress("writing %d changes", b.Changes)
	written, rows, err := fillTable(ctx, b.db, b.Changes, b.TxRows)
	if err != nil {
		return err
	}
	b.work = params{Port: b.db.Port, File: at.file, Offset: at.offset, Changes: written, Rows: rows, Table: table, Profile: b.profiles}
	return nil
}

// step runs a child and notes what it found.
func (b *bench) step(ctx context.Context, name string, p params) (measurement, error) {
	m, err := child(ctx, name, p)
	if err != nil {
		return m, err
	}
	b.report.Runs = append(b.report.Runs, m)
	progress("%-16s %9.0f/s  %7.3f µs CPU and %5d bytes each  %4d MiB", name, m.perSecond(), m.cpuPerItem(), m.Bytes/m.Items, m.RSS>>20)
	return m, nil
}

// rounds runs the steps in turn, as often as everything is repeated, so that a busy minute of the machine hits all.
// It returns each step's median by CPU time.
func (b *bench) rounds(ctx context.Context, do ...func(context.Context) (measurement, error)) ([]measurement, error) {
	runs := make([][]measurement, len(do))
	for range b.Repeat {
		for i := range do {
			m, err := do[i](ctx)
			if err != nil {
				return nil, err
			}
			runs[i] = append(runs[i], m)
		}
	}
	medians := make([]measurement, len(do))
	for i, all := range runs {
		slices.SortFunc(all, func(a, b measurement) int { return int(a.CPU - b.CPU) })
		medians[i] = all[len(all)/2]
	}
	return medians, nil
}

func (b *bench) plain(name string) func(context.Context) (measurement, error) {
	return func(ctx context.Context) (measurement, error) { return b.step(ctx, name, b.work) }
}

func (b *bench) binlog(ctx context.Context) error {
	m, err := b.rounds(ctx, b.plain("binlog baseline"), b.plain("binlog lean"), b.plain("binlog ours"))
	if err != nil {
		return err
	}
	base, lean, ours := m[0], m[1], m[2]
	b.report.add(line{"1", "binlog to record bytes, CPU per change", "µs", ours.cpuPerItem(), base.cpuPerItem(), base.cpuPerItem() / ours.cpuPerItem(), 25, false})
	b.report.add(line{"1", "binlog to record bytes, changes per second", "/s", ours.perSecond(), base.perSecond(), ours.perSecond() / base.perSecond(), 15, false})
	b.report.add(line{"1", "binlog to record bytes, CPU per change, baseline with a struct for the metadata", "µs", ours.cpuPerItem(), lean.cpuPerItem(), lean.cpuPerItem() / ours.cpuPerItem(), 0, false})
	return nil
}

// onStub runs a step against a stub stream of its own.
func (b *bench) onStub(ctx context.Context, name string, p params, meanwhile func(endpoint string) error) (m measurement, err error) {
	endpoint, stop, err := startStub(ctx, params{Records: p.Records})
	if err != nil {
		return m, err
	}
	defer stop()
	p.Stream = endpoint
	if p.Dir, err = os.MkdirTemp(memoryFolder(b.dir), "bench-step-"); err != nil {
		return m, err
	}
	defer os.RemoveAll(p.Dir)
	if meanwhile != nil {
		if err := meanwhile(endpoint); err != nil {
			return m, err
		}
	}
	if m, err = b.step(ctx, name, p); err != nil {
		return m, err
	}
	if name == "deliver ours" {
		lines, err := storedLines(p.Dir)
		if err != nil {
			return m, err
		}
		if lines != p.Changes {
			return m, fmt.Errorf("%d records were stored of %d", lines, p.Changes)
		}
	}
	return m, nil
}

// memoryFolder is a folder in memory where the machine has one, so that no disk is measured; otherwise dir.
func memoryFolder(dir string) string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return dir
}

func (b *bench) stubbed(name string, p params) func(context.Context) (measurement, error) {
	return func(ctx context.Context) (measurement, error) { return b.onStub(ctx, name, p, nil) }
}

func (b *bench) stream(ctx context.Context) error {
	m, err := b.rounds(ctx, b.stubbed("stream baseline", b.work), b.stubbed("stream ours", b.work))
	if err != nil {
		return err
	}
	base, ours := m[0], m[1]
	b.report.add(line{"2", "binlog to acknowledged stream, CPU per change", "µs", ours.cpuPerItem(), base.cpuPerItem(), base.cpuPerItem() / ours.cpuPerItem(), 6, false})
	b.report.add(line{"2", "binlog to acknowledged stream, changes per second", "/s", ours.perSecond(), base.perSecond(), ours.perSecond() / base.perSecond(), 0, false})
	return nil
}

func (b *bench) load(ctx context.Context) error {
	m, err := b.rounds(ctx, b.plain("load bare"), b.plain("load baseline"), b.plain("load ours"))
	if err != nil {
		return err
	}
	bare, base, ours := m[0], m[1], m[2]
	b.report.add(line{"3", "full load to record bytes, CPU per row", "µs", ours.cpuPerItem(), base.cpuPerItem(), base.cpuPerItem() / ours.cpuPerItem(), 5, false})
	b.report.add(line{"3", "full load to record bytes, rows per second against a bare SELECT", "/s", ours.perSecond(), bare.perSecond(), ours.perSecond() / bare.perSecond(), 0.6, false})
	return nil
}

func (b *bench) deliver(ctx context.Context) error {
	p := b.work
	p.Records = filepath.Join(b.dir, "records")
	first, err := child(ctx, "records", p)
	if err != nil {
		return err
	}
	// As many of the records as make up the wanted size.
	if p.Changes, err = cutRecords(p.Records, b.Deliver<<20); err != nil {
		return err
	}
	progress("delivering %d of %d records", p.Changes, first.Items)
	m, err := b.rounds(ctx,
		func(ctx context.Context) (measurement, error) { return b.step(ctx, "deliver gzip", p) },
		b.stubbed("deliver ours", p))
	if err != nil {
		return err
	}
	bare, ours := m[0], m[1]
	b.report.add(line{"4", "stream to stored gzip, MB of records per second, against gzip alone on one core", "MB/s", ours.mbPerSecond(), bare.mbPerSecond(), ours.mbPerSecond() / bare.mbPerSecond(), 0.8, false})
	b.report.add(line{"4", "the same, per second of CPU", "MB/s", ours.mbPerCPUSecond(), bare.mbPerCPUSecond(), ours.mbPerCPUSecond() / bare.mbPerCPUSecond(), 0, false})
	b.report.memory("deliver, a backlog", ours)
	return nil
}

// outage is how long the stream is away in the memory measurement.
const outage = 10 * time.Second

func (b *bench) memory(ctx context.Context) error {
	m, err := b.onStub(ctx, "stream ours", b.work, nil)
	if err != nil {
		return err
	}
	b.report.memory("replicate, a backlog", m)
	m, err = b.onStub(ctx, "stream ours", b.work, func(endpoint string) error { return failStub(ctx, endpoint, outage) })
	if err != nil {
		return err
	}
	b.report.memory(fmt.Sprintf("replicate, a backlog after %s without the stream", outage), m)

	at, err := binlogEnd(ctx, b.db)
	if err != nil {
		return err
	}
	progress("writing a transaction of %d MiB", b.LargeTx)
	rows, err := largeTransaction(ctx, b.db, b.LargeTx)
	if err != nil {
		return err
	}
	p := params{Port: b.db.Port, File: at.file, Offset: at.offset, Changes: rows, Table: largeTable}
	if m, err = b.onStub(ctx, "stream ours", p, nil); err != nil {
		return err
	}
	b.report.memory(fmt.Sprintf("replicate, one transaction of %d MiB", b.LargeTx), m)
	return nil
}
