package binlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// recorder is a Handler that writes down what it is told, one line each, and stops the reader when told to.
type recorder struct {
	lines      []string
	boundaries []at // after every line that is a boundary
	set        *GTIDSet
	tx         *record.Transaction
	places     map[string]bool
	stop       func(r *recorder) bool // asked after every call
	onRows     func(*Rows) error
	onCommit   func(Boundary) // of transactions
	idle       bool           // write down idle boundaries too
	goOn       bool           // without tables that fail
	failures   []*TableError
	t          testing.TB
}

// at is a boundary, and how many lines stood before it.
type at struct {
	pos   source.Position
	lines int
}

var errEnough = errors.New("enough")

func (r *recorder) done() error {
	if r.stop != nil && r.stop(r) {
		return errEnough
	}
	return nil
}

func (r *recorder) Begin(_ context.Context, tx *record.Transaction) error {
	r.tx = tx
	r.lines = append(r.lines, "begin")
	return r.done()
}

func (r *recorder) Rows(_ context.Context, rows *Rows) error {
	for rows.Next() {
		id := fmt.Sprintf("%s:%d:%d:%d", rows.Place.File, rows.Place.EventStart, rows.Place.Row, rows.Op)
		if r.places[id] {
			r.t.Errorf("place %s came twice", id)
		}
		r.places[id] = true
		line := map[record.Operation]string{record.Insert: "insert ", record.Update: "update ", record.Delete: "delete "}[rows.Op]
		if rows.Before != nil {
			line += r.json(rows, rows.Before)
		}
		if rows.Before != nil && rows.After != nil {
			line += " to "
		}
		if rows.After != nil {
			line += r.json(rows, rows.After)
		}
		r.lines = append(r.lines, rows.Table.Name+" "+line)
	}
	if r.onRows != nil {
		if err := r.onRows(rows); err != nil {
			return err
		}
	}
	if rows.Err() != nil {
		return rows.Err()
	}
	return r.done()
}

func (r *recorder) json(rows *Rows, row [][]byte) string {
	var out []byte
	for i, v := range row {
		if i > 0 {
			out = append(out, ' ')
		}
		if v == nil {
			out = append(out, "null"...)
			continue
		}
		var err error
		if out, err = rows.Layout.AppendJSON(out, i, v); err != nil {
			r.t.Errorf("%s.%s: %v", rows.Table.Name, rows.Table.Columns[i].Name, err)
		}
	}
	return string(out)
}

func (r *recorder) Commit(_ context.Context, b Boundary) error {
	if b.Idle && b.GTID != "" {
		r.t.Errorf("idle boundary with GTID %s", b.GTID)
	}
	if r.set != nil {
		if err := r.set.Add(b.GTID); err != nil {
			return err
		}
	}
	if r.onCommit != nil && !b.Idle {
		r.onCommit(b)
	}
	if b.Idle && !r.idle {
		return r.done()
	}
	line := "commit"
	if b.Idle {
		line = "idle"
	}
	r.lines = append(r.lines, line)
	pos := b.Position()
	if r.set != nil {
		pos.GTIDSet = r.set.String()
	}
	r.boundaries = append(r.boundaries, at{pos, len(r.lines)})
	return r.done()
}

func (r *recorder) Schema(_ context.Context, c SchemaChange) error {
	line := fmt.Sprintf("schema %d %s", c.Kind, c.Name)
	if c.NewName != "" {
		line += ">" + c.NewName
	}
	if c.RowsChanged {
		line += " rows changed"
	}
	if c.Kind == Definition {
		var names []string
		for _, col := range c.New.Columns {
			names = append(names, col.Name)
		}
		line += " (" + strings.Join(names, " ") + ")"
		if c.Old != nil {
			line += " changed"
		}
	}
	r.lines = append(r.lines, line)
	return r.done()
}

func (r *recorder) TableFailed(_ context.Context, e *TableError) error {
	if r.goOn {
		r.failures = append(r.failures, e)
		r.lines = append(r.lines, "failed "+e.Name)
		return r.done()
	}
	return e
}

// bench is one database of a server and where its log stood when the test began.
type bench struct {
	t      *testing.T
	server *testservers.MySQLServer
	db     string
	start  source.Position
	info   source.Server
}

func newBench(t *testing.T, s *testservers.MySQLServer, ddl ...string) *bench {
	t.Helper()
	b := &bench{t: t, server: s, db: s.Database(t)}
	b.exec(ddl...)
	conn, err := source.Connect(t.Context(), b.source())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close(conn)
	if b.info, err = source.Describe(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	b.start = b.present()
	return b
}

func (b *bench) source() source.Config {
	return source.Config{Host: "127.0.0.1", Port: b.server.Port16(), User: "root"}
}

// exec runs statements on one connection, in the test's database.
func (b *bench) exec(statements ...string) {
	b.t.Helper()
	b.server.MustExec(b.t, append([]string{"SET NAMES utf8mb4", "USE " + b.db}, statements...)...)
}

func (b *bench) config() Config {
	return Config{
		Source: b.source(), ServerID: 4711, Heartbeat: 100 * time.Millisecond,
		Selected: func(schema, table string) bool { return schema == b.db && !strings.HasPrefix(table, "other") },
	}
}

// present is where the log ends now, its GTID set in the order that we give it.
func (b *bench) present() source.Position {
	b.t.Helper()
	pos := b.end()
	if pos.GTIDSet != "" {
		set, err := ParseGTIDSet(b.info.Flavor, pos.GTIDSet)
		if err != nil {
			b.t.Fatal(err)
		}
		pos.GTIDSet = set.String()
	}
	return pos
}

// nextSecond waits until the server's clock, of which some servers log whole seconds only, shows another one.
func (b *bench) nextSecond() {
	b.t.Helper()
	conn, err := source.Connect(b.t.Context(), b.source())
	if err != nil {
		b.t.Fatal(err)
	}
	defer source.Close(conn)
	for first := int64(0); ; time.Sleep(20 * time.Millisecond) {
		now, err := source.Clock(b.t.Context(), conn)
		if err != nil {
			b.t.Fatal(err)
		}
		if first == 0 {
			first = now.Unix()
		}
		if now.Unix() > first {
			return
		}
	}
}

func (b *bench) recorder(from source.Position) *recorder {
	r := &recorder{t: b.t, places: map[string]bool{}}
	if from.GTIDSet != "" {
		set, err := ParseGTIDSet(b.info.Flavor, from.GTIDSet)
		if err != nil {
			b.t.Fatal(err)
		}
		r.set = set
	}
	return r
}

// read reads from a position up to the present end of the log, or until the recorder has enough.
func (b *bench) read(from source.Position, r *recorder, change ...func(*Config)) error {
	b.t.Helper()
	conn, err := source.Connect(b.t.Context(), b.source())
	if err != nil {
		b.t.Fatal(err)
	}
	end, err := source.CurrentPosition(b.t.Context(), conn, b.info)
	source.Close(conn)
	if err != nil {
		b.t.Fatal(err)
	}
	cfg := b.config()
	cfg.Handler = untilEndOf{r, end}
	for _, fn := range change {
		fn(&cfg)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), 3*time.Minute)
	defer cancel()
	err = New(cfg).Run(ctx, from)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (b *bench) want(r *recorder, err error, lines ...string) {
	b.t.Helper()
	if err != nil {
		b.t.Errorf("Run: %v", err)
	}
	if got, want := strings.Join(r.lines, "\n"), strings.Join(lines, "\n"); got != want {
		b.t.Errorf("got\n%s\n\nwant\n%s", got, want)
	}
}

// common are the tests that every kind of server has to pass.
var common = map[string]func(t *testing.T, s *testservers.MySQLServer){
	"changes":            testChanges,
	"resume":             testResume,
	"killed connection":  testKilledConnection,
	"same server id":     testSameServerID,
	"refusal and cancel": testRefusalAndCancel,
	"places":             testPlaces,
	"DDL":                testDDL,
	"DDL afterwards":     testDDLAfterwards,
	"definitions":        testDefinitionsOverTime,
	"XA in one phase":    testXAOnePhase,
	"XA prepared":        testXAPrepared,
	"compressed":         testCompressed,
	"no full image":      testPartialImage,
	"idle":               testIdle,
	"create select":      testCreateSelect,
	"labels":             testLabels,
	"locate":             testLocate,
	"large row":          testLargeRow,
	"back-pressure":      testBackPressure,
	"account trouble":    testAccountTrouble,
	"oddities":           testOddities,
	"load data":          testLoadData,
	"checksums":          testChecksums,
	"incident":           testIncident,
	"mixed savepoint":    testMixedSavepoint,
	"not logged":         testNotLogged,
	"group commit":       testGroupCommit,
}

func runCommon(t *testing.T, s *testservers.MySQLServer) {
	for _, name := range slices.Sorted(maps.Keys(common)) {
		t.Run(name, func(t *testing.T) { common[name](t, s) })
	}
}

func TestMySQL(t *testing.T)            { runCommon(t, testservers.SharedMySQL(t)) }
func TestMySQLWithoutGTID(t *testing.T) { runCommon(t, testservers.MySQL(t, testservers.NoGTID())) }
func TestMariaDB(t *testing.T)          { runCommon(t, testservers.SharedMariaDB(t)) }
func TestNewMariaDB(t *testing.T)       { runCommon(t, testservers.SharedMariaDBNew(t)) }

func testChanges(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))", "CREATE TABLE other (id INT)")
	b.exec(
		"INSERT INTO t VALUES (1, 'a'), (2, NULL)",
		"BEGIN", "UPDATE t SET v = 'b'", "INSERT INTO other VALUES (1)", "DELETE FROM t WHERE id = 1", "COMMIT",
		"INSERT INTO other VALUES (2)",
	)
	r := b.recorder(b.start)
	err := b.read(b.start, r)
	b.want(r, err,
		"schema 6 t (id v)", "begin", `t insert 1 "a"`, `t insert 2 null`, "commit",
		"begin", `t update 1 "a" to 1 "b"`, `t update 2 null to 2 "b"`, `t delete 1 "b"`, "commit",
		"commit",
	)
}
