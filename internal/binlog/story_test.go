package binlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// chapter is a part of a story of DDL: statements, and then rows that are written under what the statements made. The
// test knows of each row what names and values it has, because it wrote them.
type chapter struct {
	ddl  []string
	rows string   // a statement that writes rows
	want []string // of each row: table, then every column's name and value
	key  string   // columns of the key of the rows' table

	// changes are the tables whose definitions the statements change; rows from before need what was known then.
	changes []string
	only    source.Flavor
}

var story = []chapter{
	{ddl: []string{"CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20))"}, changes: []string{"a"},
		rows: "INSERT INTO a VALUES (1, 'one')", want: []string{`a id=1 v="one"`}, key: "id"},
	{ddl: []string{"ALTER TABLE a ADD COLUMN f INT FIRST, ALGORITHM=COPY"}, changes: []string{"a"},
		rows: "INSERT INTO a VALUES (10, 2, 'two')", want: []string{`a f=10 id=2 v="two"`}, key: "id"},
	{ddl: []string{"ALTER TABLE a ADD COLUMN m INT AFTER id, ALGORITHM=INPLACE"}, changes: []string{"a"},
		rows: "INSERT INTO a VALUES (10, 3, 30, 'three')", want: []string{`a f=10 id=3 m=30 v="three"`}, key: "id"},
	{ddl: []string{"ALTER TABLE a ADD COLUMN l INT, ALGORITHM=INSTANT"}, changes: []string{"a"},
		rows: "INSERT INTO a VALUES (10, 4, 30, 'four', 40)", want: []string{`a f=10 id=4 m=30 v="four" l=40`}, key: "id"},
	{ddl: []string{"ALTER TABLE a DROP COLUMN m"}, changes: []string{"a"},
		rows: "INSERT INTO a VALUES (10, 5, 'five', 40)", want: []string{`a f=10 id=5 v="five" l=40`}, key: "id"},
	{ddl: []string{"ALTER TABLE a RENAME COLUMN f TO g"}, changes: []string{"a"},
		rows: "INSERT INTO a VALUES (10, 6, 'six', 40)", want: []string{`a g=10 id=6 v="six" l=40`}, key: "id"},
	{ddl: []string{"ALTER TABLE a CHANGE l k INT"}, changes: []string{"a"},
		rows: "UPDATE a SET k = 41 WHERE id = 6", want: []string{`a g=10 id=6 v="six" k=40 to g=10 id=6 v="six" k=41`}, key: "id"},
	// The same types in other roles: nothing in a small table map tells.
	{ddl: []string{"ALTER TABLE a CHANGE g k INT, CHANGE k g INT"}, changes: []string{"a"},
		rows: "INSERT INTO a (k, id, v, g) VALUES (1, 7, 'seven', 2)", want: []string{`a k=1 id=7 v="seven" g=2`}, key: "id"},
	{ddl: []string{"ALTER TABLE a DROP COLUMN k, ADD COLUMN n INT FIRST"}, changes: []string{"a"},
		rows: "INSERT INTO a VALUES (8, 8, 'eight', 8)", want: []string{`a n=8 id=8 v="eight" g=8`}, key: "id"},
	{ddl: []string{"ALTER TABLE a MODIFY v TEXT CHARACTER SET latin1, MODIFY n INT UNSIGNED"}, changes: []string{"a"},
		rows: "INSERT INTO a VALUES (4000000000, 9, 'neun é', 9)", want: []string{`a n=4000000000 id=9 v="neun é" g=9`}, key: "id"},
	{ddl: []string{"ALTER TABLE a MODIFY v TEXT CHARACTER SET latin2"}, changes: []string{"a"},
		rows: "INSERT INTO a VALUES (1, 10, 'tíz ő', 10)", want: []string{`a n=1 id=10 v="tíz ő" g=10`}, key: "id"},
	{ddl: []string{"ALTER TABLE a CONVERT TO CHARACTER SET utf8mb4"}, changes: []string{"a"},
		rows: "INSERT INTO a VALUES (1, 11, 'elf 🧝', 11)", want: []string{`a n=1 id=11 v="elf 🧝" g=11`}, key: "id"},
	{ddl: []string{"ALTER TABLE a COMMENT 'ADD COLUMN x INT'", "ALTER TABLE a AUTO_INCREMENT = 5, FORCE", "CREATE INDEX i ON a (g)", "ANALYZE TABLE a", "OPTIMIZE TABLE a"},
		rows: "INSERT INTO a VALUES (1, 12, 'x', 12)", want: []string{`a n=1 id=12 v="x" g=12`}, key: "id"},
	{ddl: []string{"TRUNCATE TABLE a"},
		rows: "INSERT INTO a VALUES (1, 12, 'y', 12)", want: []string{`a n=1 id=12 v="y" g=12`}, key: "id"},

	// Labels that change places.
	{ddl: []string{"CREATE TABLE e (id INT PRIMARY KEY, e ENUM('a','b','c'), s SET('x','y'))"}, changes: []string{"e"},
		rows: "INSERT INTO e VALUES (1, 'a', 'x')", want: []string{`e id=1 e="a" s="x"`}, key: "id"},
	{ddl: []string{"ALTER TABLE e MODIFY e ENUM('b','a','c'), MODIFY s SET('y','x')"}, changes: []string{"e"},
		rows: "INSERT INTO e VALUES (2, 'a', 'x')", want: []string{`e id=2 e="a" s="x"`}, key: "id"},

	// Keys: primary, none, and a unique one that stands in.
	{ddl: []string{"CREATE TABLE k (x INT NOT NULL, y INT NOT NULL, PRIMARY KEY (x))"}, changes: []string{"k"},
		rows: "INSERT INTO k VALUES (1, 1)", want: []string{"k x=1 y=1"}, key: "x"},
	{ddl: []string{"ALTER TABLE k DROP PRIMARY KEY, ADD PRIMARY KEY (y, x)"}, changes: []string{"k"},
		rows: "INSERT INTO k VALUES (2, 2)", want: []string{"k x=2 y=2"}, key: "y x"},
	{ddl: []string{"ALTER TABLE k DROP PRIMARY KEY"}, changes: []string{"k"},
		rows: "INSERT INTO k VALUES (3, 3)", want: []string{"k x=3 y=3"}},
	{ddl: []string{"CREATE UNIQUE INDEX u ON k (y)"}, changes: []string{"k"},
		rows: "INSERT INTO k VALUES (4, 4)", want: []string{"k x=4 y=4"}, key: "y"},
	{ddl: []string{"ALTER TABLE k DROP INDEX u, ADD UNIQUE INDEX u (x)"}, changes: []string{"k"},
		rows: "INSERT INTO k VALUES (5, 5)", want: []string{"k x=5 y=5"}, key: "x"},

	// Partitions.
	{ddl: []string{"CREATE TABLE p (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
		"CREATE TABLE px (id INT PRIMARY KEY, v INT)"}, changes: []string{"p", "px"},
		rows: "INSERT INTO p VALUES (1, 1), (11, 11)", want: []string{"p id=1 v=1", "p id=11 v=11"}, key: "id"},
	{ddl: []string{"ALTER TABLE p ADD PARTITION (PARTITION p2 VALUES LESS THAN (30))", "ALTER TABLE p TRUNCATE PARTITION p0",
		"ALTER TABLE p EXCHANGE PARTITION p1 WITH TABLE px", "ALTER TABLE p DROP PARTITION p0",
		"ALTER TABLE p REORGANIZE PARTITION p1, p2 INTO (PARTITION p9 VALUES LESS THAN (30))"},
		rows: "INSERT INTO p VALUES (2, 2)", want: []string{"p id=2 v=2"}, key: "id"},
	{rows: "DELETE FROM px", want: []string{"px id=11 v=11"}, key: "id"},
	{ddl: []string{"ALTER TABLE p REMOVE PARTITIONING"},
		rows: "INSERT INTO p VALUES (3, 3)", want: []string{"p id=3 v=3"}, key: "id"},

	// Tables made from others.
	{ddl: []string{"CREATE TABLE l LIKE k"}, changes: []string{"l"},
		rows: "INSERT INTO l VALUES (1, 2)", want: []string{"l x=1 y=2"}, key: "x"},
	{rows: "CREATE TABLE c (PRIMARY KEY (one)) SELECT 1 AS one, 'x' AS two", want: []string{`c one=1 two="x"`}, changes: []string{"c"}, key: "one"},
	{rows: "INSERT INTO c VALUES (2, 'y')", want: []string{`c one=2 two="y"`}, key: "one"},

	// A table under the same name with another shape of the same types.
	{ddl: []string{"CREATE TABLE d (x INT PRIMARY KEY, y INT)"}, changes: []string{"d"},
		rows: "INSERT INTO d VALUES (1, 2)", want: []string{"d x=1 y=2"}, key: "x"},
	{ddl: []string{"DROP TABLE d", "CREATE TABLE d (y INT, x INT PRIMARY KEY)"}, changes: []string{"d"},
		rows: "INSERT INTO d VALUES (3, 4)", want: []string{"d y=3 x=4"}, key: "x"},
	{ddl: []string{"CREATE TABLE IF NOT EXISTS d (z INT)"},
		rows: "INSERT INTO d VALUES (5, 6)", want: []string{"d y=5 x=6"}, key: "x"},
	{ddl: []string{"CREATE OR REPLACE TABLE d (x INT PRIMARY KEY, y INT)"}, changes: []string{"d"}, only: source.MariaDB,
		rows: "INSERT INTO d VALUES (7, 8)", want: []string{"d x=7 y=8"}, key: "x"},

	// Online schema change: gh-ost renames in one statement, and so does pt-online-schema-change; others take two.
	{ddl: []string{"CREATE TABLE g (id INT PRIMARY KEY, v INT)"}, changes: []string{"g"},
		rows: "INSERT INTO g VALUES (1, 1)", want: []string{"g id=1 v=1"}, key: "id"},
	{ddl: []string{"CREATE TABLE other_g_gho LIKE g", "ALTER TABLE other_g_gho RENAME COLUMN v TO w", "INSERT INTO other_g_gho SELECT * FROM g",
		"RENAME TABLE g TO other_g_del, other_g_gho TO g"}, changes: []string{"g"},
		rows: "UPDATE g SET w = 2", want: []string{"g id=1 w=1 to id=1 w=2"}, key: "id"},
	{ddl: []string{"DROP TABLE other_g_del", "CREATE TABLE other_g_new LIKE g", "ALTER TABLE other_g_new ADD COLUMN x INT AFTER id",
		"INSERT INTO other_g_new (id, w) SELECT id, w FROM g", "RENAME TABLE g TO other_g_old", "RENAME TABLE other_g_new TO g"}, changes: []string{"g"},
		rows: "UPDATE g SET x = 3", want: []string{"g id=1 x=null w=2 to id=1 x=3 w=2"}, key: "id"},
	// Selected tables that change names with each other keep their columns.
	{ddl: []string{"CREATE TABLE h (key1 INT PRIMARY KEY, x INT, y INT)"}, changes: []string{"h"},
		rows: "INSERT INTO h VALUES (1, 2, 3)", want: []string{"h key1=1 x=2 y=3"}, key: "key1"},
	{ddl: []string{"RENAME TABLE g TO other_tmp, h TO g, other_tmp TO h"}, changes: []string{"g", "h"},
		rows: "INSERT INTO g VALUES (4, 5, 6)", want: []string{"g key1=4 x=5 y=6"}, key: "key1"},
	{rows: "INSERT INTO h VALUES (7, 8, 9)", want: []string{"h id=7 x=8 w=9"}, key: "id"},
	{ddl: []string{"ALTER TABLE h RENAME TO h2, DROP COLUMN x"}, changes: []string{"h", "h2"},
		rows: "INSERT INTO h2 VALUES (8, 9)", want: []string{"h2 id=8 w=9"}, key: "id"},

	// Names and clients of every kind.
	{ddl: []string{"CREATE /* ALTER TABLE a */ TABLE /*!40000 IF NOT EXISTS */ `we ird``t.x` (`a b` INT PRIMARY KEY, `c``d` INT) -- end"}, changes: []string{"we ird`t.x"},
		rows: "INSERT INTO `we ird``t.x` VALUES (1, 2)", want: []string{"we ird`t.x a b=1 c`d=2"}, key: "a b"},
	{ddl: []string{"/* x */ ALTER /*+ hint */ TABLE `we ird``t.x` /*!50000 RENAME COLUMN `c``d` TO `ünï` */"}, changes: []string{"we ird`t.x"},
		rows: "INSERT INTO `we ird``t.x` VALUES (3, 4)", want: []string{"we ird`t.x a b=3 ünï=4"}, key: "a b"},
	{ddl: []string{"SET NAMES latin1", "CREATE TABLE `t\xe9` (`\xfc` INT PRIMARY KEY, v INT)"}, changes: []string{"té"},
		rows: "INSERT INTO `té` VALUES (1, 2)", want: []string{"té ü=1 v=2"}, key: "ü"},
	{ddl: []string{"SET NAMES latin1", "ALTER TABLE `t\xe9` CHANGE v `w\xe9` INT"}, changes: []string{"té"},
		rows: "INSERT INTO `té` VALUES (3, 4)", want: []string{"té ü=3 wé=4"}, key: "ü"},
	{ddl: []string{"SET NAMES gbk", "CREATE TABLE `t\xd6\xd0\x81\x60` (id INT PRIMARY KEY, `\x81\x5c` INT)"}, changes: []string{"t中乣"}, // bytes of ` and \ within characters
		rows: "INSERT INTO `t中乣` VALUES (1, 2)", want: []string{"t中乣 id=1 乗=2"}, key: "id"},
	{ddl: []string{"SET NAMES gbk", "ALTER TABLE `t\xd6\xd0\x81\x60` RENAME COLUMN `\x81\x5c` TO x"}, changes: []string{"t中乣"},
		rows: "INSERT INTO `t中乣` VALUES (3, 4)", want: []string{"t中乣 id=3 x=4"}, key: "id"},

	// Modes in which backslashes and double quotes mean something else.
	{ddl: []string{"SET NAMES utf8mb4, sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", `CREATE TABLE "q\" (id INT PRIMARY KEY, x INT, y INT)`}, changes: []string{`q\`},
		rows: "INSERT INTO `q\\` VALUES (1, 2, 3)", want: []string{`q\ id=1 x=2 y=3`}, key: "id"},
	{ddl: []string{"SET NAMES utf8mb4, sql_mode = 'NO_BACKSLASH_ESCAPES'", "ALTER TABLE `q\\` COMMENT 'C:\\', CHANGE x y INT, CHANGE y x INT"}, changes: []string{`q\`},
		rows: "INSERT INTO `q\\` (id, x, y) VALUES (4, 5, 6)", want: []string{`q\ id=4 y=6 x=5`}, key: "id"},

	// Statements that are no business of ours.
	{ddl: []string{
		"CREATE PROCEDURE pr() BEGIN ALTER TABLE a ADD COLUMN zz INT; DROP TABLE a; END", "DROP PROCEDURE pr",
		"CREATE FUNCTION fn(x INT) RETURNS INT DETERMINISTIC RETURN x", "DROP FUNCTION fn",
		"CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.g = NEW.g + 0", "DROP TRIGGER tr",
		"CREATE EVENT ev ON SCHEDULE EVERY 1 YEAR DO TRUNCATE TABLE a", "ALTER EVENT ev DISABLE", "DROP EVENT ev",
		"CREATE VIEW vi AS SELECT * FROM a", "ALTER VIEW vi AS SELECT 1 AS `ALTER TABLE a`", "DROP VIEW vi",
		"CREATE USER IF NOT EXISTS storyteller", "GRANT SELECT ON *.* TO storyteller", "DROP USER storyteller", "CREATE ROLE story_role", "DROP ROLE story_role",
		"CREATE TEMPORARY TABLE a (zz INT)", "ALTER TABLE a ADD COLUMN yy INT", "DROP TEMPORARY TABLE a",
		"CREATE SERVER srv FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')", "DROP SERVER srv",
	}, rows: "INSERT INTO a VALUES (1, 13, 'z', 13)", want: []string{`a n=1 id=13 v="z" g=13`}, key: "id"},
	{ddl: []string{"CREATE SPATIAL REFERENCE SYSTEM 990001 NAME 'x' DEFINITION 'GEOGCS[\"W\",DATUM[\"W\",SPHEROID[\"W\",6378137,298.257223563]],PRIMEM[\"G\",0],UNIT[\"degree\",0.017453292519943278],AXIS[\"Lat\",NORTH],AXIS[\"Lon\",EAST]]'",
		"DROP SPATIAL REFERENCE SYSTEM 990001", "CREATE TABLE other_geo (p POINT NOT NULL SRID 4326, h INT INVISIBLE, SPATIAL INDEX (p))", "ALTER TABLE other_geo ADD COLUMN j JSON, SECONDARY_ENGINE=x",
		"CREATE TABLESPACE story_ts ADD DATAFILE 'story_ts.ibd'", "DROP TABLESPACE story_ts"}, only: source.MySQL,
		rows: "INSERT INTO a VALUES (1, 14, 'z', 14)", want: []string{`a n=1 id=14 v="z" g=14`}, key: "id"},
	{ddl: []string{"CREATE SEQUENCE other_seq", "SELECT NEXT VALUE FOR other_seq", "ALTER SEQUENCE other_seq RESTART 50", "DROP SEQUENCE other_seq",
		"CREATE TABLE other_v (id INT) WITH SYSTEM VERSIONING", "ALTER TABLE other_v DROP SYSTEM VERSIONING",
		"CREATE TABLE other_period (a DATE, b DATE, PERIOD FOR p (a, b))"}, only: source.MariaDB,
		rows: "INSERT INTO a VALUES (1, 14, 'z', 14)", want: []string{`a n=1 id=14 v="z" g=14`}, key: "id"},
	{ddl: []string{"ALTER TABLE p PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
		"ALTER TABLE p CONVERT PARTITION p0 TO TABLE pc"}, changes: []string{"pc"}, only: source.MariaDB,
		rows: "INSERT INTO pc VALUES (4, 4)", want: []string{"pc id=4 v=4"}, key: "id"},
	{ddl: []string{"SET STATEMENT max_statement_time = 100 FOR ALTER TABLE pc CHANGE v w INT NOT NULL"}, changes: []string{"pc"}, only: source.MariaDB,
		rows: "INSERT INTO pc VALUES (5, 5)", want: []string{"pc id=5 w=5"}, key: "id"},
	{ddl: []string{"DROP TABLE a, l", "DROP TABLE IF EXISTS nothing"}, changes: []string{"a", "l"}},
}

// teller is a Handler that writes down each row with its names, goes on without tables that fail, and can be waited for.
type teller struct {
	t    *testing.T
	mu   sync.Mutex
	cond *sync.Cond
	at   source.Position
	err  error // of Run

	set        *GTIDSet // set: boundaries are written down
	uuid       string
	boundaries []at // and how many rows came before

	rows   []told
	failed map[string][]*TableError // by table
	notes  []SchemaChange
}

type told struct{ line, key string }

func newTeller(t *testing.T) *teller {
	h := &teller{t: t, failed: map[string][]*TableError{}}
	h.cond = sync.NewCond(&h.mu)
	return h
}

func (h *teller) Begin(context.Context, *record.Transaction) error { return nil }

func (h *teller) Rows(_ context.Context, rows *Rows) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for _, k := range rows.Table.Key {
		names = append(names, rows.Table.Columns[k].Name)
	}
	for rows.Next() {
		line := rows.Table.Name
		for i, image := range [][][]byte{rows.Before, rows.After} {
			if i == 1 && rows.Before != nil && image != nil {
				line += " to"
			}
			for col, v := range image {
				text := []byte("null")
				if v != nil {
					var err error
					if text, err = rows.Layout.AppendJSON(nil, col, v); err != nil {
						return err
					}
				}
				line += " " + rows.Table.Columns[col].Name + "=" + string(text)
			}
		}
		h.rows = append(h.rows, told{line, strings.Join(names, " ")})
	}
	return rows.Err()
}

func (h *teller) Commit(_ context.Context, b Boundary) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = b.Position()
	if h.set != nil {
		if err := h.set.Add(b.GTID); err != nil {
			return err
		}
		pos := h.at
		pos.GTIDSet, pos.ServerUUID = h.set.String(), h.uuid
		h.boundaries = append(h.boundaries, at{pos, len(h.rows)})
	}
	h.cond.Broadcast()
	return nil
}

func (h *teller) Schema(_ context.Context, c SchemaChange) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes = append(h.notes, c)
	return nil
}

func (h *teller) TableFailed(_ context.Context, e *TableError) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed[e.Name] = append(h.failed[e.Name], e)
	return nil
}

// await blocks until reading has come to a position, or has ended.
func (h *teller) await(pos source.Position) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.at.Before(pos) && h.err == nil {
		h.cond.Wait()
	}
	if h.err != nil {
		h.t.Fatalf("reading ended before %v: %v", pos, h.err)
	}
}

// end is the present end of the log.
func (b *bench) end() source.Position {
	b.t.Helper()
	conn, err := source.Connect(b.t.Context(), b.source())
	if err != nil {
		b.t.Fatal(err)
	}
	defer source.Close(conn)
	pos, err := source.CurrentPosition(b.t.Context(), conn, b.info)
	if err != nil {
		b.t.Fatal(err)
	}
	return pos
}

// follow reads while during runs, up to the end of the log that there is then.
func (b *bench) follow(h *teller, history History, during func()) {
	b.t.Helper()
	b.followWith(h, history, func(*Reader) {}, during)
}

func (b *bench) followWith(h *teller, history History, made func(*Reader), during func()) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Minute)
	defer cancel()
	cfg := b.config()
	cfg.Handler, cfg.History = h, history
	reader := New(cfg)
	made(reader)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := reader.Run(ctx, b.start)
		h.mu.Lock()
		h.err = err
		h.cond.Broadcast()
		h.mu.Unlock()
	}()
	during()
	h.await(b.end())
	cancel()
	<-done
	if !errors.Is(h.err, context.Canceled) {
		b.t.Fatalf("Run: %v", h.err)
	}
}

// memory is a History that keeps what was saved last.
type memory struct {
	saved  []Version
	saves  int
	oldest source.Position
}

func (m *memory) Load(context.Context) ([]Version, error) { return slices.Clone(m.saved), nil }
func (m *memory) Save(_ context.Context, all []Version) error {
	m.saved, m.saves = slices.Clone(all), m.saves+1
	return nil
}
func (m *memory) Oldest() source.Position { return m.oldest }

// Every form of DDL, once while it happens and once long after: each row that is handed over has the names and values that
// it was written with; where that cannot be known, the table fails by name, and the others go on.
func TestHazard4DDLMatrix(t *testing.T) {
	for name, s := range map[string]*testservers.MySQLServer{"MySQL": testservers.MySQL(t), "MariaDB": testservers.MariaDB(t)} {
		for _, metadata := range []string{"FULL", "MINIMAL"} {
			t.Run(name+" "+metadata, func(t *testing.T) {
				s.MustExec(t, "SET GLOBAL binlog_row_metadata = "+metadata)
				testStory(t, s, metadata == "FULL")
			})
		}
	}
}

func testStory(t *testing.T, s *testservers.MySQLServer, full bool) {
	b := newBench(t, s, "CREATE TABLE steady (n INT PRIMARY KEY)")
	var chapters []chapter
	for _, c := range story {
		if c.only == "" || c.only == b.info.Flavor {
			chapters = append(chapters, c)
		}
	}
	write := func(n int, c chapter) {
		for _, statement := range c.ddl {
			if strings.HasPrefix(statement, "SET NAMES") {
				b.exec(append([]string{statement}, c.ddl[1:]...)...)
				break
			}
			if strings.Contains(statement, "TEMPORARY") { // all of them in one session
				i := slices.Index(c.ddl, statement)
				b.exec(c.ddl[i:]...)
				break
			}
			b.exec(statement)
		}
		if c.rows != "" {
			b.exec(c.rows)
		}
		b.exec(fmt.Sprintf("INSERT INTO steady VALUES (%d)", n))
	}

	known := &memory{}
	now := newTeller(t)
	now.set, now.uuid = b.recorder(b.start).set, b.info.UUID
	b.follow(now, known, func() {
		for n, c := range chapters {
			if c.rows != "" && len(c.ddl) > 0 { // statement, read, rows, read
				write(n, chapter{ddl: c.ddl})
				now.await(b.end())
				c.ddl = nil
			}
			write(n+1000, c)
			now.await(b.end())
		}
	})
	check := func(what string, h *teller, readable func(int, string) bool, keys bool) {
		t.Helper()
		at := 0
		for n, c := range chapters {
			for _, line := range c.want {
				table := tableOf(line, chapters)
				if !readable(n, table) {
					if len(h.failed[table]) == 0 {
						t.Errorf("%s: %s cannot have been known, but did not fail", what, table)
					}
					continue
				}
				for at < len(h.rows) && strings.HasPrefix(h.rows[at].line, "steady ") {
					at++
				}
				if at == len(h.rows) || h.rows[at].line != line {
					t.Fatalf("%s: row %d is %v, want %s (failed: %v)", what, at, h.rows[at:min(at+1, len(h.rows))], line, h.failed)
				}
				if got := h.rows[at].key; got != c.key && (keys || got != "") {
					t.Errorf("%s: %s has key %q, want %q", what, line, got, c.key)
				}
				at++
			}
		}
		steady := 0
		for i, r := range h.rows {
			if strings.HasPrefix(r.line, "steady ") {
				steady++
			} else if i >= at {
				t.Errorf("%s: %s was not expected", what, r.line)
			}
		}
		want := 0
		for _, c := range chapters {
			if want++; c.rows != "" && len(c.ddl) > 0 {
				want++
			}
		}
		if steady != want || len(h.failed["steady"]) > 0 {
			t.Errorf("%s: %d rows of the table that nothing happened to, want %d", what, steady, want)
		}
	}
	always := func(int, string) bool { return true }
	check("at once", now, always, true)
	if len(now.failed) > 0 {
		t.Errorf("at once: failed: %v", now.failed)
	}

	later := newTeller(t)
	b.follow(later, known, func() {})
	check("later, with what was known", later, always, true)
	if len(later.failed) > 0 {
		t.Errorf("later, with what was known: failed: %v", later.failed)
	}

	b.fromAnyBoundary(known, now)

	blind := newTeller(t)
	b.follow(blind, nil, func() {})
	check("later, with nothing known", blind, func(n int, table string) bool {
		return full || !slices.ContainsFunc(chapters[n+1:], func(c chapter) bool { return slices.Contains(c.changes, table) })
	}, false)
	if full && len(blind.failed) > 0 {
		t.Errorf("later, with nothing known: failed: %v", blind.failed)
	}
	for table, errs := range blind.failed {
		for _, e := range errs {
			if e.Place.EventStart == 0 || !errors.Is(e, ErrDefinition) || !strings.Contains(e.Error(), "binlogstreamer reload-table "+b.db+"."+table) {
				t.Errorf("%s failed with %v", table, e)
			}
		}
	}
}

// tableOf is the table that a line is about: its longest name that the story knows.
func tableOf(line string, chapters []chapter) string {
	found := ""
	for _, c := range chapters {
		for _, name := range c.changes {
			if strings.HasPrefix(line, name+" ") && len(name) > len(found) {
				found = name
			}
		}
	}
	return found
}
