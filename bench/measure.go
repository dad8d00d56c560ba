package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// selection says which parts are wanted; empty means all that a run has by default.
type selection string

func (s selection) has(p part) bool {
	return s == "" && !p.extra || slices.Contains(strings.Split(string(s), ","), p.name)
}

// bench is a run in the making.
type bench struct {
	settings

	dir      string
	profiles string // folder; empty: none are written
	report   *report

	db      *dbserver.Server // started when it is first needed
	work    params           // the changes and the table that most things are measured with
	written *span            // of these; nil: they are not there yet
	many    bool             // the many tables are there
}

// part is one of the things that are measured.
type part struct {
	name  string
	extra bool // not without being asked for
	do    func(*bench, context.Context) error
}

// parts are in the order in which they are done: latency before the large server is there.
var parts = []part{
	{name: "latency", do: (*bench).latency},
	{name: "binlog", do: (*bench).binlog},
	{name: "stream", do: (*bench).stream},
	{name: "load", do: (*bench).load},
	{name: "deliver", do: (*bench).deliver},
	{name: "workloads", do: (*bench).workloads},
	{name: "growth", do: (*bench).growth},
	{name: "memory", do: (*bench).memory},
	{name: ceilingPart, extra: true, do: (*bench).ceiling},
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// measureAll measures the wanted parts.
func measureAll(ctx context.Context, s settings, wanted selection, profiles string) (r *report, err error) {
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
	defer func() {
		if b.db != nil {
			b.db.Kill()
		}
	}()
	for _, p := range parts {
		if !wanted.has(p) {
			continue
		}
		began := time.Now()
		if err := p.do(b, ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		b.report.took(p.name, time.Since(began))
	}
	return b.report, nil
}

// server is the database server that most parts use.
func (b *bench) server(ctx context.Context) (*dbserver.Server, error) {
	if b.db != nil {
		return b.db, nil
	}
	progress("starting a MySQL server")
	db, err := dbserver.Start(ctx, filepath.Join(b.dir, "mysql"), dbserver.Options{Flags: mysqlFlags, Template: true})
	if err != nil {
		return nil, err
	}
	b.db = db
	b.report.server(db)
	if err := createTable(ctx, db); err != nil {
		return nil, err
	}
	if err := prepareSequence(ctx, db); err != nil {
		return nil, err
	}
	return db, nil
}

// changes are those that most things are measured with; the first to ask has them written.
func (b *bench) changes(ctx context.Context) (params, error) {
	if b.written != nil {
		return b.work, nil
	}
	db, err := b.server(ctx)
	if err != nil {
		return params{}, err
	}
	progress("writing %d changes", b.Changes)
	var rows int64
	s, err := recorded(ctx, db, func() (written, chosen int64, err error) {
		written, rows, err = fillTable(ctx, db, b.Changes, b.TxRows)
		return written, written, err
	})
	if err != nil {
		return params{}, err
	}
	b.work, b.written = b.params(s, table), s
	b.work.Rows = rows
	return b.work, nil
}

// params are those of a step that reads a span of the server's binlog.
func (b *bench) params(s *span, table string) params {
	p := s.params(b.db.Port, table)
	p.Profile = b.profiles
	return p
}

// first is the beginning of a step's changes: one in so many.
func (p params) first(share int64) params {
	if p.Written != 0 {
		p.Written = max(p.Written/share, 1)
	}
	p.Changes = max(p.Changes/share, 1)
	return p
}

// step runs a child and notes what it found.
func (b *bench) step(ctx context.Context, name string, p params) (measurement, error) {
	m, err := child(ctx, name, p)
	if err != nil {
		return m, err
	}
	b.report.Runs = append(b.report.Runs, m)
	progress("%-16s %9.0f/s  %7.3f µs CPU and %5d bytes each  %4d MiB  %4.1f %% in GC", name, m.perSecond(), m.cpuPerItem(), m.bytesPerItem(), m.RSS>>20, m.gcShare())
	return m, nil
}

// try is one way of doing the work.
type try func(context.Context) (measurement, error)

// rounds does the tries in turn, n times, so that a busy minute of the machine hits all, and gives of each what one picks
// from its runs.
func rounds(ctx context.Context, n int, one func(runs []measurement) measurement, do ...try) ([]measurement, error) {
	runs := make([][]measurement, len(do))
	for range n {
		for i := range do {
			m, err := do[i](ctx)
			if err != nil {
				return nil, err
			}
			runs[i] = append(runs[i], m)
		}
	}
	all := make([]measurement, len(do))
	for i := range runs {
		all[i] = one(runs[i])
	}
	return all, nil
}

// manyRounds is how many times as often that is measured which takes a second or less, or gains from both processors what a
// neighbour of the machine can take away: there a single run is off by a fifth.
const manyRounds = 3

// typical is the median by CPU time, with the median of the times that the runs took and the highest of their peaks. Of two
// it is the lower: what disturbs a run only adds to it.
func typical(runs []measurement) measurement {
	middle := (len(runs) - 1) / 2
	slices.SortFunc(runs, func(a, b measurement) int { return cmp.Compare(a.Wall, b.Wall) })
	wall := runs[middle].Wall
	slices.SortFunc(runs, func(a, b measurement) int { return cmp.Compare(a.CPU, b.CPU) })
	m := runs[middle]
	m.Wall, m.RSS = wall, highest(runs)
	return m
}

// least is the run that took the least CPU time, with the highest of the peaks.
func least(runs []measurement) measurement {
	m := slices.MinFunc(runs, func(a, b measurement) int { return cmp.Compare(a.CPU, b.CPU) })
	m.RSS = highest(runs)
	return m
}

func highest(runs []measurement) (rss int64) {
	for _, r := range runs {
		rss = max(rss, r.RSS)
	}
	return rss
}

// plain is a step that needs no stub.
func (b *bench) plain(name string, p params) try {
	return func(ctx context.Context) (measurement, error) { return b.step(ctx, name, p) }
}

// stubbed is a step against a stub of its own.
func (b *bench) stubbed(name string, p params) try {
	return func(ctx context.Context) (measurement, error) { return b.onStub(ctx, name, p, nil) }
}

// onStub runs a step against a stub of its own, which meanwhile may be told to do something.
func (b *bench) onStub(ctx context.Context, name string, p params, meanwhile func(endpoint string) error) (m measurement, err error) {
	endpoint, stop, err := startStub(ctx, params{Records: p.Records, Shards: p.Shards, Takes: p.Takes})
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
	return m, checkStored(ctx, name, p)
}

// checkStored makes sure that a delivering step did its work.
func checkStored(ctx context.Context, name string, p params) error {
	var stored int64
	switch name {
	case "deliver ours":
		n, err := storedLines(p.Dir)
		if err != nil {
			return err
		}
		stored = n
	case "deliver s3 ours":
		state, err := askStub(ctx, p.Stream)
		if err != nil {
			return err
		}
		stored = state.Stored
	default:
		return nil
	}
	if stored != p.Changes {
		return fmt.Errorf("%d records were stored of %d", stored, p.Changes)
	}
	return nil
}

// memoryFolder is a folder in memory where the machine has one, so that no disk is measured; otherwise dir.
func memoryFolder(dir string) string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return dir
}
