package source

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func load(t *testing.T, s *testservers.MySQLServer, db, ddl string) *schema.Table {
	t.Helper()
	s.MustExec(t, "SET NAMES utf8mb4", "USE "+db, "DROP TABLE IF EXISTS t", ddl)
	table, err := LoadTable(t.Context(), open(t, s), db, "t")
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func keyNames(t *schema.Table) string {
	var names []string
	for _, i := range t.Key {
		names = append(names, t.Columns[i].Name)
	}
	return strings.Join(names, ",")
}

func TestLoadTableKeys(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		db := s.Database(t)
		for _, c := range []struct {
			ddl, key string
			kind     schema.KeyKind
		}{
			{"CREATE TABLE t (a INT, b INT, C INT, PRIMARY KEY (c, a))", "C,a", schema.PrimaryKey},
			{"CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, c INT, KEY k (a), UNIQUE u1 (c), UNIQUE u2 (b, a), UNIQUE u3 (a))", "b,a", schema.UniqueKey},
			{"CREATE TABLE t (a INT NOT NULL, b INT, UNIQUE (a, b), KEY (a))", "", schema.NoKey},
			{"CREATE TABLE t (a VARCHAR(300), PRIMARY KEY (a(10)))", "a", schema.PrimaryKey},
		} {
			table := load(t, s, db, c.ddl)
			if keyNames(table) != c.key || table.KeyKind != c.kind {
				t.Errorf("%s: key is %q of kind %d", c.ddl, keyNames(table), table.KeyKind)
			}
		}
	})
}

func TestLoadTableColumns(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		ddl := "CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, v INT GENERATED ALWAYS AS (id + 1) VIRTUAL, s INT GENERATED ALWAYS AS (id + 2) STORED," +
			" h INT INVISIBLE DEFAULT 1, e ENUM('a','it''s','ü') CHARACTER SET latin1, b BINARY(3), d TIMESTAMP DEFAULT CURRENT_TIMESTAMP," +
			" c CHAR(5) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL)"
		table := load(t, s, s.Database(t), ddl)
		var names []string
		for _, c := range table.Columns {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); got != "id v s h e b d c" {
			t.Fatalf("columns are %s", got)
		}
		col := func(n string) schema.Column { return table.Columns[slices.Index(names, n)] }
		if c := col("id"); !c.Unsigned || c.Nullable || c.Type != schema.BigInt {
			t.Errorf("id: %+v", c)
		}
		if c := col("v"); !c.Generated || c.Unlogged != (f == MariaDB) {
			t.Errorf("v: %+v", c)
		}
		if c := col("s"); !c.Generated || c.Unlogged != (f == MariaDB) {
			t.Errorf("s: %+v", c)
		}
		if c := col("h"); !c.Invisible || !c.Nullable || c.Unlogged {
			t.Errorf("h: %+v", c)
		}
		if c := col("e"); !slices.Equal(c.Labels, []string{"a", "it's", "ü"}) || c.Charset != "latin1" {
			t.Errorf("e: %+v", c)
		}
		if c := col("b"); c.Charset != "" || c.Length != 3 {
			t.Errorf("b: %+v", c)
		}
		if c := col("d"); c.Generated { // MySQL writes DEFAULT_GENERATED there
			t.Errorf("d: %+v", c)
		}
		if c := col("c"); c.Charset != "latin1" || c.Collation != "latin1_bin" || c.Length != 5 || c.Nullable {
			t.Errorf("c: %+v", c)
		}
	})
}

func TestGeneratedInvisiblePrimaryKey(t *testing.T) {
	s := testservers.SharedMySQL(t)
	db := s.Database(t)
	s.MustExec(t, "USE "+db, "SET SESSION sql_generate_invisible_primary_key = ON", "CREATE TABLE t (a INT)")
	table, err := LoadTable(t.Context(), open(t, s), db, "t")
	if err != nil {
		t.Fatal(err)
	}
	if keyNames(table) != "my_row_id" || table.KeyKind != schema.PrimaryKey || !table.Columns[0].Invisible || len(table.Columns) != 2 {
		t.Errorf("got %+v", table)
	}
}

func TestTables(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		db := s.Database(t)
		s.MustExec(t, "USE "+db, "CREATE TABLE b (a INT)", "CREATE TABLE `a``x` (a INT)", "CREATE VIEW v AS SELECT * FROM b")
		conn := open(t, s)
		all, err := Tables(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		all = slices.DeleteFunc(all, func(n TableName) bool { return n.Schema != db })
		want := []TableName{{db, "a`x", false}, {db, "b", false}, {db, "v", true}}
		if !slices.Equal(all, want) {
			t.Errorf("got %v, want %v", all, want)
		}
		if _, err := LoadTable(t.Context(), conn, db, "a`x"); err != nil {
			t.Error(err)
		}
		if v, err := LoadTable(t.Context(), conn, db, "v"); err != nil || v.KeyKind != schema.NoKey {
			t.Errorf("view: %v, %v", v, err)
		}
		if _, err := LoadTable(t.Context(), conn, db, "nothing"); !errors.Is(err, ErrNoTable) {
			t.Errorf("a missing table gives %v", err)
		}
		// Whoever reads a table or its schema away is told so by the server itself.
		for _, gone := range []string{"`" + db + "`.nothing", "`" + db + "_nothing`.nothing"} {
			if _, err := conn.Execute("SELECT 1 FROM " + gone); !IsNoTable(err) {
				t.Errorf("SELECT from %s: %v", gone, err)
			}
		}
	})
}

func TestCollations(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		c, err := Collations(t.Context(), open(t, s))
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range map[uint64]Collation{
			8: {"latin1_swedish_ci", "latin1", 1}, 63: {"binary", "binary", 1}, 46: {"utf8mb4_bin", "utf8mb4", 4},
		} {
			if c[id] != want {
				t.Errorf("collation %d is %+v, want %+v", id, c[id], want)
			}
		}
		if f == MariaDB && len(c) < 500 {
			t.Errorf("only %d collations", len(c))
		}
	})
}
