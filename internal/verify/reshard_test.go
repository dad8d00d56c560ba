package verify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin/kinesistest"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink/stored"
)

// moving is a pipeline at work: whenever verify asks anything, records have been written, shards split and merged, and
// objects stored since it asked last.
type moving struct {
	t       *testing.T
	mu      sync.Mutex // covers everything below
	h       *history
	objects memory
	stored  map[string]int // lines of a lane
	layout  *s3sink.Layout
	left    int // things that may happen
}

func startMoving(t *testing.T, seed uint64) *moving {
	t.Helper()
	layout, err := s3sink.NewLayout(s3sink.LayoutConfig{Name: "n", Compression: s3sink.GZIP, Deduplicate: true})
	if err != nil {
		t.Fatal(err)
	}
	stream := kinesistest.New("s", 2)
	stream.Created, stream.EmptyBeforeEnd = time.Unix(1000, 0), 2
	m := &moving{
		t: t, objects: memory{}, stored: map[string]int{}, layout: layout,
		h: &history{r: rand.New(rand.NewPCG(seed, 9)), rows: map[string]string{}, clock: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), stream: stream},
	}
	stream.Fault = func(call, _ string) error {
		if call == "get" {
			m.happen(6)
		}
		return nil
	}
	m.h.open(0, 1<<15)
	m.h.open(1<<15, 1<<16)
	m.h.control("create-table")
	m.h.goOn(60)
	return m
}

// happen lets things happen, if any may.
func (m *moving) happen(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n = min(n, m.left); n > 0 {
		m.left -= n
		m.h.goOn(n)
		m.deliver()
	}
}

// deliver stores some of what is not stored, of shards of which the parents are stored to their ends.
func (m *moving) deliver() {
	buf := new(bytes.Buffer)
	for _, l := range m.h.lanes {
		from := m.stored[l.id]
		to := from + m.h.r.IntN(len(l.lines)-from+1)
		if slices.ContainsFunc(m.h.lanes, func(p *lane) bool { return slices.Contains(l.parents, p.id) && m.stored[p.id] < len(p.lines) }) || to == from {
			continue
		}
		run := s3sink.NewRun(m.layout, 1, nil)
		for _, x := range l.lines[from:to] {
			run.Add(fmt.Sprint(x.seq), m.h.clock, []byte(x.text))
		}
		chain := s3sink.Chain{Stream: "s", Created: m.h.stream.Created, Shard: l.id}
		groups := run.Groups(chain)
		o, err := run.Object(m.t.Context(), chain, &groups[0], buf)
		if err != nil {
			panic(err)
		}
		m.objects[o.Key] = object{o.Meta, bytes.Clone(o.Body), time.Now()}
		m.stored[l.id] = to
	}
}

// Stored is what deliver's document says of a shard.
func (m *moving) Stored(_ context.Context, _ kinesisin.Description, shard string) (string, bool, error) {
	m.happen(10)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.h.lanes {
		if n := m.stored[l.id]; l.id == shard && n > 0 {
			return fmt.Sprint(l.lines[n-1].seq), true, nil
		}
	}
	return "", false, nil
}

// String is the store's name.
func (*moving) String() string { return "moving" }

// List is no moment: what it shows last is newer than what it shows first.
func (m *moving) List(_ context.Context, _ string, fn func(stored.Item) error) error {
	m.happen(20)
	m.mu.Lock()
	first := slices.DeleteFunc(slices.Sorted(maps.Keys(m.objects)), func(string) bool { return m.h.r.IntN(2) == 0 })
	m.mu.Unlock()
	m.happen(60)
	m.mu.Lock()
	later := slices.DeleteFunc(slices.Sorted(maps.Keys(m.objects)), func(key string) bool { return slices.Contains(first, key) })
	m.mu.Unlock()
	for _, key := range append(first, later...) {
		if err := fn(stored.Item{Key: key, Modified: time.Now()}); err != nil {
			return err
		}
	}
	return nil
}

// Describe implements stored.Store.
func (m *moving) Describe(ctx context.Context, key string) (s3sink.Meta, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.objects.Describe(ctx, key)
}

// Open implements stored.Store.
func (m *moving) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.objects.Open(ctx, key)
}

// verification is one of what moves, with the shards that were there when it began.
func (m *moving) verification() (*verification, *table) {
	m.t.Helper()
	a := &table{id: 1, schema: "a", name: "t", keyNames: []string{"id"}, drops: map[uint32]drop{}}
	v := &verification{
		cfg: Config{
			Objects: m, Prefixes: []string{""}, Deduplicated: func(int) bool { return true }, Deduplicate: true, WorkDir: m.t.TempDir(), Stored: m.Stored,
			Saved: func(context.Context) (Saved, error) { return Saved{}, nil },
		}.withDefaults(),
		listed: map[string]kinesisin.Shard{}, tables: []*table{a},
		stream: kinesisin.Description{Name: "s", Created: m.h.stream.Created},
		replay: &replay{tables: map[tableName]*table{{"a", "t"}: a}, shards: map[shardName]*shard{}},
	}
	v.in = kinesisin.New(kinesisin.Config{
		API: m.h.stream, Stream: "s", Logger: slog.New(slog.DiscardHandler), Health: health{v}, Gate: gate{}, Metrics: kinesisin.NewMetrics(nil),
		PollInterval: time.Millisecond, CallInterval: time.Microsecond,
	})
	shards, err := v.in.Shards(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	for _, s := range shards {
		v.listed[s.ID] = s
	}
	if v.db, err = openDB(v.cfg.WorkDir, 8<<20); err != nil {
		m.t.Fatal(err)
	}
	v.replay.db = v.db
	return v, a
}

// TestReplayWhileResharding: shards are split and merged, and objects are stored, before the listing, in the middle of it,
// and while the tail is read. What the replay arrives at is the table, and no record is called a second one.
func TestReplayWhileResharding(t *testing.T) {
	for seed := range uint64(24) {
		m := startMoving(t, seed)
		m.left = 200
		m.happen(100)
		v, a := m.verification()
		m.happen(10)
		if err := v.replayAll(t.Context()); err != nil { // everything moves
			t.Fatal(err)
		}
		for _, left := range []int{60, 0} {
			m.left = left
			if err := v.readTail(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if rows := v.rowsOf(t, a); !maps.Equal(rows, m.h.rows) || v.replay.total.Count != 0 {
			t.Errorf("history %d with %d shards: the replay has %v, faults %q; the table has %v", seed, len(m.h.lanes), rows, v.replay.total.Faults, m.h.rows)
		}
		if err := v.db.close(); err != nil {
			t.Error(err)
		}
	}
}
