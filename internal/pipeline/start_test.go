package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint/checkpointtest"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// tail reads the changes of one database with all of Replicate but the stream writer: records are acknowledged at
// once, unless acks says otherwise, and kept.
type tail struct {
	t     *testing.T
	db    *testservers.MySQLServer
	name  string
	port  uint16 // where the source is reached
	store checkpoint.Store
	after func(s *session) // called behind every record
	wrap  func(s *session) binlog.Handler
	got   []tailed
	s     *session
}

// tailed is a record without what differs from run to run.
type tailed struct {
	text   string
	header record.Header
}

var tails atomic.Uint32 // numbers their server ids

func newTail(t *testing.T, db *testservers.MySQLServer, name string) *tail {
	return &tail{t: t, db: db, name: name, port: db.Port16(), store: checkpointtest.NewMemory()}
}

func (l *tail) config() ReplicateConfig {
	b := bench{t: l.t, db: l.db, name: l.name}
	cfg := b.config(CDC)
	cfg.Store, cfg.Source.Port, cfg.Registerer = l.store, l.port, nil
	cfg.ServerID = tails.Add(1) // the server does not have to end the dump of the one before first
	return cfg
}

// Takes implements putter.
func (l *tail) Takes(context.Context, int) error { return nil }

// Put implements putter.
func (l *tail) Put(_ context.Context, r kinesisout.Record) error {
	h, err := record.Parse(r.Data)
	must(l.t, err)
	var doc map[string]any
	must(l.t, json.Unmarshal(r.Data, &doc))
	if meta, ok := doc["metadata"].(map[string]any); ok {
		delete(meta, "timestamp")
		delete(meta, "writer-term")
	}
	text, err := json.Marshal(doc)
	must(l.t, err)
	if h.RecordType == "data" {
		l.got = append(l.got, tailed{string(text), h})
	}
	r.Ack.Acked(r.Seq)
	if l.after != nil {
		l.after(l.s)
	}
	return nil
}

// Flush implements barrier: everything is acknowledged at once.
func (l *tail) Flush(context.Context) error { return nil }

// EachShard implements barrier.
func (l *tail) EachShard(ctx context.Context, _ string, data func(context.Context) ([]byte, error)) error {
	_, err := data(ctx)
	return err
}

// read reads from what is saved, or from the configured start, up to end.
func (l *tail) read(cfg ReplicateConfig, end source.Position) error {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 3*time.Minute)
	defer cancel()
	r := NewReplicate(cfg)
	s, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	l.s, l.got = s, nil
	s.emitter.out, s.emitter.barrier = l, l
	s.emitter.stop.end = end
	if l.wrap != nil {
		s.handler = l.wrap(s)
	}
	s.saver.started.Store(true) // no control records
	err = ended(r.read(ctx, s))
	if ctx.Err() != nil {
		l.t.Fatalf("%d records, and then nothing", len(l.got))
	}
	return err
}

func (l *tail) connect() (*client.Conn, source.Server) {
	l.t.Helper()
	conn, server, err := NewReplicate(l.config()).connect(l.t.Context())
	must(l.t, err)
	return conn, server
}

// end is where the log ends now.
func (l *tail) end() source.Position {
	l.t.Helper()
	conn, server := l.connect()
	defer source.Close(conn)
	pos, err := source.CurrentPosition(l.t.Context(), conn, server)
	must(l.t, err)
	set, err := binlog.ParseGTIDSet(server.Flavor, pos.GTIDSet)
	must(l.t, err)
	pos.GTIDSet = set.String() // in the order that we give it
	return pos
}

func texts(list []tailed) []string {
	out := make([]string, len(list))
	for i, r := range list {
		out[i] = r.text
	}
	return out
}

// short is a record for messages.
func short(r tailed) string {
	var doc struct{ Data map[string]any }
	_ = json.Unmarshal([]byte(r.text), &doc) // it was made by json.Marshal
	return fmt.Sprint(r.header.Operation, " ", r.header.Table, " ", doc.Data["id"], " ", r.header.StreamPosition)
}

func shorts(list []tailed) string {
	out := make([]string, len(list))
	for i, r := range list {
		out[i] = short(r)
	}
	return strings.Join(out, "\n")
}

// same compares records with those that are due. Epochs differ from start to start.
func (l *tail) same(what string, got, want []tailed) {
	l.t.Helper()
	strip := func(list []tailed) []string {
		out := texts(list)
		for i := range out {
			var doc map[string]any
			must(l.t, json.Unmarshal([]byte(out[i]), &doc))
			meta, _ := doc["metadata"].(map[string]any)
			for _, key := range []string{"source-epoch", "prev-transaction-id", "prev-transaction-record-id"} {
				delete(meta, key)
			}
			text, err := json.Marshal(doc)
			must(l.t, err)
			out[i] = string(text)
		}
		return out
	}
	if !slices.Equal(strip(got), strip(want)) {
		l.t.Errorf("%s: got\n%s\nwant\n%s", what, shorts(got), shorts(want))
	}
}

// A task that takes over from DMS in the middle of a transaction sends exactly what DMS has not sent.
func TestStartFromDMSCheckpoint(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		name := db.Database(t)
		db.MustExec(t, "USE "+name, "CREATE TABLE ticket (id INT PRIMARY KEY, v VARCHAR(20))", "CREATE TABLE other (id INT PRIMARY KEY)")
		l := newTail(t, db, name)
		start := l.end()
		db.MustExec(t, "USE "+name, "INSERT INTO ticket VALUES (1, 'a')",
			"BEGIN", "INSERT INTO ticket VALUES (2, 'b'), (3, 'c'), (4, 'd')", "UPDATE ticket SET id = 20 WHERE id = 2",
			"UPDATE ticket SET v = 'x' WHERE id > 2", "DELETE FROM ticket WHERE id = 3", "COMMIT",
			"INSERT INTO other VALUES (1)", "FLUSH BINARY LOGS", "DELETE FROM ticket")
		end := l.end()
		cfg := l.config()
		cfg.Start = start.String()[:strings.IndexByte(start.String()+" ", ' ')]
		must(t, l.read(cfg, end))
		all := slices.Clone(l.got)
		if len(all) != 1+3+2+3+1+1+3 {
			t.Fatalf("%d changes:\n%s", len(all), shorts(all))
		}
		for i, r := range all {
			position := r.header.StreamPosition
			if i%2 == 0 { // as newer DMS engines write it
				file, _, _ := strings.Cut(position, ":")
				position = strings.ReplaceAll(position, file, "$"+file[strings.LastIndexByte(file, '.'):])
			}
			rest := i + 1
			for rest < len(all) && all[rest].header.StreamPosition == r.header.StreamPosition {
				rest++ // both halves of a change of key are one row
			}
			l := newTail(t, db, name)
			cfg := l.config()
			cfg.Start = "checkpoint:V1#27#" + position + "#0#0#*#0#93"
			must(t, l.read(cfg, end))
			l.same(cfg.Start, l.got, all[rest:])
			if d := l.s.state.doc; d.Position.GTIDSet == "" || d.Epoch != d.Term {
				t.Errorf("%s: saved %+v", cfg.Start, d)
			}
		}
	})
}

// A task begins with the first transaction of a time, knows its GTIDs, and says what is wrong with others.
func TestStartAtATime(t *testing.T) {
	db := testservers.SharedMySQL(t)
	name := db.Database(t)
	db.MustExec(t, "USE "+name, "CREATE TABLE ticket (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO ticket VALUES (1, 'a')")
	at := db.MustQuery(t, "SELECT UTC_TIMESTAMP(6)")[0][0]
	db.MustExec(t, "USE "+name, "INSERT INTO ticket VALUES (2, 'b')", "FLUSH BINARY LOGS", "INSERT INTO ticket VALUES (3, 'c')")
	l := newTail(t, db, name)
	end := l.end()
	cfg := l.config()
	cfg.Start = strings.Replace(at, " ", "T", 1)
	must(t, l.read(cfg, end))
	if len(l.got) != 2 {
		t.Errorf("from %s: got\n%s", cfg.Start, shorts(l.got))
	}
	if got := l.s.emitter.gtids.String(); got != end.GTIDSet {
		t.Errorf("the set at the end is %s, want %s", got, end.GTIDSet)
	}
	for start, fault := range map[string]string{
		"2001-01-01T00:00:00": "the oldest file, binlog.", "2101-01-01T00:00:00": "has not reached it",
		"0-1-5": "not of this server's kind", "soon": "is not a position", end.File + ":5000000000": "ends at",
	} {
		l := newTail(t, db, name)
		cfg := l.config()
		cfg.Start = start
		if err := l.read(cfg, end); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v, want an error that says %q", start, err, fault)
		}
	}
}

// clock is the source's clock.
func (l *tail) clock() time.Time {
	l.t.Helper()
	conn, _ := l.connect()
	defer source.Close(conn)
	now, err := source.Clock(l.t.Context(), conn)
	must(l.t, err)
	return now
}
