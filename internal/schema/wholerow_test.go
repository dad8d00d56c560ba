package schema_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// wholeRow is what consumers see of a row: its data and its partition key.
type wholeRow struct{ data, partition string }

// tableName is a table that wholeRows looks at.
type tableName struct{ schema, name string }

// wholeRows reads tables as the full load does, replays the binlog from a position on, and compares: the same rows, and for
// each the same data and the same partition key. It returns the rows by row key.
func wholeRows(t *testing.T, s *testservers.MySQLServer, from source.Position, tables []tableName) map[tableName]map[string]wholeRow {
	t.Helper()
	finish := s.Database(t)
	s.MustExec(t, "USE "+finish, "CREATE TABLE finish (id INT)", "INSERT INTO finish VALUES (1)")
	selected := map[tableName]map[string]wholeRow{}
	conn, err := source.Connect(t.Context(), serverConfig(s))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close(conn)
	for _, n := range tables {
		table, err := source.LoadTable(t.Context(), conn, n.schema, n.name)
		if err != nil {
			t.Fatal(err)
		}
		layout, err := schema.NewTextLayout(table, schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		plan := planOf(t, table, layout)
		query := "SELECT " + strings.Join(layout.SelectList(), ", ") + " FROM " + schema.QuoteIdent(n.schema) + "." + schema.QuoteIdent(n.name)
		if table.Versioned {
			query += " FOR SYSTEM_TIME ALL"
		}
		selected[n] = map[string]wholeRow{}
		err = source.StreamText(t.Context(), conn, query, func(row [][]byte) error {
			key, r := render(t, plan, record.Load, row, nil, n)
			selected[n][key] = r
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	p := &replay{t: t, finish: finish, wanted: tables, plans: map[*schema.Table]*record.Plan{}, rows: map[tableName]map[string]wholeRow{}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	err = binlog.New(binlog.Config{Source: serverConfig(s), ServerID: 4712, Handler: p, Selected: p.selects}).Run(ctx, from)
	if !errors.Is(err, errFinished) {
		t.Fatal(err)
	}
	for _, n := range tables {
		if diff := cmp.Diff(selected[n], p.rows[n], cmp.AllowUnexported(wholeRow{})); diff != "" {
			t.Errorf("%s, %q: SELECT and binlog differ (-select +binlog):\n%.2000s", s.Program.Version, n, diff)
		}
		if len(selected[n]) == 0 {
			t.Errorf("%s, %q: no rows", s.Program.Version, n)
		}
	}
	return selected
}

func planOf(t *testing.T, table *schema.Table, codec schema.Codec) *record.Plan {
	t.Helper()
	o := record.DefaultOptions("test")
	o.IncludeNullAndEmpty, o.IncludePartitionValue, o.PartitionIncludeSchemaTable = true, true, true
	plan, err := record.NewPlan(table, codec, o)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// render builds a row's record, looks that it is what its table and columns are called, and takes it apart.
func render(t *testing.T, plan *record.Plan, op record.Operation, row [][]byte, tx *record.Transaction, n tableName) (key string, r wholeRow) {
	t.Helper()
	stamp := &record.Stamp{Tx: tx}
	out, err := plan.Append(nil, op, row, nil, stamp)
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Data     json.RawMessage
		Metadata map[string]any
	}
	if err := json.Unmarshal(out, &parsed); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if parsed.Metadata["schema-name"] != n.schema || parsed.Metadata["table-name"] != n.name {
		t.Errorf("the record of %q says %q, %q", n, parsed.Metadata["schema-name"], parsed.Metadata["table-name"])
	}
	partition, err := plan.AppendPartitionKey(nil, row, stamp)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Metadata["partition-key-value"] != string(partition) && parsed.Metadata["partition-key-type"] != "schema-table" {
		t.Errorf("the partition key is %q, the record says %q", partition, parsed.Metadata["partition-key-value"])
	}
	if !strings.HasPrefix(string(partition), n.schema+"."+n.name) {
		t.Errorf("the partition key of %q is %q", n, partition)
	}
	rowKey, err := plan.AppendRowKey(nil, row)
	if err != nil {
		t.Fatal(err)
	}
	return string(rowKey), wholeRow{string(parsed.Data), string(partition)}
}

// replay applies the changes of the binlog to rows by row key.
type replay struct {
	t      *testing.T
	finish string
	wanted []tableName
	plans  map[*schema.Table]*record.Plan
	rows   map[tableName]map[string]wholeRow
	tx     *record.Transaction
}

func (p *replay) selects(schemaName, name string) bool {
	return schemaName == p.finish || slices.Contains(p.wanted, tableName{schemaName, name})
}

func (p *replay) Begin(_ context.Context, tx *record.Transaction) error {
	p.tx = tx
	return nil
}
func (p *replay) Commit(context.Context, binlog.Boundary) error         { return nil }
func (p *replay) Schema(_ context.Context, _ binlog.SchemaChange) error { return nil }

func (p *replay) Rows(_ context.Context, rows *binlog.Rows) error {
	if rows.Table.Schema == p.finish {
		return errFinished
	}
	n := tableName{rows.Table.Schema, rows.Table.Name}
	if p.rows[n] == nil {
		p.rows[n] = map[string]wholeRow{}
	}
	plan := p.plans[rows.Table]
	if plan == nil {
		plan = planOf(p.t, rows.Table, rows.Layout)
		p.plans[rows.Table] = plan
	}
	for rows.Next() {
		if rows.Before != nil {
			key, _ := render(p.t, plan, record.Delete, rows.Before, p.tx, n)
			delete(p.rows[n], key)
		}
		if rows.After != nil {
			key, r := render(p.t, plan, rows.Op, rows.After, p.tx, n)
			if _, there := p.rows[n][key]; there {
				p.t.Errorf("%q: %s of a row that is there: %s", n, rows.Op, key)
			}
			p.rows[n][key] = r
		}
	}
	return rows.Err()
}

// TestSpecialColumns reads columns that the server hides, computes or stores in another place.
func TestSpecialColumns(t *testing.T) {
	for _, s := range everyServer(t) {
		db := s.Database(t)
		statements := []string{
			"SET NAMES utf8mb4", "USE " + db, "SET sql_mode = ''",
			"CREATE TABLE invisible (a INT INVISIBLE DEFAULT 1, id INT PRIMARY KEY, b VARCHAR(9) INVISIBLE)",
			"INSERT INTO invisible (id) VALUES (1), (2)", "INSERT INTO invisible (a, id, b) VALUES (3, 3, 'x')",
			"CREATE TABLE `generated` (v1 INT GENERATED ALWAYS AS (id * 2) VIRTUAL, id INT, s VARCHAR(20) GENERATED ALWAYS AS (CONCAT('é', id)) STORED," +
				" v2 DECIMAL(20,5) GENERATED ALWAYS AS (id / 3) VIRTUAL, n INT, v3 TEXT GENERATED ALWAYS AS (REPEAT('x', id)) VIRTUAL, PRIMARY KEY (id), KEY (v1), KEY (s))",
			"INSERT INTO `generated` (id, n) VALUES (1, 1), (2, NULL)", "UPDATE `generated` SET n = 7, id = 300 WHERE id = 2",
			"INSERT INTO `generated` (id, n) VALUES (9, 9), (10, 10), (11, 11)", "DELETE FROM `generated` WHERE id = 9", "DELETE FROM `generated` WHERE v1 = 20",
			"REPLACE INTO `generated` (id, n) VALUES (11, 12)", "INSERT INTO `generated` (id, n) VALUES (11, 0) ON DUPLICATE KEY UPDATE n = 13",
			"DELETE g FROM `generated` g JOIN invisible i ON g.id = i.id AND i.id = 1",
			"CREATE TABLE parted (id INT, at DATE, v INT, PRIMARY KEY (id, at)) PARTITION BY RANGE (YEAR(at)) " +
				"(PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE)",
			"INSERT INTO parted VALUES (1, '1999-01-01', 1), (1, '2020-01-01', 2)", "UPDATE parted SET at = '2021-01-01' WHERE v = 1",
			"CREATE TABLE subparted (id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 4",
			"INSERT INTO subparted VALUES (1, 1), (2, 2), (3, NULL)",
			"CREATE TABLE defaults (id INT PRIMARY KEY, a VARCHAR(40) DEFAULT (CONCAT('x', 1 + 1)), b TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6), c DECIMAL(5,2) DEFAULT 1.5," +
				" d ENUM('p','q') DEFAULT 'q', e BIT(3) DEFAULT b'101', f JSON DEFAULT ('{}'), g DATETIME DEFAULT '0000-00-00 00:00:00')",
			"INSERT INTO defaults (id) VALUES (1), (2)",
			"CREATE TABLE uniquely (a VARCHAR(5) NOT NULL, b INT, UNIQUE (a))", "INSERT INTO uniquely VALUES ('x', 1), ('y', NULL)",
		}
		names := []string{"invisible", "generated", "parted", "subparted", "defaults", "uniquely"}
		mysql := s.Program.Flavor == dbserver.MySQL
		if mysql {
			statements = append(statements,
				"CREATE TABLE keyed_by_generated (id INT, k VARCHAR(20) GENERATED ALWAYS AS (CONCAT('k', id)) STORED, UNIQUE (id), PRIMARY KEY (k))",
				"INSERT INTO keyed_by_generated (id) VALUES (1), (2)",
				"SET SESSION sql_generate_invisible_primary_key = ON", "CREATE TABLE gipk (v VARCHAR(10))", "INSERT INTO gipk VALUES ('a'), ('a')", "UPDATE gipk SET v = 'b' LIMIT 1",
				"SET SESSION sql_generate_invisible_primary_key = OFF")
			names = append(names, "gipk", "keyed_by_generated")
		}
		from := endOfLog(t, s)
		s.MustExec(t, statements...)
		got := wholeRows(t, s, from, tablesOf(db, names))
		if rows := got[tableName{db, "gipk"}]; mysql && !strings.Contains(rows["1"].data, `"my_row_id":1`) {
			t.Errorf("the generated key is not in the data: %v", rows)
		}
		// The same rows, logged with full metadata.
		from = endOfLog(t, s)
		s.MustExec(t, "SET GLOBAL binlog_row_metadata = FULL", "USE "+db)
		for _, n := range names {
			s.MustExec(t, "USE "+db, touch[n])
		}
		wholeRows(t, s, from, tablesOf(db, names))
		s.MustExec(t, "SET GLOBAL binlog_row_metadata = DEFAULT")
		// Columns that were added without writing the rows again have their default in the old rows.
		s.MustExec(t, "SET NAMES utf8mb4", "USE "+db, "CREATE TABLE instant (id INT PRIMARY KEY, v INT)", "INSERT INTO instant VALUES (1, 1), (2, 2)",
			"ALTER TABLE instant ADD COLUMN a INT NOT NULL DEFAULT 7, ALGORITHM=INSTANT", "INSERT INTO instant (id) VALUES (3)",
			"ALTER TABLE instant ADD COLUMN b VARCHAR(20) CHARACTER SET latin1 DEFAULT 'ä', ADD COLUMN c BINARY(4) DEFAULT 'x', ADD COLUMN d TIMESTAMP(3) NULL DEFAULT '2020-01-01 00:00:00', ALGORITHM=INSTANT")
		from = endOfLog(t, s)
		s.MustExec(t, "UPDATE "+db+".instant SET v = id * 10")
		for _, r := range wholeRows(t, s, from, tablesOf(db, []string{"instant"}))[tableName{db, "instant"}] {
			if !strings.Contains(r.data, `"a":7,"b":"ä","c":"0x78000000","d":"2020-01-01T`) {
				t.Errorf("%s: %s", s.Program.Version, r.data)
			}
		}
	}
}

// touch has for each table a statement that changes all its rows.
var touch = map[string]string{
	"invisible": "UPDATE invisible SET b = CONCAT(IFNULL(b, ''), 'y')", "generated": "UPDATE `generated` SET n = IFNULL(n, 0) + 1",
	"keyed_by_generated": "UPDATE keyed_by_generated SET id = id + 10", "parted": "UPDATE parted SET v = v + 10",
	"subparted": "UPDATE subparted SET v = 9", "defaults": "UPDATE defaults SET c = 2.5", "uniquely": "UPDATE uniquely SET b = 5",
	"gipk": "UPDATE gipk SET v = CONCAT(v, '!')",
}

func tablesOf(db string, names []string) []tableName {
	var out []tableName
	for _, n := range names {
		out = append(out, tableName{db, n})
	}
	return out
}

// names are identifiers that somebody will have given a schema, a table or a column.
var names = []string{
	"plain", "with space", "a.b", "`", "``", "'", `"`, `\`, `\'`, "a`b.c`d", "%", "_", "a/b", "#sql", "--", "/* x */", ";", "(", "?", "@", "$", "é", "E", "e", "É", "日本語", "العربية",
	"\x01", "a\tb", "a\nb", "a\rb", "\x1f", "\x7f", "\u0080", "\u2028", "\ufeff", "\uffff", "select", "NULL", "0", "1e5", ".", "..", "CON", " lead", strings.Repeat("ü", 64), strings.Repeat("x", 64), "{}", "<&>",
}

// TestNames uses every kind of name for schemas, tables and columns, and every character of the basic plane in a column's
// name: through the loading of definitions, SELECT, the binlog with and without names in it, and records.
func TestNames(t *testing.T) {
	for i, s := range everyServer(t) {
		for _, metadata := range [][]string{{"MINIMAL", "FULL"}, {"FULL"}, {"MINIMAL"}}[i] {
			s.MustExec(t, "SET GLOBAL binlog_row_metadata = "+metadata)
			from := endOfLog(t, s)
			var tables []tableName
			schemas := []string{}
			for i, n := range names {
				// Every name is that of a table, half of them, by the kind of metadata, that of a schema, too.
				db := "nämes"
				if i%2 == len(metadata)%2 {
					db = n
				}
				if !slices.Contains(schemas, db) {
					schemas = append(schemas, db)
				}
				tables = append(tables, tableName{db, n})
			}
			statements := []string{"SET NAMES utf8mb4"}
			for _, db := range schemas {
				statements = append(statements, "CREATE DATABASE "+schema.QuoteIdent(db))
			}
			for i, n := range tables {
				q := schema.QuoteIdent(n.schema) + "." + schema.QuoteIdent(n.name)
				statements = append(statements, fmt.Sprintf("CREATE TABLE %s (%s INT PRIMARY KEY, %s VARCHAR(70) CHARACTER SET utf8mb4)", q,
					schema.QuoteIdent(names[i]), schema.QuoteIdent("v"+string([]rune(names[i])[:min(63, len([]rune(names[i])))]))),
					fmt.Sprintf("INSERT INTO %s VALUES (1, %s)", q, schema.QuoteString(n.name)))
			}
			s.MustExec(t, append(statements, everyCharacter...)...)
			schemas = append(schemas, "characters")
			all := tablesOf("characters", []string{"t0", "t1", "t2", "t3", "t4"})
			rows := wholeRows(t, s, from, append(tables, all...))
			seen := map[rune]bool{}
			for _, n := range all {
				for _, r := range rows[n] {
					var data map[string]int
					if err := json.Unmarshal([]byte(r.data), &data); err != nil {
						t.Fatal(err)
					}
					for name := range maps.Keys(data) {
						for _, c := range name {
							seen[c] = true
						}
					}
				}
			}
			if len(seen) != 1<<16-1-0x800 {
				t.Errorf("%s: %d characters came through", s.Program.Version, len(seen))
			}
			for _, db := range schemas {
				s.MustExec(t, "SET NAMES utf8mb4", "DROP DATABASE "+schema.QuoteIdent(db))
			}
		}
		s.MustExec(t, "SET GLOBAL binlog_row_metadata = DEFAULT")
	}
}

// everyCharacter makes tables whose columns' names have, together, every character that a name may have.
var everyCharacter = func() []string {
	var columns []string
	name := []rune{'c'}
	for r := rune(1); r < 1<<16; r++ {
		if r == 0xd800 {
			r = 0xe000
		}
		if name = append(name, r); len(name) == 63 || r == 1<<16-1 {
			columns = append(columns, schema.QuoteIdent(string(name)+"c")+" INT DEFAULT 1")
			name = []rune{'c'}
		}
	}
	statements := []string{"CREATE DATABASE characters"}
	for i := range 5 { // MariaDB's definitions must fit into 64 KiB
		some := columns[len(columns)*i/5 : len(columns)*(i+1)/5]
		name := fmt.Sprintf("characters.t%d", i)
		statements = append(statements, "CREATE TABLE "+name+" ("+strings.Join(some, ", ")+")", "INSERT INTO "+name+" () VALUES ()")
	}
	return statements
}()

// TestManyColumns has tables with as many columns as there can be.
func TestManyColumns(t *testing.T) {
	for _, s := range everyServer(t) {
		db := s.Database(t)
		from := endOfLog(t, s)
		most := 4095
		if s.Program.Flavor == dbserver.MariaDB {
			most = 2500 // its definitions must fit into 64 KiB
		}
		statements := []string{"USE " + db}
		for name, definition := range map[string]struct {
			count   int
			columns []string
			engine  string
		}{
			"thousand": {1000, []string{"INT", "VARCHAR(3)", "BIT(3)", "DECIMAL(5,2)", "TIME(3)", "ENUM('a','b')"}, "InnoDB"},
			"most":     {most, []string{"TINYINT", "CHAR(1) CHARACTER SET latin1", "BIT(1)", "YEAR"}, "MyISAM"},
		} {
			var columns, values, nulls []string
			for i := range definition.count {
				columns = append(columns, fmt.Sprintf("c%d %s", i, definition.columns[i%len(definition.columns)]))
				values = append(values, fmt.Sprint(i%2))
				nulls = append(nulls, []string{"NULL", "1"}[i%3%2])
			}
			statements = append(statements, fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, %s) ENGINE=%s", name, strings.Join(columns, ", "), definition.engine),
				fmt.Sprintf("INSERT INTO %s VALUES (1, %s)", name, strings.Join(values, ",")), fmt.Sprintf("INSERT INTO %s VALUES (2, %s)", name, strings.Join(nulls, ",")))
		}
		s.MustExec(t, append([]string{"SET sql_mode = ''"}, statements...)...)
		wholeRows(t, s, from, tablesOf(db, []string{"thousand", "most"}))
	}
}

func (p *replay) TableFailed(_ context.Context, e *binlog.TableError) error { return e }

// TestSystemVersioning replays changes of MariaDB's versioned tables: former rows are rows of their own, told apart by when
// they ended.
func TestSystemVersioning(t *testing.T) {
	definitions := map[string]string{
		"implicit": "(id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
		"explicit": "(s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, id INT, v INT, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, w INT WITHOUT SYSTEM VERSIONING," +
			" g INT GENERATED ALWAYS AS (v + 1) STORED, PERIOD FOR SYSTEM_TIME (s, e), PRIMARY KEY (id)) WITH SYSTEM VERSIONING",
		"hidden": "(id INT, v INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE," +
			" PERIOD FOR SYSTEM_TIME (s, e), PRIMARY KEY (e, id)) WITH SYSTEM VERSIONING",
		"uniquely": "(id INT NOT NULL UNIQUE, v INT) WITH SYSTEM VERSIONING",
		"keyless":  "(id INT, v INT) WITH SYSTEM VERSIONING",
		"parted":   "(id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME (PARTITION h HISTORY, PARTITION c CURRENT)",
		"by_uuid":  "(id UUID DEFAULT UUID(), k INET6, v INT, PRIMARY KEY (k, id)) WITH SYSTEM VERSIONING",
	}
	for _, s := range everyServer(t)[1:] {
		db := s.Database(t)
		for _, metadata := range []string{"NO_LOG", "MINIMAL", "FULL"} {
			s.MustExec(t, "SET GLOBAL binlog_row_metadata = "+metadata)
			from := endOfLog(t, s)
			for i, name := range slices.Sorted(maps.Keys(definitions)) {
				insert := "INSERT INTO " + name + " (id, v) VALUES (1, 1), (2, 2), (3, 3)"
				move := "UPDATE " + name + " SET id = 20 WHERE v = 30"
				if name == "by_uuid" {
					insert = "INSERT INTO by_uuid (k, v) VALUES ('::1', 1), ('::2', 2), ('::3', 3)"
					move = "UPDATE by_uuid SET k = 'ff::' WHERE v = 30"
				}
				s.MustExec(t, "USE "+db, "DROP TABLE IF EXISTS "+name, "CREATE TABLE "+name+" "+definitions[name],
					fmt.Sprintf("SET timestamp = %d.5", 1700000000+i), insert, "UPDATE "+name+" SET v = 10 WHERE v = 1", // within the same moment
					fmt.Sprintf("SET timestamp = %d.25", 1700000100+i), "UPDATE "+name+" SET v = 30 WHERE v = 3", "DELETE FROM "+name+" WHERE v = 2",
					fmt.Sprintf("SET timestamp = %d", 1700000200+i), move, "UPDATE "+name+" SET v = v + 100",
					"DELETE HISTORY FROM "+name+fmt.Sprintf(" BEFORE SYSTEM_TIME FROM_UNIXTIME(%d)", 1700000150+i))
			}
			tables := tablesOf(db, slices.Sorted(maps.Keys(definitions)))
			for n, rows := range wholeRows(t, s, from, tables) {
				// Of 1 and 3 the latest rows, and what they were before the last update; history before it is deleted.
				if len(rows) != 4 {
					t.Errorf("%s, %s: %d rows: %v", s.Program.Version, n.name, len(rows), rows)
				}
			}
		}
		s.MustExec(t, "SET GLOBAL binlog_row_metadata = DEFAULT")

		s.MustExec(t, "USE "+db, "CREATE TABLE by_transaction (id INT PRIMARY KEY, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START,"+
			" e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING")
		conn, err := source.Connect(t.Context(), serverConfig(s))
		if err != nil {
			t.Fatal(err)
		}
		_, err = source.LoadTable(t.Context(), conn, db, "by_transaction")
		source.Close(conn)
		if !errors.Is(err, source.ErrVersionedByTransaction) || !source.Refused(err) {
			t.Errorf("%s: versions by transaction: %v", s.Program.Version, err)
		}
		from := endOfLog(t, s)
		s.MustExec(t, "INSERT INTO "+db+".by_transaction (id) VALUES (1)", "UPDATE "+db+".by_transaction SET id = 2")
		p := &replay{t: t, wanted: tablesOf(db, []string{"by_transaction"})}
		err = binlog.New(binlog.Config{Source: serverConfig(s), ServerID: 4712, Handler: p, Selected: p.selects}).Run(t.Context(), from)
		if tableError, ok := errors.AsType[*binlog.TableError](err); !ok || tableError.Name != "by_transaction" || !strings.Contains(err.Error(), "make its row start and end TIMESTAMP(6)") {
			t.Errorf("%s: rows with versions by transaction: %v", s.Program.Version, err)
		}
	}
}
