package binlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// Every coordinate that rows carry is where the server says the event stands.
func testPlaces(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE other (id INT)")
	b.exec(
		"BEGIN", "INSERT INTO other VALUES (1)", "INSERT INTO t VALUES (1), (2)", "UPDATE t SET id = id + 10", "COMMIT",
		"DELETE FROM t",
	)
	type logged struct{ start, end uint64 }
	var begins, maps, rows []logged
	events := s.MustQuery(t, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d", b.start.File, b.start.Offset))
	for i, r := range events {
		start, _ := strconv.ParseUint(r[1], 10, 64)
		end, _ := strconv.ParseUint(r[4], 10, 64)
		if end == 0 { // MariaDB from 11.4 on does not say, inside transactions
			end, _ = strconv.ParseUint(events[i+1][1], 10, 64)
		}
		l := logged{start, end}
		switch kind := strings.ToLower(r[2]); {
		case kind == "query" && strings.HasPrefix(r[5], "BEGIN"), kind == "gtid" && strings.HasPrefix(r[5], "BEGIN"):
			begins = append(begins, l)
		case kind == "table_map" && strings.Contains(r[5], b.db+".t)"):
			maps = append(maps, l)
		case strings.Contains(kind, "_rows") && !strings.HasPrefix(kind, "annotate"):
			rows = append(rows, l)
		}
	}
	rows = rows[1:] // the other table's
	r := b.recorder(b.start)
	var got []string
	r.onRows = func(rows *Rows) error {
		got = append(got, fmt.Sprintf("%d %v", r.tx.ID, rows.Place))
		return nil
	}
	if err := b.read(b.start, r); err != nil {
		t.Fatal(err)
	}
	file, err := source.FileNumber(b.start.File)
	if err != nil || len(begins) != 2 || len(maps) != 3 || len(rows) != 3 {
		t.Fatal(err, begins, maps, rows)
	}
	var want []string
	for i := range rows {
		last := []int{1, 1, 1}[i] // both events of the first transaction, and the one of the second, have two rows
		want = append(want, fmt.Sprintf("%d {%s %d %d %d %d}", file<<32+begins[i/2].start,
			b.start.File, maps[i].start, rows[i].start, rows[i].end, last))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// ddlStory is a table's life, and what a reader is told of it.
var ddlStory = []struct {
	statement string
	want      []string
}{
	{"INSERT INTO t VALUES (1)", []string{"schema 6 t (id)", "begin", "t insert 1", "commit"}},
	{"CREATE VIEW unrelated AS SELECT 1 AS one", []string{"commit"}},
	{"CREATE TABLE other (x POINT, y JSON, z INT AS (1))", []string{"commit"}},
	{"ALTER TABLE t ADD COLUMN v INT FIRST", []string{"schema 2 t", "commit"}},
	{"INSERT INTO t VALUES (3, 4)", []string{"schema 6 t (v id) changed", "begin", "t insert 3 4", "commit"}},
	{"ALTER TABLE t RENAME COLUMN v TO w", []string{"schema 2 t", "commit"}}, // looks the same in a table map
	{"INSERT INTO t VALUES (5, 6)", []string{"schema 6 t (w id) changed", "begin", "t insert 5 6", "commit"}},
	{"ALTER TABLE t COMMENT 'nothing that matters'", []string{"schema 2 t", "commit"}},
	{"INSERT INTO t VALUES (7, 8)", []string{"begin", "t insert 7 8", "commit"}},
	{"RENAME TABLE t TO u", []string{"schema 4 t>u", "commit"}},
	{"INSERT INTO u VALUES (9, 10)", []string{"schema 6 u (w id)", "begin", "u insert 9 10", "commit"}},
	{"CREATE TABLE t LIKE u", []string{"schema 1 t", "commit"}},
	{"TRUNCATE t", []string{"schema 5 t rows changed", "commit"}},
	{"INSERT INTO t VALUES (11, 12)", []string{"begin", "t insert 11 12", "commit"}},
	{"DROP TABLE u", []string{"schema 3 u", "commit"}},
	{"ALTER TABLE other RENAME TO selected", []string{"schema 4 other>selected rows changed", "commit"}},
	{"DROP TABLE t, selected", nil}, // one or two transactions
}

// DDL is followed while it happens, although the table maps hold no names.
func testDDL(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
	if b.info.RowMetadata == "FULL" {
		t.Fatal("the test is about servers whose table maps hold no names")
	}
	r := b.recorder(b.start)
	step := 0
	var want []string
	r.stop = func(r *recorder) bool {
		if len(r.lines) < len(want) {
			return false
		}
		if step == len(ddlStory) || ddlStory[step].want == nil {
			return true
		}
		want = append(want, ddlStory[step].want...)
		b.exec(ddlStory[step].statement)
		step++
		return false
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cfg := b.config()
	cfg.Handler = r
	if err := New(cfg).Run(ctx, b.start); !errors.Is(err, errEnough) {
		t.Errorf("Run: %v", err)
	}
	b.want(r, nil, want...)
}

// With table maps that describe their tables, it is followed long after.
func testDDLAfterwards(t *testing.T, s *testservers.MySQLServer) {
	s.MustExec(t, "SET GLOBAL binlog_row_metadata = FULL")
	defer s.MustExec(t, "SET GLOBAL binlog_row_metadata = MINIMAL")
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
	var want []string
	for _, step := range ddlStory {
		b.exec(step.statement)
		want = append(want, step.want...)
	}
	r := b.recorder(b.start)
	err := b.read(b.start, r)
	r.lines = r.lines[:min(len(r.lines), len(want))]
	b.want(r, err, want...)
}

// Rows keep the names they were written under when the log describes its tables; where it does not, a definition that no
// longer fits is an error and not a guess.
func testDefinitionsOverTime(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s)
	ddl := []string{
		"CREATE TABLE t (id INT UNSIGNED, a VARCHAR(10) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL, e ENUM('x','it''s') NOT NULL, b BINARY(3), c CHAR(200)," +
			" d DECIMAL(10,3), f FLOAT, g BIT(12), h DATETIME(3), i TINYTEXT, j LONGBLOB, k SET('p','q'), l YEAR, m TIME(6), n TIMESTAMP(2) NULL, o DATE, p JSON, UNIQUE u (e, a))",
		"INSERT INTO t VALUES (4000000000, 'ä', 'it''s', 'b', 'c', 1.5, 1.5, 5, '2020-01-02 03:04:05.678', 'tiny', 'long', 'p,q', 1999, '-01:02:03.5', NULL, '2020-02-03', '{\"a\": 1}')",
		"ALTER TABLE t RENAME COLUMN id TO number, MODIFY e ENUM('x','it''s','z') NOT NULL",
		"UPDATE t SET e = 'z'",
		"ALTER TABLE t DROP COLUMN b, ADD PRIMARY KEY (c, number)",
		"DELETE FROM t",
		"DROP TABLE t",
	}
	s.MustExec(t, "SET GLOBAL binlog_row_metadata = FULL")
	b.exec(ddl...)
	s.MustExec(t, "SET GLOBAL binlog_row_metadata = MINIMAL")
	var tables []*schema.Table
	r := b.recorder(b.start)
	r.onRows = func(rows *Rows) error {
		tables = append(tables, rows.Table)
		return nil
	}
	err := b.read(b.start, r)
	if err != nil {
		t.Fatal(err)
	}
	names := "a e b c d f g h i j k l m n o p"
	p := `"{\"a\": 1}"`
	if b.info.Flavor == source.MariaDB {
		p = `"{\"a\": 1}"`
	}
	rest := ` "c" 1.5 1.5 "0x0005" "2020-01-02T03:04:05.678Z" "tiny" "0x6c6f6e67" "p,q" 1999 "-01:02:03.500000" null "2020-02-03" ` + p
	b.want(r, nil,
		"schema 1 t", "commit",
		"schema 6 t (id "+names+")", "begin", `t insert 4000000000 "ä" "it's" "0x620000"`+rest, "commit",
		"schema 2 t", "commit",
		"schema 6 t (number "+names+") changed", "begin",
		`t update 4000000000 "ä" "it's" "0x620000"`+rest+` to 4000000000 "ä" "z" "0x620000"`+rest, "commit",
		"schema 2 t", "commit",
		"schema 6 t (number "+strings.Replace(names, "b ", "", 1)+") changed", "begin", `t delete 4000000000 "ä" "z"`+rest, "commit",
		"schema 3 t", "commit",
	)
	last := tables[len(tables)-1]
	if last.KeyKind != schema.PrimaryKey || !slices.Equal(last.Key, []int{3 - 0, 0}) {
		t.Errorf("key of the last definition is %v of kind %d", last.Key, last.KeyKind)
	}
	for i, want := range []string{"int unsigned", "varchar(10)", "enum('x','it''s','z')", "char(200)", "decimal(10,3)", "float", "bit(12)", "datetime(3)", "tinytext", "longblob", "set('p','q')", "year", "time(6)", "timestamp(2)", "date"} {
		if got := last.Columns[i].ColumnType; got != want {
			t.Errorf("column %s has type %s, want %s", last.Columns[i].Name, got, want)
		}
	}
	if last.Columns[1].Charset != "latin1" || last.Columns[1].Collation != "latin1_bin" || last.Columns[1].Nullable || !last.Columns[4].Nullable {
		t.Errorf("columns are %+v", last.Columns)
	}

	// The same with table maps that say little: what the definition was is not known any more, and is not guessed, although
	// ENUM('x','it''s') and ENUM('x','it''s','z') look the same in such a table map.
	b = newBench(t, s)
	b.exec(ddl[:3]...)
	r = b.recorder(b.start)
	err = b.read(b.start, r)
	if te, ok := errors.AsType[*TableError](err); !ok || te.Name != "t" || !errors.Is(err, ErrDefinition) ||
		!strings.Contains(err.Error(), "changed later: ALTER TABLE t RENAME COLUMN id TO number") || !strings.Contains(err.Error(), "binlog_row_metadata=FULL") ||
		len(te.Expected) != 17 || te.Expected[0] != "number int unsigned" && te.Expected[0] != "number int(10) unsigned" || len(te.Found) != 17 || te.Found[0] != "int unsigned" {
		t.Errorf("got %v", err)
	}
}

func testXAOnePhase(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE other (id INT)")
	b.exec(
		"XA START 'one'", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2), (3)", "XA END 'one'", "XA COMMIT 'one' ONE PHASE",
		"XA START 'two'", "INSERT INTO other VALUES (1)", "XA END 'two'", "XA PREPARE 'two'", "XA COMMIT 'two'",
		"XA START 'three'", "INSERT INTO t VALUES (9)", "XA END 'three'", "XA ROLLBACK 'three'",
		"INSERT INTO t VALUES (4)",
	)
	r := b.recorder(b.start)
	err := b.read(b.start, r)
	r.lines = slices.Compact(r.lines) // how many boundaries the unselected one has, differs
	b.want(r, err, "schema 6 t (id)", "begin", "t insert 1", "t insert 2", "t insert 3", "commit", "begin", "t insert 4", "commit")
}

func testXAPrepared(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
	b.exec("INSERT INTO t VALUES (1)", "XA START 'x'", "INSERT INTO t VALUES (2)", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'")
	r := b.recorder(b.start)
	err := b.read(b.start, r)
	if te, ok := errors.AsType[*TableError](err); !ok || te.Name != "t" || !errors.Is(err, ErrXA) {
		t.Errorf("got %v", err)
	}
	b.want(r, nil, "schema 6 t (id)", "begin", "t insert 1", "commit")
}

// Compressed transactions hold the same rows, and each row has a place of its own.
func testCompressed(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE other (id INT, v TEXT)")
	set, reset := "SET GLOBAL binlog_transaction_compression = ON", "SET GLOBAL binlog_transaction_compression = OFF"
	if b.info.Flavor == source.MariaDB {
		set, reset = "SET GLOBAL log_bin_compress = ON", "SET GLOBAL log_bin_compress = OFF"
	}
	s.MustExec(t, set)
	b.exec(
		"BEGIN", "INSERT INTO t SELECT seq, REPEAT(seq, 500) FROM (SELECT 1 AS seq UNION SELECT 2 UNION SELECT 3) AS s",
		"INSERT INTO other SELECT * FROM t", "DELETE FROM t WHERE id = 2", "UPDATE t SET v = REPEAT('u', 600)", "COMMIT",
		"INSERT INTO t SELECT 9, REPEAT('n', 500)",
		"CREATE TABLE u (id INT /*"+strings.Repeat("long ", 100)+"*/)",
	)
	s.MustExec(t, reset)
	b.exec("DELETE FROM t WHERE id = 9")
	text := func(s string, n int) string { return strconv.Quote(strings.Repeat(s, n)) }
	r := b.recorder(b.start)
	err := b.read(b.start, r)
	b.want(r, err,
		"schema 6 t (id v)", "begin", "t insert 1 "+text("1", 500), "t insert 2 "+text("2", 500), "t insert 3 "+text("3", 500),
		"t delete 2 "+text("2", 500),
		"t update 1 "+text("1", 500)+" to 1 "+text("u", 600), "t update 3 "+text("3", 500)+" to 3 "+text("u", 600), "commit",
		"begin", "t insert 9 "+text("n", 500), "commit", "schema 1 u", "commit", "begin", "t delete 9 "+text("n", 500), "commit",
	)
	if len(r.places) != 8 {
		t.Errorf("%d places for 8 rows", len(r.places))
	}
	// From the boundary between both compressed transactions.
	mid := r.boundaries[0].pos
	r = b.recorder(mid)
	err = b.read(mid, r)
	r.lines = withoutDefinitions(r.lines)
	b.want(r, err, "begin", "t insert 9 "+text("n", 500), "commit", "schema 1 u", "commit", "begin", "t delete 9 "+text("n", 500), "commit")
}

// What cannot be read as whole rows ends the run with the table's name and the cure; for other tables it does not matter.
func testPartialImage(t *testing.T, s *testservers.MySQLServer) {
	for what, c := range map[string]struct {
		set  string
		want error
		cure string
		only source.Flavor
	}{
		"minimal image":  {"SET SESSION binlog_row_image = MINIMAL", schema.ErrPartialImage, "binlog_row_image=FULL", ""},
		"no blobs":       {"SET SESSION binlog_row_image = NOBLOB", schema.ErrPartialImage, "binlog_row_image=FULL", ""},
		"statement":      {"SET SESSION binlog_format = STATEMENT", ErrNotRowFormat, "binlog_format=ROW", ""},
		"partial values": {"SET SESSION binlog_row_value_options = PARTIAL_JSON", ErrPartialJSON, "binlog_row_value_options=''", source.MySQL},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, j JSON, v TEXT)", "CREATE TABLE other (id INT PRIMARY KEY, j JSON, v TEXT)")
			if c.only != "" && c.only != b.info.Flavor {
				return
			}
			// An alternative would be to run it as SQL of a user; a session that may not set it does no harm.
			doc := `{"a": "` + strings.Repeat("x", 200) + `", "b": 1}`
			b.exec("INSERT INTO t VALUES (1, '"+doc+"', 'v')", "INSERT INTO other SELECT * FROM t", c.set,
				"UPDATE other SET j = JSON_SET(j, '$.b', 2)", "UPDATE t SET j = JSON_SET(j, '$.b', 2)")
			r := b.recorder(b.start)
			err := b.read(b.start, r)
			te, ok := errors.AsType[*TableError](err)
			if !ok || te.Schema != b.db || te.Name != "t" || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.cure) ||
				te.Place.EventStart == 0 {
				t.Errorf("got %v", err)
			}
			if n := len(r.boundaries); n != 3 {
				t.Errorf("%d transactions came before it", n)
			}
		})
	}
}

// An idle source is heard of, and new files move the position.
func testIdle(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s)
	r := b.recorder(b.start)
	flushed := false
	r.stop = func(r *recorder) bool {
		if len(r.boundaries) > 0 && !flushed {
			flushed = true
			s.MustExec(t, "FLUSH BINARY LOGS")
		}
		beyond := 0 // in the next file: heartbeats of the one before may have queued up meanwhile
		for _, b := range r.boundaries {
			if b.pos.File != r.boundaries[0].pos.File {
				beyond++
			}
		}
		return beyond > 4
	}
	r.idle = true
	cfg := b.config()
	cfg.Handler = r
	if err := New(cfg).Run(t.Context(), b.start); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	first, last := r.boundaries[0].pos, r.boundaries[len(r.boundaries)-1].pos
	if !first.Before(last) || first.File == last.File {
		t.Errorf("from %v to %v", first, last)
	}
	for i := range r.boundaries[1:] {
		if r.boundaries[i+1].pos.Before(r.boundaries[i].pos) {
			t.Errorf("boundary %v comes after %v", r.boundaries[i+1].pos, r.boundaries[i].pos)
		}
	}
	if now := r.read(t, b); now.Before(last) {
		t.Errorf("boundary %v is behind the end of the log %v", last, now)
	}
}

// read is the present end of the log.
func (r *recorder) read(t *testing.T, b *bench) source.Position {
	t.Helper()
	conn, err := source.Connect(t.Context(), b.source())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close(conn)
	pos, err := source.CurrentPosition(t.Context(), conn, b.info)
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

func testCreateSelect(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE other (id INT)", "INSERT INTO other VALUES (1), (2)")
	b.exec("CREATE TABLE t AS SELECT * FROM other", "INSERT INTO t VALUES (3)")
	r := b.recorder(b.start)
	err := b.read(b.start, r)
	b.want(r, err, "schema 1 t", "schema 6 t (id)", "begin", "t insert 1", "t insert 2", "commit", "begin", "t insert 3", "commit")
}

func TestMySQLTaggedGTIDAndCommitTime(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t), "CREATE TABLE t (id INT PRIMARY KEY)")
	before := time.Now()
	b.exec("SET SESSION gtid_next = 'AUTOMATIC:blue'", "INSERT INTO t VALUES (1)", "SET SESSION gtid_next = 'AUTOMATIC'", "INSERT INTO t VALUES (2)")
	r := b.recorder(b.start)
	var gtids []string
	var times []time.Time
	r.onRows = func(rows *Rows) error {
		gtids = append(gtids, r.tx.GTID)
		times = append(times, r.tx.CommitTime)
		return nil
	}
	if err := b.read(b.start, r); err != nil {
		t.Fatal(err)
	}
	if len(gtids) != 2 || gtids[0] != b.info.UUID+":blue:1" || !strings.HasPrefix(gtids[1], b.info.UUID+":") || strings.Count(gtids[1], ":") != 1 {
		t.Errorf("GTIDs are %q", gtids)
	}
	for _, at := range times {
		if at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) || at.Nanosecond() == 0 {
			t.Errorf("commit time is %v", at)
		}
	}
	// The set that was kept along is the server's.
	end := r.read(t, b)
	if ok, err := r.set.Contains(end.GTIDSet); err != nil || !ok || r.set.String() != end.GTIDSet {
		t.Errorf("the set is %s, the server has %s", r.set, end.GTIDSet)
	}
	again := b.recorder(r.boundaries[0].pos)
	err := b.read(r.boundaries[0].pos, again)
	b.want(again, err, "schema 6 t (id)", "begin", "t insert 2", "commit")
}

func TestMariaDBGTID(t *testing.T) {
	b := newBench(t, testservers.SharedMariaDB(t), "CREATE TABLE t (id INT PRIMARY KEY)")
	b.exec("INSERT INTO t VALUES (1)", "SET SESSION gtid_domain_id = 7", "INSERT INTO t VALUES (2)", "SET SESSION gtid_domain_id = 0", "INSERT INTO t VALUES (3)")
	r := b.recorder(b.start)
	var gtids []string
	r.onRows = func(*Rows) error { gtids = append(gtids, r.tx.GTID); return nil }
	if err := b.read(b.start, r); err != nil {
		t.Fatal(err)
	}
	if len(gtids) != 3 || !strings.HasPrefix(gtids[0], "0-1-") || gtids[1] != "7-1-1" || !strings.HasPrefix(gtids[2], "0-1-") {
		t.Errorf("GTIDs are %q", gtids)
	}
	end, err := ParseGTIDSet(source.MariaDB, r.read(t, b).GTIDSet) // the server puts the last domain first
	if err != nil || r.set.String() != end.String() {
		t.Errorf("the set is %s, the server has %s, %v", r.set, end, err)
	}
}

// An ALTER that is logged in two halves is in force behind the second, and not at all if it failed.
func TestMariaDBAlterInTwoPhases(t *testing.T) {
	s := testservers.SharedMariaDB(t)
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v INT)")
	b.attempt("SET SESSION binlog_alter_two_phase = ON", "INSERT INTO t VALUES (1, 7)", "INSERT INTO t VALUES (2, 7)",
		"!ALTER TABLE t ADD UNIQUE (v), ALGORITHM=COPY", "INSERT INTO t VALUES (3, 7)")
	want := []string{"schema 6 t (id v)", "begin", "t insert 1 7", "commit", "begin", "t insert 2 7", "commit", "commit", "commit",
		"begin", "t insert 3 7", "commit"}
	r := b.recorder(b.start)
	err := b.read(b.start, r) // looking ahead, nothing is found either
	b.want(r, err, want...)

	s.MustExec(t, "SET GLOBAL binlog_row_metadata = FULL")
	defer s.MustExec(t, "SET GLOBAL binlog_row_metadata = NO_LOG")
	b.attempt("SET SESSION binlog_alter_two_phase = ON", "INSERT INTO t VALUES (4, 7)", "ALTER TABLE t CHANGE v w INT, ALGORITHM=COPY", "INSERT INTO t VALUES (5, 7)")
	from := r.boundaries[len(r.boundaries)-1].pos
	r = b.recorder(from)
	err = b.read(from, r)
	b.want(r, err, "schema 6 t (id v)", "begin", "t insert 4 7", "commit", "commit", "schema 2 t", "commit",
		"schema 6 t (id w) changed", "begin", "t insert 5 7", "commit")
}

// Labels come from the log in the column's character set, if the table is gone.
func testLabels(t *testing.T, s *testservers.MySQLServer) {
	s.MustExec(t, "SET GLOBAL binlog_row_metadata = FULL")
	defer s.MustExec(t, "SET GLOBAL binlog_row_metadata = MINIMAL")
	b := newBench(t, s)
	create := "CREATE TABLE t (a ENUM('ü','x') CHARACTER SET latin1, b ENUM('中','y') CHARACTER SET gbk, c SET('a\\\\b','it''s','ä') CHARACTER SET utf8mb4, d ENUM('ж') CHARACTER SET utf16, e ENUM('å','x') CHARACTER SET swe7)"
	b.exec(create, `INSERT INTO t VALUES ('ü', '中', 'a\\b,it''s,ä', 'ж', 'å')`)
	read := func() []string {
		r := b.recorder(b.start)
		if err := b.read(b.start, r); err != nil {
			t.Fatal(err)
		}
		return r.lines[3:5]
	}
	before := read()
	b.exec("DROP TABLE t")
	after := read()
	want := []string{"begin", `t insert "ü" "中" "a\\b,it's,ä" "ж" "å"`}
	if !slices.Equal(before, want) || !slices.Equal(after, want) {
		t.Errorf("got\n%q\nand\n%q\nwant\n%q", before, after, want)
	}
}

// Rows of more than one packet of 16 MiB come whole.
func testLargeRow(t *testing.T, s *testservers.MySQLServer) {
	s.MustExec(t, "SET GLOBAL max_allowed_packet = 134217728")
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)")
	b.exec("INSERT INTO t VALUES (1, REPEAT('ab', 17000000)), (2, 'small')")
	var sizes []int
	r := b.recorder(b.start)
	handler := handlerFunc{r, func(rows *Rows) error {
		for rows.Next() {
			v := rows.After[1]
			if strings.Trim(string(v), "ab") != "" && len(sizes) == 0 {
				t.Error("the large value is damaged")
			}
			sizes = append(sizes, len(v))
		}
		return rows.Err()
	}}
	if err := b.read(b.start, r, func(c *Config) { c.Handler = untilEndOf{handler, r.read(t, b)} }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sizes, []int{34000000, 5}) {
		t.Errorf("values have %v bytes", sizes)
	}
}

// A handler that blocks for longer than the server's write timeout keeps its connection.
func testBackPressure(t *testing.T, s *testservers.MySQLServer) {
	s.MustExec(t, "SET GLOBAL net_write_timeout = 1", "SET GLOBAL max_allowed_packet = 134217728")
	defer s.MustExec(t, "SET GLOBAL net_write_timeout = DEFAULT")
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)")
	statements := []string{}
	for i := range 30 {
		statements = append(statements, fmt.Sprintf("INSERT INTO t VALUES (%d, REPEAT('x', 1000000))", i))
	}
	b.exec(statements...)
	connections := 0
	cfg := b.config()
	r := b.recorder(b.start)
	blocked := false
	cfg.Handler = untilEndOf{handlerFunc{r, func(rows *Rows) error {
		if !blocked {
			blocked = true
			time.Sleep(3 * time.Second) // what is tested is that time passes
		}
		return nil
	}}, r.read(t, b)}
	reader := New(cfg)
	reader.onReady = func(int) { connections++ }
	if err := reader.Run(t.Context(), b.start); !errors.Is(err, errEnough) {
		t.Error(err)
	}
	if connections != 1 {
		t.Errorf("%d connections were needed", connections)
	}
}

// handlerFunc is a recorder with other rows.
type handlerFunc struct {
	*recorder
	rows func(*Rows) error
}

func (h handlerFunc) Rows(_ context.Context, rows *Rows) error { return h.rows(rows) }

// untilEndOf stops any handler at the first boundary that is at the end of the log.
type untilEndOf struct {
	Handler
	end source.Position
}

func (u untilEndOf) Commit(ctx context.Context, b Boundary) error {
	if err := u.Handler.Commit(ctx, b); err != nil {
		return err
	}
	if !b.Position().Before(u.end) {
		return errEnough
	}
	return nil
}
