package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/mapping"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

var quiet = slog.New(slog.DiscardHandler)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patience is how long a schedule may take: it bounds what hangs, and measures nothing.
const patience = 4 * time.Minute

// flaw is what a schedule takes out of the product, to show that the test notices.
type flaw int

const (
	none flaw = iota
	noWait
	noNotes
	noNumbers
)

// schedule is one random run: tables, rows, writers, and a Replicate that is killed and started again.
type schedule struct {
	t         *testing.T
	db        *testservers.MySQLServer
	r         *rand.Rand
	flaw      flaw
	schema    string
	tables    []*randomTable
	gap       time.Duration // that a commit stays invisible after it was sent to replicas (MySQL)
	reloads   bool          // tables are loaded again now and then
	cuts      bool          // all connections to the source are cut now and then
	trouble   float64       // how often a request to the stream fails somehow
	seed      uint64
	aggregate bool // records of a key that wait for each other leave as one
	from      mysql.Position
	stream    *stream
	store     checkpoint.Store
	proxy     *mysqlProxy

	versions atomic.Uint64
	reloaded atomic.Int64
	commits  atomic.Int64
	figures  figures

	stopWriters func()
	more        int64 // commits that are due after the load

	mu      sync.Mutex // covers what follows
	moments []moment
	saved   chan struct{} // one token: there is a new moment
}

func (s *schedule) note(m moment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moments = append(s.moments, m)
	select {
	case s.saved <- struct{}{}:
	default:
	}
}

// newest is the newest checkpoint.
func (s *schedule) newest() (d savedDoc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.moments) > 0 {
		d = s.moments[len(s.moments)-1].parse(s.t)
	}
	return d
}

func newSchedule(t *testing.T, db *testservers.MySQLServer, seed uint64, f flaw) *schedule {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	store, err := checkpoint.OpenFile(t.TempDir())
	must(t, err)
	s := &schedule{t: t, seed: seed, db: db, r: r, flaw: f, schema: db.Database(t), store: store, saved: make(chan struct{}, 1), stream: newStream(r)}
	s.gap = []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 15 * time.Millisecond}[r.IntN(4)]
	s.trouble = []float64{0, 0.02, 0.1}[r.IntN(3)]
	s.cuts, s.reloads = r.IntN(2) == 0, f == none && r.IntN(2) == 0
	s.aggregate = seed%2 == 0
	s.tables = randomTables(r, db.Program.Flavor)
	s.proxy = newMySQLProxy(t, db.Addr(), r)
	s.proxy.delay = []time.Duration{0, 2 * time.Millisecond, 8 * time.Millisecond}[r.IntN(3)]
	s.proxy.dump = time.Duration(r.IntN(2)*r.IntN(100)) * time.Millisecond
	switch f {
	case noWait:
		s.gap, s.proxy.rewrite = 20*time.Millisecond, withoutTheWait
	case noNotes:
		s.proxy.delay = 8 * time.Millisecond
	case noNumbers:
		s.trouble = 0.1
	}
	s.prepare()
	return s
}

// prepare sets the server, and makes and fills the tables.
func (s *schedule) prepare() {
	settings := []string{"SET GLOBAL binlog_row_metadata = " + [...]string{"FULL", "MINIMAL"}[s.r.IntN(2)]}
	if s.db.Program.Flavor == dbserver.MariaDB {
		// MariaDB waits before it writes the binlog: commits come in groups, and a group becomes visible at once.
		settings = append(settings, fmt.Sprintf("SET GLOBAL binlog_commit_wait_usec = %d", s.gap.Microseconds()), "SET GLOBAL binlog_commit_wait_count = 3")
	} else {
		settings = append(settings, fmt.Sprintf("SET GLOBAL binlog_group_commit_sync_delay = %d", s.gap.Microseconds()))
	}
	s.db.MustExec(s.t, settings...)
	s.from = binlogEnd(s.t, s.db)
	rows := s.r.IntN(250)
	sql := []string{"SET NAMES utf8mb4", "SET time_zone = '+00:00'", "USE `" + s.schema + "`"}
	for _, t := range s.tables {
		sql = append(sql, t.create)
	}
	for i := 0; i < rows; i += 50 {
		for _, t := range s.tables {
			var values []string
			for range min(50, rows-i) {
				values = append(values, t.row(s.r, s.r.IntN(t.numbers), s.versions.Add(1)))
			}
			sql = append(sql, "INSERT IGNORE INTO "+t.name+" VALUES "+strings.Join(values, ","))
		}
	}
	s.db.MustExec(s.t, sql...)
}

// writers write until the returned function is called.
func (s *schedule) writers() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 2 + s.r.IntN(3) {
		r := rand.New(rand.NewPCG(s.r.Uint64(), 3))
		wg.Go(func() {
			if err := s.write(ctx, r); err != nil {
				s.t.Errorf("writer: %v", err)
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

func (s *schedule) write(ctx context.Context, r *rand.Rand) error {
	conn, err := s.db.Connect(ctx, s.schema)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, sql := range []string{"SET NAMES utf8mb4", "SET time_zone = '+00:00'", "SET innodb_lock_wait_timeout = 1"} {
		if _, err := conn.Execute(sql); err != nil {
			return err
		}
	}
	limit := time.Duration(r.IntN(6)) * time.Millisecond
	for ctx.Err() == nil {
		if err := s.commit(conn, transaction(r, s.tables, &s.versions)); err != nil {
			return err
		}
		switch {
		case s.commits.Load() > 1500: // a stream that is slower than the writers would never end
			pause(ctx, 25*time.Millisecond)
		case limit > 0:
			pause(ctx, rand.N(limit))
		}
	}
	return nil
}

// commit runs one transaction. One that the server refuses (a duplicate key, a deadlock) is rolled back.
func (s *schedule) commit(conn *client.Conn, statements []string) error {
	for _, sql := range statements {
		if _, err := conn.Execute(sql); err != nil {
			var my *mysql.MyError
			if !errors.As(err, &my) {
				return err
			}
			switch my.Code {
			case 1062, 1213, 1205: // duplicate key, deadlock, lock wait
			default:
				return fmt.Errorf("%.300s: %w", sql, err)
			}
			_, err := conn.Execute("ROLLBACK")
			return err
		}
	}
	s.commits.Add(1)
	return nil
}

func (s *schedule) config(l *life) pipeline.ReplicateConfig {
	rules, err := mapping.Parse(fmt.Appendf(nil, `{"rules":[{"rule-type":"selection","rule-id":"1","rule-name":"1",
		"object-locator":{"schema-name":%q,"table-name":"%%"},"rule-action":"include"}]}`, s.schema))
	must(s.t, err)
	cfg := pipeline.ReplicateConfig{
		Task: "moments", Migration: pipeline.FullLoadAndCDC, ServerID: 880001, Rules: rules, Deduplicate: true,
		Source:  source.Config{Host: dbserver.Host, Port: s.proxy.port(), User: dbserver.User, TLS: source.TLSDisabled},
		Records: record.DefaultOptions("moments"), Stream: kinesisout.Config{API: l, StreamName: "moments", MaxBytes: 1 << (14 + s.r.IntN(10)), Aggregate: s.aggregate},
		Store: lifeStore{s.store, l}, SaveEvery: time.Duration(4+s.r.IntN(20)) * time.Millisecond, Grace: time.Minute,
		Parallel: 1 + s.r.IntN(4), ChunkBytes: 1 << (4 + s.r.IntN(10)), Log: quiet, Registerer: prometheus.NewRegistry(),
	}
	if s.aggregate && s.seed%4 == 0 {
		cfg.Records.PartitionKeyType = record.KeySchemaTable // a run of records is a whole table's
	}
	for _, t := range s.tables {
		if t.keyless() { // without the old row an update could not be replayed
			cfg.Records.BeforeImage = record.BeforeImage{Enabled: true, ColumnFilter: record.FilterAll}
		}
	}
	switch s.flaw {
	case noNotes:
		pipeline.IgnoreNotes(&cfg)
	case noNumbers:
		pipeline.IgnoreNumbers(&cfg)
	}
	return cfg
}

// live runs one process. One that is not the last is killed at some moment.
func (s *schedule) live(last bool) error {
	ctx, cancel := context.WithCancelCause(s.t.Context())
	defer cancel(nil)
	l := &life{s: s, cancel: cancel, killed: make(chan struct{}), r: rand.New(rand.NewPCG(s.r.Uint64(), 4))}
	cfg := s.config(l)
	if !last {
		cfg.Grace = time.Millisecond
		if s.r.IntN(3) > 0 {
			l.puts = 1 + s.r.IntN(80)
		}
		l.saves = 1 + s.r.IntN(60)
	}
	replicate := pipeline.NewReplicate(cfg)
	var beside sync.WaitGroup
	defer beside.Wait()
	s.disturb(ctx, &beside, replicate)
	ended := make(chan error, 1)
	go func() { ended <- replicate.Run(ctx) }()
	if !last {
		s.figures.kills++
		select {
		case <-l.killed:
			<-ended
			return nil
		case err := <-ended:
			select {
			case <-l.killed:
				return nil
			default:
			}
			return fmt.Errorf("replicate ended by itself: %w", err)
		case <-time.After(patience):
			cancel(nil)
			<-ended
			return fmt.Errorf("a process that was to be killed made no progress; the newest checkpoint is %+v", s.newest())
		}
	}
	err := s.follow(ended, &beside)
	cancel(nil)
	if err != nil {
		l.kill()
		return errors.Join(err, <-ended)
	}
	return <-ended
}

// disturb cuts connections beside a process, and has tables loaded again.
func (s *schedule) disturb(ctx context.Context, beside *sync.WaitGroup, replicate *pipeline.Replicate) {
	after := func(limit int, f func()) {
		d := time.Duration(s.r.IntN(limit)) * time.Millisecond
		beside.Go(func() {
			pause(ctx, d)
			f()
		})
	}
	if s.cuts && s.r.IntN(3) == 0 {
		s.figures.cuts++
		after(300, s.proxy.cut)
	}
	if s.reloads && s.r.IntN(2) == 0 {
		name := s.schema + "." + s.tables[s.r.IntN(len(s.tables))].name
		after(600, func() {
			if replicate.Reload(ctx, name) == nil { // else the process does not run yet, or not any more
				s.reloaded.Add(1)
			}
		})
	}
}

// follow waits until everything is loaded and the writers have gone on for a while, stops them, and waits until the
// last of their changes is saved.
func (s *schedule) follow(ended chan error, beside *sync.WaitGroup) error {
	stop := sync.OnceFunc(s.stopWriters)
	defer stop()
	if err := s.await(ended, "the tables to be loaded", func(d savedDoc) bool { return d.completed(s.tables) }); err != nil {
		return err
	}
	enough := s.commits.Load() + s.more
	if err := s.await(ended, "some more changes", func(savedDoc) bool { return s.commits.Load() >= enough }); err != nil {
		return err
	}
	beside.Wait()
	stop()
	end := binlogEnd(s.t, s.db)
	want := coord{file: fileNumber(s.t, end.Name), start: uint64(end.Pos)}
	return s.await(ended, "the last change to be saved", func(d savedDoc) bool {
		return d.completed(s.tables) && coord{file: fileNumber(s.t, d.Position.File), start: d.Position.Offset}.compare(want) >= 0
	})
}

func (s *schedule) await(ended chan error, what string, ok func(savedDoc) bool) error {
	limit := time.After(patience)
	for {
		select {
		case <-s.saved:
			if d := s.newest(); ok(d) {
				return nil
			}
		case err := <-ended:
			ended <- nil // for whoever waits for the end
			return fmt.Errorf("replicate ended by itself: %w", err)
		case <-limit:
			return fmt.Errorf("waited in vain for %s; the newest checkpoint is %+v", what, s.newest())
		}
	}
}

// run runs the schedule and checks what came of it.
func (s *schedule) run() (figures, []string) {
	s.t.Helper()
	s.proxy.start()
	defer s.proxy.stop()
	s.more = 30
	s.stopWriters = s.writers()
	stop := sync.OnceFunc(s.stopWriters)
	defer stop()
	s.stopWriters = stop
	kills := s.r.IntN(5)
	if s.flaw != none {
		kills = 0
	}
	for i := range kills + 1 {
		if s.r.IntN(4) == 0 {
			pause(s.t.Context(), time.Duration(s.r.IntN(100))*time.Millisecond) // nobody reads the binlog meanwhile
		}
		if err := s.live(i == kills); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.check()
}

func (s *schedule) check() (figures, []string) {
	s.stream.end()
	tr := readTruth(s.t, s.db, s.schema, s.tables, s.from, binlogEnd(s.t, s.db))
	c := newChecker(s.t, tr, s.tables, s.stream.log, flavorOf(s.db))
	for _, m := range s.moments {
		c.moment(m)
	}
	if len(c.faults) == 0 {
		c.readTo(len(c.log))
		for _, t := range s.tables {
			rows, n := selected(s.t, s.db, s.schema, t)
			c.end(t, rows, n)
		}
	}
	f := c.figures
	f.schedules, f.kills, f.cuts, f.commits = 1, s.figures.kills, s.figures.cuts, int(s.commits.Load())
	f.refused, f.lost, f.reloads = s.stream.refused, s.stream.lost, int(s.reloaded.Load())
	f.packed, f.delayed = s.stream.packed, s.stream.delayed
	return f, c.faults
}

// describe says what the schedule was about, for whoever has to find a fault.
func (s *schedule) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "schema %s, gap %v, trouble %v, delay %v, %d shards\n", s.schema, s.gap, s.trouble, s.proxy.delay, 1<<s.stream.bits)
	for _, t := range s.tables {
		b.WriteString(t.create + "\n")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.moments); n > 0 {
		var d any
		_ = json.Unmarshal(s.moments[n-1].doc, &d)
		fmt.Fprintf(&b, "newest of %d checkpoints: %v", n, d)
	}
	return b.String()
}
