package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// sent is a record that a fake stream took: the key's version as the record has it.
type sent struct {
	op      string
	key     string
	version int
}

// fakeStream takes everything and acknowledges it at once, or records without a position when it is told to.
type fakeStream struct {
	t       *testing.T
	records []sent
	slow    bool
	span    uint64              // of the numbers of what is open
	open    []kinesisout.Record // not acknowledged yet
}

func (f *fakeStream) Takes(context.Context, int) error { return nil }

func (f *fakeStream) Put(_ context.Context, r kinesisout.Record) error {
	h, err := record.Parse(r.Data)
	if err != nil {
		f.t.Fatalf("record %s: %v", r.Data, err)
	}
	if h.RecordType == "data" {
		_, rest, _ := bytes.Cut(r.Data, []byte(`"version":`))
		end := bytes.IndexAny(rest, "},")
		version, err := strconv.Atoi(string(rest[:end]))
		if err != nil {
			f.t.Fatalf("record %s: %v", r.Data, err)
		}
		f.records = append(f.records, sent{h.Operation, string(r.Key), version})
	}
	if !f.slow || h.StreamPosition != "" {
		r.Ack.Acked(r.Seq)
		return nil
	}
	if h.Sequence == 0 || h.Sequence != r.Seq {
		f.t.Errorf("a record with the number %d is acknowledged by %d", h.Sequence, r.Seq)
	}
	r.Data, r.Key = nil, nil
	f.open = append(f.open, r)
	if lowest := slices.MinFunc(f.open, func(a, b kinesisout.Record) int { return cmp.Compare(a.Seq, b.Seq) }); r.Seq-lowest.Seq >= f.span {
		f.t.Errorf("%d is sent while %d is not acknowledged", r.Seq, lowest.Seq)
	}
	return nil
}

// acknowledge acknowledges one of what is open.
func (f *fakeStream) acknowledge(i int) {
	r := f.open[i]
	f.open = slices.Delete(f.open, i, i+1)
	r.Ack.Acked(r.Seq)
}

var versioned = &schema.Table{
	Schema: "shop", Name: "ticket", Key: []int{0}, KeyKind: schema.PrimaryKey,
	Columns: []schema.Column{{Name: "id", Type: schema.Int, ColumnType: "int"}, {Name: "version", Type: schema.Int, ColumnType: "int"}},
}

// simulation is a source whose commits become visible to SELECT some time after they stand in the binlog, a stream
// that follows the binlog, and a loader. A key's version counts its changes.
type simulation struct {
	r       *rand.Rand
	e       *emitter
	out     *fakeStream
	layout  *schema.TextLayout
	log     []int // the key that each transaction changes
	version []int // and to which version
	visible int   // transactions that a SELECT sees
	emitted int   // transactions that the stream has emitted

	forgetful *window // forgets notes all the time
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	t.Helper()
	layout, err := schema.NewTextLayout(versioned, schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := &fakeStream{t: t}
	e := &emitter{
		out: out, records: record.DefaultOptions("sim"), progress: newProgress(nil), metrics: newReplicateMetrics(nil),
		log: slog.New(slog.DiscardHandler), started: time.Now(), streams: true, reached: func() {}, rules: inSchema(t, "shop"), term: 1, epoch: 1,
		tracker: checkpoint.NewTracker[boundary, changeAt](1<<10, boundary{}, foldBoundary(source.MySQL)),
		plans:   make(map[schema.Codec]*record.Plan), windows: make(map[tableID]*window),
		at:        source.Position{File: "bin.000001", Offset: 0},
		oversized: newOversizer(OversizedConfig{}, "sim", newReplicateMetrics(nil), nil, slog.New(slog.DiscardHandler)),
	}
	s := &simulation{r: rand.New(rand.NewPCG(seed, 3)), e: e, out: out, layout: layout}
	if seed%2 == 0 {
		s.slow(1 + s.r.Uint64N(3))
	}
	keys, next := 1+s.r.IntN(12), map[int]int{}
	for range 20 + s.r.IntN(120) {
		k := s.r.IntN(keys)
		next[k]++
		s.log, s.version = append(s.log, k), append(s.version, next[k])
	}
	return s
}

// slow makes the stream one that does not acknowledge loads at once, and lets few of them be on their way.
func (s *simulation) slow(span uint64) {
	s.out.slow, s.out.span = true, span
	s.e.numbers, s.e.starved = checkpoint.NewNumbers(span), make(chan struct{}, 1)
}

// acknowledge acknowledges one load, and feeds what waited for its number. It says false if there is nothing to be done.
func (s *simulation) acknowledge(t *testing.T) bool {
	t.Helper()
	if len(s.out.open) == 0 {
		return false
	}
	s.out.acknowledge(s.r.IntN(len(s.out.open)))
	select {
	case <-s.e.starved:
		s.e.mu.Lock()
		defer s.e.mu.Unlock()
		must(t, s.e.emitAllChunks(t.Context()))
	default:
	}
	return true
}

// state is the table after the first n transactions.
func (s *simulation) state(n int) map[int]int {
	rows := map[int]int{}
	for i := range n {
		rows[s.log[i]] = s.version[i]
	}
	return rows
}

// follow lets the stream emit the next transaction.
func (s *simulation) follow(t *testing.T) {
	t.Helper()
	ctx, i := t.Context(), s.emitted
	offset := uint64(i) * 100
	must(t, s.e.Begin(ctx, &record.Transaction{ID: 1<<32 | offset, CommitTime: time.Now()}))
	s.e.mu.Lock()
	plan, err := s.e.plan(versioned, s.layout)
	must(t, err)
	c := &change{plan: plan, table: versioned, window: s.e.windows[tableID{"shop", "ticket"}], moment: s.e.now()}
	c.stamp = record.Stamp{Time: time.Now(), Tx: &s.e.tx.tx, Term: 1, Epoch: 1}
	c.at = changeAt{Place: record.Place{File: "bin.000001", TableMapStart: offset + 10, EventStart: offset + 20, EventEnd: offset + 90}}
	err = s.e.emit(ctx, c, record.Update, [][]byte{fmt.Append(nil, s.log[i]), fmt.Append(nil, s.version[i])}, nil)
	s.e.mu.Unlock()
	must(t, err)
	must(t, s.e.Commit(ctx, binlog.Boundary{File: "bin.000001", Offset: offset + 100, Time: time.Now()}))
	s.emitted++
	if s.forgetful != nil {
		s.forgetful.pruneAt = 1 + s.r.IntN(8)
	}
}

// step lets time pass somewhere.
func (s *simulation) step(t *testing.T) {
	t.Helper()
	switch s.r.IntN(4) {
	case 0:
		s.acknowledge(t)
	case 1:
		if s.emitted < len(s.log) {
			s.follow(t)
		}
	default:
		// Commits become visible in order, and lag behind or run ahead of the stream.
		s.visible = min(len(s.log), s.visible+s.r.IntN(3))
	}
}

// reading is a chunk of one range between its mark and its delivery.
type reading struct {
	mark     snapshot.Mark
	from, to int
	chunk    *snapshot.Chunk
}

// begin marks and reads a range's next chunk as the loader does: the keys from and up to, not including, to. Without
// waiting it may miss what the stream has emitted already.
func (s *simulation) begin(t *testing.T, w snapshot.Window, number, from, to int, last, wait bool) *reading {
	t.Helper()
	r := &reading{from: from, to: to}
	var emitted source.Position
	r.mark, emitted = w.Mark(w.Now())
	for range s.r.IntN(4) {
		s.step(t)
	}
	if s.r.IntN(8) == 0 { // the connection is lost
		w.Forget(r.mark)
		r.mark, emitted = w.Mark(w.Now())
	}
	if wait {
		s.visible = max(s.visible, int(emitted.Offset/100))
	}
	r.chunk = &snapshot.Chunk{Table: versioned, Layout: s.layout, Range: number, To: snapshot.Bound{strconv.Itoa(to)}, Last: last}
	seen := s.visible
	for k := range 13 {
		if v, ok := s.state(seen)[k]; ok && k >= from && k < to {
			r.chunk.Add([][]byte{fmt.Append(nil, k), fmt.Append(nil, v)})
		}
	}
	for range s.r.IntN(4) {
		s.step(t)
	}
	r.chunk.High = source.Position{File: "bin.000001", Offset: uint64(max(seen, s.visible)) * 100}
	return r
}

// rangeAt is how far a range of the simulation is.
type rangeAt struct {
	number, next, end int
	reading           *reading
	pending           <-chan error
}

// faults runs one schedule and counts what is wrong with the stream that it makes. Chunks of several ranges are read at
// the same time, and notes are forgotten as early as they may be.
func faults(t *testing.T, seed uint64, wait bool) (backwards, wrong int) {
	s := newSimulation(t, seed)
	w, err := s.e.Open("shop", "ticket", 0)
	must(t, err)
	s.visible = s.r.IntN(len(s.log))
	s.emitted = s.r.IntN(s.visible + 1) // the stream begins at a visible position
	s.e.at.Offset = uint64(s.emitted) * 100
	s.forgetful = w.(*window)
	var through []<-chan error
	ranges := []*rangeAt{{number: w.Restart(), end: 13}}
	for len(ranges) > 0 {
		i := s.r.IntN(len(ranges))
		r := ranges[i]
		if r.reading == nil {
			if r.end-r.next > 2 && s.r.IntN(3) == 0 {
				mid := r.next + 1 + s.r.IntN(r.end-r.next-1)
				ranges = append(ranges, &rangeAt{number: w.Split(r.number, snapshot.Bound{strconv.Itoa(mid)}, nil), next: mid, end: r.end})
				r.end = mid
			}
			to := min(r.end, r.next+1+s.r.IntN(4))
			r.reading = s.begin(t, w, r.number, r.next, to, to == r.end, wait)
			continue
		}
		if s.emitted < len(s.log) && s.r.IntN(2) == 0 {
			s.step(t)
			continue
		}
		if r.pending != nil {
			s.answered(t, r.pending)
		}
		r.pending = w.Deliver(t.Context(), r.reading.mark, r.reading.chunk)
		r.next, r.reading = r.reading.to, nil
		if r.next == r.end {
			through = append(through, r.pending)
			ranges = slices.Delete(ranges, i, i+1)
		}
	}
	for _, pending := range through {
		s.answered(t, pending)
	}
	for s.emitted < len(s.log) {
		s.follow(t)
	}
	for s.acknowledge(t) {
	}
	if got := s.e.progress.table(tableID{"shop", "ticket"}, "").snapshot(); got.State != StateCompleted {
		t.Fatalf("seed %d: everything is acknowledged, and the table is %+v", seed, got)
	}
	w.Close()
	newest := map[string]int{}
	for _, r := range s.out.records {
		if r.version < newest[r.key] {
			backwards++
		}
		newest[r.key] = r.version
	}
	for k, v := range s.state(len(s.log)) {
		if newest[strconv.Itoa(k)] != v {
			wrong++
		}
	}
	return backwards, wrong
}

// answered lets the stream run until a chunk is through.
func (s *simulation) answered(t *testing.T, pending <-chan error) {
	t.Helper()
	for {
		select {
		case err := <-pending:
			must(t, err)
			return
		default:
		}
		if s.acknowledge(t) && s.r.IntN(2) == 0 {
			continue
		}
		if s.emitted < len(s.log) {
			s.follow(t)
		} else if len(s.out.open) == 0 {
			t.Fatal("a chunk was never emitted")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLoadsNeverUndoChanges runs random schedules of commits, visibility, stream and chunks.
func TestLoadsNeverUndoChanges(t *testing.T) {
	for seed := range uint64(2000) {
		if backwards, wrong := faults(t, seed, true); backwards+wrong > 0 {
			t.Fatalf("seed %d: keys went backwards %d times, %d rows are wrong at the end", seed, backwards, wrong)
		}
	}
}

// TestWithoutTheVisibilityWaitLoadsWouldUndoChanges shows that the test above can fail.
func TestWithoutTheVisibilityWaitLoadsWouldUndoChanges(t *testing.T) {
	bad := 0
	for seed := range uint64(2000) {
		if backwards, wrong := faults(t, seed, false); backwards+wrong > 0 {
			bad++
		}
	}
	if bad == 0 {
		t.Error("no schedule failed without the wait: the simulation does not provoke the fault")
	}
	t.Logf("%d of 2000 schedules fail without the wait", bad)
}

func TestAChunkReadBeforeADefinitionChangeIsVoid(t *testing.T) {
	s := newSimulation(t, 1)
	w, err := s.e.Open("shop", "ticket", 0)
	must(t, err)
	mark, _ := w.Mark(w.Now())
	must(t, s.e.Schema(t.Context(), binlog.SchemaChange{Kind: binlog.Altered, Schema: "shop", Name: "ticket"}))
	c := &snapshot.Chunk{Table: versioned, Layout: s.layout}
	if err := <-w.Deliver(t.Context(), mark, c); err != snapshot.ErrVoid {
		t.Errorf("err = %v, want ErrVoid", err)
	}
	mark, _ = w.Mark(w.Now())
	c = &snapshot.Chunk{Table: versioned, Layout: s.layout, High: source.Position{File: "bin.000001", Offset: 1 << 30}}
	done := w.Deliver(t.Context(), mark, c)
	must(t, s.e.Schema(t.Context(), binlog.SchemaChange{Kind: binlog.Renamed, Schema: "shop", Name: "other", NewSchema: "shop", NewName: "ticket"}))
	if err := <-done; err != snapshot.ErrVoid {
		t.Errorf("a chunk that waited: err = %v, want ErrVoid", err)
	}
}

// TestAClosedWindowGivesItsChunksUp closes a window while a chunk waits and another one is read, as the first reader does that
// finds the table gone: the other readers must neither wait for ever nor read the chunk again for ever.
func TestAClosedWindowGivesItsChunksUp(t *testing.T) {
	s := newSimulation(t, 1)
	w, err := s.e.Open("shop", "ticket", 0)
	must(t, err)
	chunk := func() *snapshot.Chunk {
		return &snapshot.Chunk{Table: versioned, Layout: s.layout, High: source.Position{File: "bin.000001", Offset: 1 << 30}}
	}
	mark, _ := w.Mark(w.Now())
	waiting := w.Deliver(t.Context(), mark, chunk())
	late, _ := w.Mark(w.Now())
	w.Close()
	w.Close()
	for what, done := range map[string]<-chan error{"waits": waiting, "comes late": w.Deliver(t.Context(), late, chunk())} {
		select {
		case err := <-done:
			if !errors.Is(err, snapshot.ErrGivenUp) {
				t.Errorf("a chunk that %s: err = %v, want ErrGivenUp", what, err)
			}
		default:
			t.Errorf("a chunk that %s gets no answer", what)
		}
	}
}

// TestALoadThatWasGivenUpSaysNothingMore lets a load meet its end, and then begin, behind a request for another one: neither may
// suspend the table, nor tell readers to throw its rows away.
func TestALoadThatWasGivenUpSaysNothingMore(t *testing.T) {
	s := newSimulation(t, 1)
	s.e.policy, s.e.suspended = StopTask, map[tableID]bool{}
	w, err := s.e.Open("shop", "ticket", 0)
	must(t, err)
	s.e.mu.Lock()
	s.e.reload(tableID{"shop", "ticket"}, &announcement{})
	s.e.mu.Unlock()
	if err := w.Fail(errors.New("no SELECT privilege")); err != nil {
		t.Errorf("Fail = %v", err)
	}
	w.Restart()
	keyless := *versioned
	keyless.Key, keyless.KeyKind = nil, schema.NoKey
	if err := w.Begin(t.Context(), &keyless); !errors.Is(err, snapshot.ErrGivenUp) { // there is no barrier to announce it by
		t.Errorf("Begin = %v, want ErrGivenUp", err)
	}
	w.Close()
	if got := s.e.progress.table(tableID{"shop", "ticket"}, "").snapshot().State; got != StateReloading || len(s.e.dueLoads) != 1 {
		t.Errorf("the table is in state %q, and loads of %v are due", got, s.e.dueLoads)
	}
}

// TestAnUnfinishedLoadKeepsNoTaskFromStoppingThatLoadsNothing leaves a load in the middle and changes the migration type to cdc.
func TestAnUnfinishedLoadKeepsNoTaskFromStoppingThatLoadsNothing(t *testing.T) {
	s := newSimulation(t, 1)
	s.e.progress.table(tableID{"shop", "ticket"}, StateFullLoad)
	s.e.stop = stopRule{after: time.Now().Add(-time.Hour)}
	late := &record.Transaction{ID: 1, CommitTime: time.Now()}
	s.e.reloads = true
	must(t, s.e.Begin(t.Context(), late))
	s.e.reloads = false
	if err := s.e.Begin(t.Context(), late); !errors.Is(err, errStopPosition) {
		t.Errorf("err = %v, want the stop position", err)
	}
}

// TestNotesWithinTheGuardCount reads a chunk where the server does not tell what is visible: a change that was emitted before the
// mark, but not long before, may be missing from the chunk.
func TestNotesWithinTheGuardCount(t *testing.T) {
	for guard, want := range map[time.Duration]int{time.Hour: 1, 0: 2} {
		s := newSimulation(t, 1)
		w, err := s.e.Open("shop", "ticket", guard)
		must(t, err)
		number := w.Restart()
		s.follow(t)
		before := len(s.out.records)
		mark, _ := w.Mark(w.Now())
		c := &snapshot.Chunk{Table: versioned, Layout: s.layout, Range: number, High: source.Position{File: "bin.000001", Offset: 1}, Last: true}
		c.Add([][]byte{fmt.Append(nil, s.log[0]), []byte("0")})
		c.Add([][]byte{[]byte("4711"), []byte("0")})
		must(t, <-w.Deliver(t.Context(), mark, c))
		if got := s.out.records[before:]; len(got) != want {
			t.Errorf("with a guard of %v these rows are sent: %v", guard, got)
		}
	}
}
