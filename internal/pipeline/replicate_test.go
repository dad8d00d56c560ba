package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint/checkpointtest"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/localstream"
	"github.com/binlogstreamer/binlogstreamer/internal/mapping"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/requestbody"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// inSchema selects the tables of one schema.
func inSchema(t *testing.T, name string) *mapping.Rules {
	t.Helper()
	rules, err := mapping.Parse(fmt.Appendf(nil, `{"rules":[{"rule-type":"selection","rule-id":"1","rule-name":"1",
		"object-locator":{"schema-name":%q,"table-name":"%%"},"rule-action":"include"}]}`, name))
	must(t, err)
	return rules
}

// bench is a real source, an embedded stream and a checkpoint store.
type bench struct {
	t     *testing.T
	db    *testservers.MySQLServer
	name  string
	store *checkpoint.FileStore
	api   *kinesis.Client
}

func newBench(t *testing.T, db *testservers.MySQLServer) *bench {
	t.Helper()
	store, err := checkpoint.OpenFile(t.TempDir())
	must(t, err)
	node, err := localstream.New(localstream.Config{Dir: t.TempDir(), Stream: "tickets", Shards: 2, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	b := &bench{t: t, db: db, name: db.Database(t), store: store}
	b.background(node.Run)
	http := node.HTTPClient()
	t.Cleanup(http.CloseIdleConnections)
	b.api = kinesis.New(kinesis.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(node.Endpoint()), HTTPClient: http, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("embedded", "embedded", ""),
		APIOptions:  requestbody.Options(),
	})
	return b
}

// background runs f until the returned function, or the test's end, stops it.
func (b *bench) background(f func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	ended := false
	stop = func() error {
		if ended {
			return nil
		}
		ended = true
		cancel()
		return <-done
	}
	b.t.Cleanup(func() {
		if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
			b.t.Error(err)
		}
	})
	return stop
}

func (b *bench) config(m Migration) ReplicateConfig {
	return ReplicateConfig{
		Task: "tickets", Migration: m, ServerID: 4711, Rules: inSchema(b.t, b.name), Deduplicate: true,
		Source:  source.Config{Host: "127.0.0.1", Port: b.db.Port16(), User: "root", TLS: source.TLSDisabled},
		Records: record.DefaultOptions("tickets"), Stream: kinesisout.Config{API: b.api, StreamName: "tickets"},
		Store: b.store, SaveEvery: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}
}

// complete runs a Replicate that ends by itself.
func (b *bench) complete(cfg ReplicateConfig) {
	b.t.Helper()
	ctx, cancel := context.WithTimeoutCause(b.t.Context(), 3*time.Minute, errors.New("it did not end by itself"))
	defer cancel()
	if err := NewReplicate(cfg).Run(ctx); err != nil || ctx.Err() != nil {
		b.t.Fatal(errors.Join(err, context.Cause(ctx)))
	}
}

// summary is a record in short: operation, table, id and value.
type summary struct {
	Operation, Table string
	ID, Value        string
}

// stream is what the stream holds, shard by shard.
func (b *bench) stream() (all []summary, headers []record.Header) {
	b.t.Helper()
	for _, shard := range shards {
		for _, data := range b.shard(shard) {
			h, err := record.Parse(data)
			must(b.t, err)
			all, headers = append(all, summarize(b.t, data)), append(headers, h)
		}
	}
	return all, headers
}

// shards are those of a bench's stream.
var shards = []string{"shardId-000000000000", "shardId-000000000001"}

// shard is all data of one shard.
func (b *bench) shard(id string) (all [][]byte) {
	b.t.Helper()
	it, err := b.api.GetShardIterator(b.t.Context(), &kinesis.GetShardIteratorInput{
		StreamName: aws.String("tickets"), ShardId: aws.String(id), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	must(b.t, err)
	for next := it.ShardIterator; ; {
		out, err := b.api.GetRecords(b.t.Context(), &kinesis.GetRecordsInput{ShardIterator: next})
		must(b.t, err)
		for _, r := range out.Records {
			all = append(all, r.Data)
		}
		if next = out.NextShardIterator; len(out.Records) == 0 {
			return all
		}
	}
}

func summarize(t *testing.T, data []byte) summary {
	t.Helper()
	h, err := record.Parse(data)
	must(t, err)
	var doc struct{ Data map[string]any }
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	must(t, d.Decode(&doc))
	s := summary{Operation: h.Operation, Table: h.Table}
	if doc.Data != nil {
		s.ID, s.Value = fmt.Sprint(doc.Data["id"]), fmt.Sprint(doc.Data["v"])
	}
	return s
}

// awaitStream waits until the stream holds n records of data.
func (b *bench) awaitStream(n int) []summary {
	b.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; {
		all, _ := b.stream()
		data := slices.DeleteFunc(all, func(s summary) bool { return s.ID == "" })
		if len(data) >= n || time.Now().After(deadline) {
			if len(data) != n {
				b.t.Fatalf("%d records of data, want %d: %v", len(data), n, data)
			}
			return data
		}
		time.Sleep(10 * time.Millisecond) // the records come from a server
	}
}

func count(all []summary, want summary) (n int) {
	for _, s := range all {
		if s == want {
			n++
		}
	}
	return n
}

func onBoth(t *testing.T, f func(t *testing.T, db *testservers.MySQLServer)) {
	t.Run("mysql", func(t *testing.T) { f(t, testservers.SharedMySQL(t)) })
	t.Run("mariadb", func(t *testing.T) { f(t, testservers.SharedMariaDB(t)) })
}

func TestReplicateLoadsAndFollows(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		table := "`" + b.name + "`.ticket"
		db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO "+table+" VALUES (1,'a'),(2,'b')")
		r := NewReplicate(b.config(FullLoadAndCDC))
		stop := b.background(r.Run)
		b.awaitStream(2)
		db.MustExec(t, "INSERT INTO "+table+" VALUES (3,'c')", "UPDATE "+table+" SET v = 'B' WHERE id = 2",
			"UPDATE "+table+" SET id = 10 WHERE id = 1", "DELETE FROM "+table+" WHERE id = 3")
		got := b.awaitStream(2 + 5)
		for _, want := range []summary{
			{"load", "ticket", "1", "a"}, {"load", "ticket", "2", "b"}, {"insert", "ticket", "3", "c"}, {"update", "ticket", "2", "B"},
			{"delete", "ticket", "1", "a"}, {"insert", "ticket", "10", "a"}, {"delete", "ticket", "3", "c"},
		} {
			if n := count(got, want); n != 1 {
				t.Errorf("%d× %v in %v", n, want, got)
			}
		}
		if !r.Ready() {
			t.Error("not ready while it works")
		}
		if err := stop(); err != nil {
			t.Errorf("a clean stop: %v", err)
		}

		// A second process goes on where the first one stopped, and sends nothing again.
		db.MustExec(t, "INSERT INTO "+table+" VALUES (4,'d')")
		stop = b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
		if got := b.awaitStream(8); count(got, summary{"insert", "ticket", "4", "d"}) != 1 {
			t.Errorf("after the restart: %v", got)
		}
		must(t, stop())

		all, headers := b.stream()
		terms := map[uint64]bool{}
		for i, h := range headers {
			terms[h.Term] = true
			if h.RecordType == "data" && h.Operation != "load" && (h.TxID == 0 || h.RecordID == 0 || h.StreamPosition == "" || h.Epoch == 0) {
				t.Errorf("change %v lacks transaction details: %+v", all[i], h)
			}
			if h.Term == 0 {
				t.Errorf("record %v carries no term", all[i])
			}
		}
		if len(terms) != 2 {
			t.Errorf("terms %v, want those of two processes", terms)
		}
		if n := count(all, summary{Operation: "drop-table", Table: "ticket"}); n != 1 {
			t.Errorf("%d× drop-table, want once before the load", n)
		}
	})
}

func TestReplicateFullLoadAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		table := "`" + b.name + "`.ticket"
		db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v LONGTEXT)")
		const rows = 40 // of 100 kB: several chunks
		for i := range rows {
			db.MustExec(t, fmt.Sprintf("INSERT INTO %s VALUES (%d, REPEAT('x', 100000))", table, i))
		}
		b.complete(b.config(FullLoad))
		b.awaitStream(rows)
		b.complete(b.config(FullLoad)) // nothing is left to do
		b.awaitStream(rows)
	})
}

func TestReplicateChangesAlone(t *testing.T) {
	db := testservers.SharedMySQL(t)
	b := newBench(t, db)
	table := "`" + b.name + "`.ticket"
	db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO "+table+" VALUES (1,'a')")
	at := db.MustQuery(t, "SHOW BINARY LOG STATUS")[0]
	db.MustExec(t, "INSERT INTO "+table+" VALUES (2,'b')")
	cfg := b.config(CDC)
	cfg.Start = at[0] + ":" + at[1]
	stop := b.background(NewReplicate(cfg).Run)
	got := b.awaitStream(1)
	must(t, stop())
	if got[0] != (summary{"insert", "ticket", "2", "b"}) {
		t.Errorf("got %v", got)
	}
	all, _ := b.stream()
	if n := count(all, summary{Operation: "create-table", Table: "ticket"}); n != 1 {
		t.Errorf("create-table announced %d times, want once", n)
	}
}

func TestReplicateStopsAtItsStopPosition(t *testing.T) {
	db := testservers.SharedMySQL(t)
	b := newBench(t, db)
	table := "`" + b.name + "`.ticket"
	db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(20))")
	at := db.MustQuery(t, "SHOW BINARY LOG STATUS")[0]
	db.MustExec(t, "INSERT INTO "+table+" VALUES (1,'a')")
	cfg := b.config(CDC)
	cfg.Start, cfg.Stop = at[0]+":"+at[1], time.Now().Add(time.Second)
	b.complete(cfg) // an idle source reaches it by its clock
	b.awaitStream(1)
}

// A second process stands by: it takes over when the first one ends, and goes on from what that one saved. One that is to
// end by itself does not wait.
func TestASecondReplicateStandsBy(t *testing.T) {
	db := testservers.SharedMySQL(t)
	b := newBench(t, db)
	table := "`" + b.name + "`.ticket"
	db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO "+table+" VALUES (1,'a')")
	first, second := NewReplicate(b.config(FullLoadAndCDC)), NewReplicate(b.config(FullLoadAndCDC))
	stop := b.background(first.Run)
	b.awaitStream(1)
	stopSecond := b.background(second.Run)

	once := b.config(FullLoadAndCDC)
	once.Once = true
	for _, cfg := range []ReplicateConfig{once, b.config(FullLoad)} {
		err := NewReplicate(cfg).Run(t.Context())
		if locked, ok := errors.AsType[*checkpoint.LockedError](err); !ok || locked.PID == 0 || !locked.RestartHelps() {
			t.Errorf("err = %v, want one that names the process that holds the store, and that passes by itself", err)
		}
	}
	if second.Ready() || !first.Ready() {
		t.Errorf("ready: the active one %v, the one that stands by %v", first.Ready(), second.Ready())
	}
	must(t, stop())
	db.MustExec(t, "INSERT INTO "+table+" VALUES (2,'b')")
	if got := b.awaitStream(2); count(got, summary{"load", "ticket", "1", "a"}) != 1 {
		t.Errorf("after the takeover: %v", got)
	}
	must(t, stopSecond())
}

// robbed is a store whose locks can be taken away.
type robbed struct {
	checkpoint.Store

	locks *checkpointtest.Memory
}

func (s robbed) Lock(ctx context.Context, name string) (checkpoint.Lock, error) {
	return s.locks.Lock(ctx, name)
}

// A process whose lock is lost stops at once, stands by, and takes over again when it can.
func TestLostLock(t *testing.T) {
	db := testservers.SharedMySQL(t)
	b := newBench(t, db)
	table := "`" + b.name + "`.ticket"
	db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO "+table+" VALUES (1,'a')")
	locks := checkpointtest.NewMemory()
	cfg := b.config(FullLoadAndCDC)
	cfg.Store = robbed{b.store, locks}
	r := NewReplicate(cfg)
	stop := b.background(r.Run)
	b.awaitStream(1)
	locks.Rob(replicateDocument)
	other, err := locks.Lock(t.Context(), replicateDocument)
	must(t, err)
	await(t, "the robbed process stands by", func() bool { return !r.Ready() && r.running.Load() == nil })
	db.MustExec(t, "INSERT INTO "+table+" VALUES (2,'b')")
	must(t, other.Release())
	b.awaitStream(2)
	await(t, "the process is ready again", r.Ready)
	must(t, stop())
}

func TestReplicateWithoutGTIDs(t *testing.T) {
	db := testservers.MySQL(t, testservers.NoGTID())
	b := newBench(t, db)
	table := "`" + b.name + "`.ticket"
	db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO "+table+" VALUES (1,'a'),(2,'b')")
	stop := b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
	b.awaitStream(2)
	db.MustExec(t, "UPDATE "+table+" SET v = 'B' WHERE id = 2")
	b.awaitStream(3)
	must(t, stop())
	db.MustExec(t, "UPDATE "+table+" SET v = 'C' WHERE id = 2")
	stop = b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
	if got := b.awaitStream(4); count(got, summary{"update", "ticket", "2", "C"}) != 1 {
		t.Errorf("after the restart: %v", got)
	}
	must(t, stop())
}
