package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// narrow is a stream that takes small records only.
type narrow struct {
	limit int
	got   []string
}

func (n *narrow) Takes(_ context.Context, size int) error {
	if size > n.limit {
		return &kinesisout.OversizedError{Size: size, Limit: n.limit}
	}
	return nil
}

func (n *narrow) Put(ctx context.Context, r kinesisout.Record) error {
	if err := n.Takes(ctx, len(r.Key)+len(r.Data)); err != nil {
		return err
	}
	n.got = append(n.got, string(r.Data))
	return nil
}

var letter = &schema.Table{
	Schema: "shop", Name: "let/ter", Key: []int{0}, KeyKind: schema.PrimaryKey, Columns: []schema.Column{
		{Name: "id", Type: schema.Int, ColumnType: "int"},
		{Name: "body", Type: schema.Text, ColumnType: "longtext", Charset: "utf8mb4", Collation: "utf8mb4_bin", Length: 1<<32 - 1},
		{Name: "note", Type: schema.Text, ColumnType: "text", Charset: "utf8mb4", Collation: "utf8mb4_bin", Length: 1<<16 - 1},
	},
}

// letters is an emitter into a stream of this width, and a change of the table above.
func letters(t *testing.T, out putter, cfg OversizedConfig) (*emitter, *change) {
	t.Helper()
	codec, err := schema.NewTextLayout(letter, schema.Options{})
	must(t, err)
	metrics, log := newReplicateMetrics(nil), slog.New(slog.DiscardHandler)
	e := &emitter{
		out: out, records: record.DefaultOptions("task"), progress: newProgress(nil), metrics: metrics,
		log: log, started: time.Now(), streams: true, reached: func() {}, rules: inSchema(t, "shop"), term: 1, epoch: 1,
		tracker: checkpoint.NewTracker[boundary, changeAt](1<<10, boundary{}, foldBoundary(source.MySQL)),
		plans:   make(map[schema.Codec]*record.Plan), windows: make(map[tableID]*window),
		oversized: newOversizer(cfg, "tickets", metrics, outage.New(log, "storing oversized records"), log),
	}
	plan, err := e.plan(letter, codec)
	must(t, err)
	return e, &change{plan: plan, table: letter, stamp: record.Stamp{Time: time.Now(), Tx: &record.Transaction{}, Place: record.Place{File: "bin.000001"}}}
}

// counted is what the metrics tell of the table.
func (e *emitter) counted(t *testing.T, policy OversizedPolicy) (n float64) {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(e.metrics.large)
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if maps.Equal(labels, map[string]string{"schema": "shop", "table": "let/ter", "policy": string(policy)}) {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

var everyChange = []record.Operation{record.Insert, record.Update, record.Delete}

// A row that no record can hold is refused with its table, key and size before any memory goes into its record.
func TestRowBeyondAnyRecord(t *testing.T) {
	out := &narrow{limit: kinesisout.MaxRequestBytes}
	e, c := letters(t, out, OversizedConfig{})
	const size = kinesisout.MaxRequestBytes + 1
	row := [][]byte{[]byte("4711"), bytes.Repeat([]byte("x"), size), nil}
	for _, op := range everyChange {
		err := e.emit(t.Context(), c, op, row, row)
		big, ok := errors.AsType[*kinesisout.OversizedError](err)
		if !ok || big.Size < size || big.Limit != kinesisout.MaxRequestBytes || !strings.Contains(err.Error(), "shop.let/ter") || !strings.Contains(err.Error(), `"4711"`) {
			t.Errorf("%v: got %v", op, err)
		}
	}
	if cap(e.buf) > 1<<20 {
		t.Errorf("a buffer of %d bytes was made", cap(e.buf))
	}
	if len(out.got) > 0 {
		t.Error("it was put into the stream")
	}
	if n := e.counted(t, OversizedFail); n != 3 {
		t.Errorf("%v records are counted", n)
	}
}

// A record that is refused gets no number: nobody would ever acknowledge it.
func TestRefusedRecordsHaveNoNumber(t *testing.T) {
	e, c := letters(t, &narrow{limit: 1000}, OversizedConfig{})
	if err := e.emit(t.Context(), c, record.Insert, [][]byte{[]byte("1"), bytes.Repeat([]byte("x"), 1000), nil}, nil); err == nil {
		t.Fatal("it was taken")
	}
	if at, waits := e.tracker.OldestUnacked(); waits {
		t.Errorf("a change of %v waits for an acknowledgement", at)
	}
}

// LOBs are cut of records that are too large, and of no others; what is still too large stops the task.
func TestTruncateLOB(t *testing.T) {
	out := &narrow{limit: 2000}
	e, c := letters(t, out, OversizedConfig{Policy: OversizedTruncate, LOBBytes: 100})
	note := bytes.Repeat([]byte("n"), 300)
	for _, body := range []int{500, 5000, kinesisout.MaxRequestBytes + 1} {
		row := [][]byte{[]byte("1"), bytes.Repeat([]byte("x"), body), note}
		must(t, e.emit(t.Context(), c, record.Insert, row, nil))
		want := body
		if body > 500 {
			want = 100
		}
		got := out.got[len(out.got)-1]
		if !json.Valid([]byte(got)) || strings.Count(got, "x") < want || strings.Count(got, "x") > want+10 || strings.Count(got, "n") < 300 {
			t.Errorf("of %d bytes %d are left", body, strings.Count(got, "x"))
		}
	}
	if n := e.counted(t, OversizedTruncate); n != 2 {
		t.Errorf("%v records are counted", n)
	}
	err := e.emit(t.Context(), c, record.Insert, [][]byte{[]byte("1"), []byte("x"), bytes.Repeat([]byte("n"), 2000)}, nil)
	if _, big := errors.AsType[*kinesisout.OversizedError](err); !big || e.counted(t, OversizedFail) != 1 {
		t.Errorf("what is too large without a LOB gives %v", err)
	}
}

// What is spilled is there before the stream refers to it, under the name of its content, as the stream would have had it.
func TestSpill(t *testing.T) {
	dir := t.TempDir()
	out := &narrow{limit: 1000}
	e, c := letters(t, out, OversizedConfig{
		Policy: OversizedSpill, MaxBytes: 20 << 20, Destination: s3sink.NewFile(dir), Location: "file://" + dir + "/",
	})
	for i, size := range []int{2000, 15 << 20} {
		row := [][]byte{[]byte("7"), bytes.Repeat([]byte("x"), size), []byte("note")}
		for _, op := range everyChange {
			c.at.Place = record.Place{File: "bin.000001", EventStart: uint64(100 * (i + 1))}
			must(t, e.emit(t.Context(), c, op, row, row))
			got := out.got[len(out.got)-1]
			at, ok := record.ParseSpilled([]byte(got))
			name, inDir := strings.CutPrefix(at.Location, "file://"+dir+"/")
			if !ok || !inDir || !strings.HasPrefix(name, "tickets/shop/let%2Fter/") {
				t.Fatalf("%v: %s", op, got)
			}
			body, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err)
			sum := sha256.Sum256(body)
			if at.SHA256 != hex.EncodeToString(sum[:]) || at.Bytes != int64(len(body)) || !strings.HasSuffix(name, at.SHA256+".json") {
				t.Errorf("the stream says %+v", at)
			}
			want, err := c.plan.Append(nil, op, row, row, &c.stamp)
			must(t, err)
			if !bytes.Equal(body, want) {
				t.Errorf("%v: %d bytes are stored, and not the %d of the record", op, len(body), len(want))
			}
			if strings.Contains(got, `"note"`) || !strings.Contains(got, `"data":{"id":7}`) {
				t.Errorf("%v: the stream has %s", op, got)
			}
			// Sent again, it is there already.
			must(t, e.emit(t.Context(), c, op, row, row))
		}
	}
	if n := e.counted(t, OversizedSpill); n != 12 {
		t.Errorf("%v records are counted", n)
	}
	err := e.emit(t.Context(), c, record.Insert, [][]byte{[]byte("7"), bytes.Repeat([]byte("x"), 20<<20+1), nil}, nil)
	if big, ok := errors.AsType[*kinesisout.OversizedError](err); !ok || big.Limit != 20<<20 {
		t.Errorf("a record beyond the memory gives %v", err)
	}
}

// awayDestination fails a few times.
type awayDestination struct {
	s3sink.Destination
	fails int
	puts  int
}

func (d *awayDestination) Put(ctx context.Context, _ *s3sink.Object) error {
	if d.puts++; d.puts <= d.fails {
		return errors.New("away")
	}
	return ctx.Err()
}

func TestSpillWaitsForItsDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, dest := &narrow{limit: 1000}, &awayDestination{fails: 20}
		e, c := letters(t, out, OversizedConfig{Policy: OversizedSpill, Destination: dest, Location: "s3://b/"})
		row := [][]byte{[]byte("7"), bytes.Repeat([]byte("x"), 2000), nil}
		must(t, e.emit(t.Context(), c, record.Insert, row, nil))
		if len(out.got) != 1 || dest.puts != 21 {
			t.Errorf("%d records after %d attempts", len(out.got), dest.puts)
		}
		dest.fails = 1 << 30
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := e.emit(ctx, c, record.Insert, row, nil); !errors.Is(err, context.DeadlineExceeded) || len(out.got) != 1 {
			t.Errorf("stopped while the destination is away: %v, %d records", err, len(out.got))
		}
	})
}

func TestSegmentsOfKeys(t *testing.T) {
	for name, want := range map[string]string{"tickets": "tickets", "a/b": "a%2Fb", "..": "%2E.", ".": "%2E", ".x": "%2Ex", "é %": "%C3%A9%20%25"} {
		if got := segment(name); got != want {
			t.Errorf("segment(%q) = %q, want %q", name, got, want)
		}
	}
}

// Whatever is done with a row that is too large, its load and its changes look the same.
func TestOversizedRowsOfLoadAndLog(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		for _, policy := range []OversizedPolicy{OversizedTruncate, OversizedSpill} {
			t.Run(string(policy), func(t *testing.T) { loadAndLog(t, db, policy) })
		}
	})
}

func loadAndLog(t *testing.T, db *testservers.MySQLServer, policy OversizedPolicy) {
	b := newBench(t, db)
	dir := t.TempDir()
	table := "`" + b.name + "`.ticket"
	db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v MEDIUMTEXT CHARACTER SET utf8mb4, l MEDIUMTEXT CHARACTER SET latin1, "+
		"u MEDIUMTEXT CHARACTER SET utf16, bin MEDIUMBLOB, j JSON)", "FLUSH BINARY LOGS")
	l := newTail(t, db, b.name)
	start := l.end()
	db.MustExec(t, "INSERT INTO "+table+" VALUES (1, REPEAT(_utf8mb4'日é\"', 9000), REPEAT(_utf8mb4'äb', 9000), REPEAT(_utf8mb4'ä日', 9000), REPEAT(X'00FF', 9000), "+
		"CONCAT('{\"a\": \"', REPEAT(_utf8mb4'ü', 9000), '\"}'))")
	configure := func(cfg ReplicateConfig) ReplicateConfig {
		cfg.Stream.MaxRecordBytes = 10_000
		cfg.Oversized = OversizedConfig{Policy: policy, LOBBytes: 1001, Destination: s3sink.NewFile(dir), Location: "file://" + dir + "/"}
		return cfg
	}
	b.complete(configure(b.config(FullLoad)))
	store, err := checkpoint.OpenFile(t.TempDir())
	must(t, err)
	cfg := configure(b.config(CDC))
	cfg.Store, cfg.Start, cfg.Once = store, fmt.Sprintf("%s:%d", start.File, start.Offset), true
	b.complete(cfg)

	rows := map[string]map[string]any{}
	for _, shard := range shards {
		for _, data := range b.shard(shard) {
			h, err := record.Parse(data)
			must(t, err)
			if h.RecordType != "data" {
				continue
			}
			if at, ok := record.ParseSpilled(data); ok != (policy == OversizedSpill) {
				t.Errorf("a record of %d bytes refers elsewhere: %t", len(data), ok)
			} else if ok {
				data, err = os.ReadFile(strings.TrimPrefix(at.Location, "file://"))
				must(t, err)
			}
			var doc struct{ Data map[string]any }
			must(t, json.Unmarshal(data, &doc))
			rows[h.Operation] = doc.Data
		}
	}
	load, insert := rows["load"], rows["insert"]
	if len(load) != 6 || !maps.Equal(load, insert) {
		t.Fatalf("loaded %d columns, changed %d, and not the same", len(load), len(insert))
	}
	want := map[string]int{"v": 1001, "l": 1001, "u": 1000, "bin": 2 + 2002, "j": 1001} // whole characters of at most 1001 bytes
	if policy == OversizedSpill {
		want = map[string]int{"v": 9000 * 6, "l": 9000 * 3, "u": 9000 * 5, "bin": 2 + 9000*4, "j": len(`{"a": ""}`) + 9000*2}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got := len(load[name].(string)); got != want[name] {
			t.Errorf("%s has %d bytes, want %d", name, got, want[name])
		}
	}
}
