package verify

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin/kinesistest"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink/stored"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// line is a record of a made-up history.
type line struct {
	seq  int
	text string
	key  string // "" of control records
	live bool
}

// lane is a shard of it: the keys whose hashes lie in its range.
type lane struct {
	id       string
	low, end uint32 // end is not in it
	parents  []string
	lines    []line
	closed   bool
}

// history is a stream that a writer made, and what the table is in the end.
type history struct {
	r      *rand.Rand
	lanes  []*lane
	rows   map[string]string // data, by key
	seq    int
	place  int
	number int
	clock  time.Time
	stream *kinesistest.Stream // that it is written to as well; may be nil
}

func newHistory(seed uint64) *history {
	h := &history{r: rand.New(rand.NewPCG(seed, 7)), rows: map[string]string{}, clock: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	h.open(0, 1<<15)
	h.open(1<<15, 1<<16)
	h.control("create-table")
	h.goOn(300)
	return h
}

// goOn lets something happen n times.
func (h *history) goOn(n int) {
	for range n {
		switch n := h.r.IntN(60); {
		case n == 0:
			h.control("drop-table")
			clear(h.rows)
			h.control("create-table")
			for i := range 20 {
				h.change(fmt.Sprint(i), "load")
			}
		case n < 3:
			h.split()
		case n < 5:
			h.merge()
		default:
			h.step()
		}
	}
}

func (h *history) open(low, end uint32, parents ...string) {
	h.lanes = append(h.lanes, &lane{id: fmt.Sprintf("shardId-%012d", len(h.lanes)), low: low, end: end, parents: parents})
}

func (h *history) split() {
	l := h.pick()
	if l.end-l.low < 4 || len(h.lanes) > 12 {
		return
	}
	l.closed = true
	if h.stream != nil {
		h.stream.Split(l.id)
	}
	middle := l.low + 1 + uint32(h.r.IntN(int(l.end-l.low-1)))
	h.open(l.low, middle, l.id)
	h.open(middle, l.end, l.id)
}

func (h *history) merge() {
	a := h.pick()
	for _, b := range h.lanes {
		if !b.closed && b.low == a.end {
			a.closed, b.closed = true, true
			if h.stream != nil {
				h.stream.Merge(a.id, b.id)
			}
			h.open(a.low, b.end, a.id, b.id)
			return
		}
	}
}

func (h *history) pick() *lane {
	open := slices.DeleteFunc(slices.Clone(h.lanes), func(l *lane) bool { return l.closed })
	return open[h.r.IntN(len(open))]
}

func (h *history) step() {
	key := fmt.Sprint(h.r.IntN(40))
	switch _, there := h.rows[key]; {
	case !there:
		h.change(key, "insert")
	case h.r.IntN(4) == 0:
		h.change(key, "delete")
	default:
		h.change(key, "update")
	}
}

func (h *history) of(key string) *lane {
	f := fnv.New32a()
	f.Write([]byte(key))
	sum := f.Sum32() & 0xffff
	for _, l := range h.lanes {
		if !l.closed && l.low <= sum && sum < l.end {
			return l
		}
	}
	panic("no shard has the key")
}

func (h *history) change(key, operation string) {
	h.place++
	data := fmt.Sprintf(`{"id":%s,"v":"version %d"}`, key, h.place)
	if operation == "delete" {
		delete(h.rows, key)
	} else {
		h.rows[key] = data
	}
	h.put(h.of(key), line{text: h.record(operation, data), key: key, live: operation != "delete"})
}

func (h *history) record(operation, data string) string {
	mark := fmt.Sprintf(`"transaction-id":%d,"stream-position":"b.000001:%d:0:%d:%d:b.000001:%d","writer-term":1,"source-epoch":1`,
		1<<32+h.place*10, h.place*10, h.place*10+5, 1<<32+h.place*10, h.place*10)
	if operation == "load" {
		h.number++
		mark = fmt.Sprintf(`"writer-term":1,"source-epoch":1,"writer-sequence":%d`, h.number)
	}
	h.clock = h.clock.Add(time.Millisecond)
	return fmt.Sprintf(`{"data":%s,"metadata":{"timestamp":"%s","record-type":"data","operation":%q,"partition-key-type":"primary-key","schema-name":"a","table-name":"t",%s}}`,
		data, h.clock.Format("2006-01-02T15:04:05.000000Z"), operation, mark)
}

// control puts a record into every open shard.
func (h *history) control(operation string) {
	h.number++
	h.clock = h.clock.Add(time.Millisecond)
	text := fmt.Sprintf(`{"metadata":{"timestamp":"%s","record-type":"control","operation":%q,"partition-key-type":"task-id","schema-name":"a","table-name":"t","writer-term":1,"source-epoch":1,"writer-sequence":%d}}`,
		h.clock.Format("2006-01-02T15:04:05.000000Z"), operation, h.number)
	for _, l := range h.lanes {
		if !l.closed {
			h.put(l, line{text: text})
		}
	}
}

func (h *history) put(l *lane, x line) {
	h.seq++
	x.seq = h.seq
	if h.stream != nil {
		x.seq, _ = strconv.Atoi(h.stream.Put(l.id, []byte(x.text)))
	}
	l.lines = append(l.lines, x)
}

// last finds the newest record of a live row.
func (h *history) last() (*lane, int) {
	keys := slices.Sorted(maps.Keys(h.rows))
	key := keys[h.r.IntN(len(keys))]
	for _, l := range slices.Backward(h.lanes) {
		for i, x := range slices.Backward(l.lines) {
			if x.key == key {
				return l, i
			}
		}
	}
	panic("a row without a record")
}

// memory is a store of objects.
type memory map[string]object

type object struct {
	meta     s3sink.Meta
	body     []byte
	modified time.Time
}

func (memory) String() string { return "memory" }

func (m memory) List(_ context.Context, prefix string, fn func(stored.Item) error) error {
	for key, o := range m {
		if strings.HasPrefix(key, prefix) {
			if err := fn(stored.Item{Key: key, Size: int64(len(o.body)), Modified: o.modified}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m memory) Describe(_ context.Context, key string) (s3sink.Meta, error) { return m[key].meta, nil }

func (m memory) Open(_ context.Context, key string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[key].body)), nil
}

// deliver stores the history as objects, in runs of any length.
func (h *history) deliver(t *testing.T, into memory) {
	t.Helper()
	config := s3sink.LayoutConfig{Name: "n", Compression: []s3sink.Compression{s3sink.GZIP, s3sink.ZSTD, s3sink.Snappy}[h.r.IntN(3)], Deduplicate: true}
	if h.r.IntN(2) == 0 {
		config.Partitioned, config.Prefix, config.ErrorOutputPrefix = true, "p/!{partitionKeyFromQuery:operation}/", "e/"
	}
	layout, err := s3sink.NewLayout(config)
	if err != nil {
		t.Fatal(err)
	}
	buf := new(bytes.Buffer)
	for _, l := range h.lanes {
		for rest := l.lines; len(rest) > 0; {
			n := 1 + h.r.IntN(min(len(rest), 30))
			run := s3sink.NewRun(layout, 1, nil)
			for _, x := range rest[:n] {
				run.Add(fmt.Sprint(x.seq), h.clock, []byte(x.text))
			}
			rest = rest[n:]
			chain := s3sink.Chain{Stream: "s", Created: time.Unix(1000, 0), Shard: l.id}
			groups := run.Groups(chain)
			for i := range groups {
				o, err := run.Object(t.Context(), chain, &groups[i], buf)
				if err != nil {
					t.Fatal(err)
				}
				into[o.Key] = object{o.Meta, bytes.Clone(o.Body), time.Unix(2000, 0)}
			}
		}
	}
}

// replayed replays what was delivered. known says whether the stream still tells how its shards belong together.
func (h *history) replayed(t *testing.T, known bool) (rows map[string]string, faults int64) {
	t.Helper()
	objects := memory{}
	h.deliver(t, objects)
	a := &table{id: 1, schema: "a", name: "t", keyNames: []string{"id"}, drops: map[uint32]drop{}}
	v := &verification{
		cfg: Config{
			Objects: objects, Prefixes: []string{""}, Deduplicated: func(int) bool { return true }, Deduplicate: true, WorkDir: t.TempDir(),
			Stored: func(context.Context, kinesisin.Description, string) (string, bool, error) {
				return "9999999", true, nil
			},
		}.withDefaults(),
		listed: map[string]kinesisin.Shard{}, tables: []*table{a},
		stream: kinesisin.Description{Name: "s", Created: time.Unix(1000, 0)},
		replay: &replay{tables: map[tableName]*table{{"a", "t"}: a}, shards: map[shardName]*shard{}},
	}
	if known {
		for _, l := range h.lanes {
			v.listed[l.id] = kinesisin.Shard{ID: l.id, Parents: l.parents, Closed: l.closed}
		}
	}
	var err error
	if v.db, err = openDB(v.cfg.WorkDir, 8<<20); err != nil {
		t.Fatal(err)
	}
	defer v.db.close()
	v.replay.db = v.db
	sum, err := v.index(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := v.replayObjects(t.Context(), sum); err != nil {
		t.Fatal(err)
	}
	if !a.created {
		t.Error("the record that announces the table was not seen")
	}
	return v.rowsOf(t, a), v.replay.total.Count
}

// rowsOf are the rows that the replay holds.
func (v *verification) rowsOf(t *testing.T, a *table) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for i := range 40 {
		data, _, err := v.replay.at(a, []byte(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if data != nil {
			rows[fmt.Sprint(i)] = string(data)
		}
	}
	return rows
}

const histories = 16

// TestReplayIsTheTable replays histories with loads, drops, splits, merges, compressions and partitions.
func TestReplayIsTheTable(t *testing.T) {
	for seed := range uint64(histories) {
		h := newHistory(seed)
		rows, faults := h.replayed(t, seed%2 == 0)
		if !maps.Equal(rows, h.rows) || faults != 0 {
			t.Fatalf("history %d with %d shards: the replay has %v, %d faults; the table has %v", seed, len(h.lanes), rows, faults, h.rows)
		}
	}
}

// TestReplayFindsOneFault: one record is changed by a byte, lost, stored twice, or stored again after later ones.
func TestReplayFindsOneFault(t *testing.T) {
	faults := map[string]func(h *history, l *lane, i int){
		"changed": func(_ *history, l *lane, i int) {
			l.lines[i].text = strings.Replace(l.lines[i].text, "version", "verSion", 1)
		},
		"lost":    func(_ *history, l *lane, i int) { l.lines = slices.Delete(l.lines, i, i+1) },
		"doubled": func(_ *history, l *lane, i int) { l.lines = slices.Insert(l.lines, i, l.lines[i]); h2(l) },
		"stale": func(h *history, l *lane, i int) {
			for j, x := range l.lines[:i] {
				if x.key == l.lines[i].key {
					h.put(l, l.lines[j])
					return
				}
			}
			h.put(l, l.lines[0])
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(histories / 3) {
				h := newHistory(seed)
				l, i := h.last()
				fault(h, l, i)
				rows, found := h.replayed(t, seed%2 == 0)
				if maps.Equal(rows, h.rows) && found == 0 {
					t.Fatalf("history %d: a record that was %s is not found", seed, name)
				}
			}
		})
	}
}

// h2 gives the records of a lane numbers that grow: the second copy is a record of its own.
func h2(l *lane) {
	for i := range l.lines {
		l.lines[i].seq = l.lines[0].seq*1000 + i
	}
}
