package binlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// odd is a way of changing rows that is logged in a way of its own. Afterwards what was read gives the tables.
type odd struct {
	name   string
	tables []string
	ddl    []string // before reading begins
	sql    []string
	only   func(source.Server) bool // nil: everywhere
}

func mysqlOnly(s source.Server) bool { return s.Flavor == source.MySQL }

// MySQL with GTIDs takes no transaction over engines of both kinds.
func mixing(s source.Server) bool { return s.Flavor == source.MariaDB || !s.GTIDMode }

var oddities = []odd{
	{name: "savepoints", tables: []string{"t"}, ddl: []string{"CREATE TABLE t (id INT PRIMARY KEY, v INT)"}, sql: []string{
		"BEGIN", "INSERT INTO t VALUES (1, 1)", "SAVEPOINT a", "INSERT INTO t VALUES (2, 2)", "SAVEPOINT b", "UPDATE t SET v = 9",
		"ROLLBACK TO b", "INSERT INTO t VALUES (3, 3)", "ROLLBACK TO a", "INSERT INTO t VALUES (4, 4)", "RELEASE SAVEPOINT a", "COMMIT",
		"BEGIN", "INSERT INTO t VALUES (5, 5)", "SAVEPOINT a", "DELETE FROM t", "ROLLBACK",
	}},
	{name: "engines without transactions", tables: []string{"t", "u"}, ddl: []string{
		"CREATE TABLE t (id INT PRIMARY KEY, v INT) ENGINE=MyISAM", "CREATE TABLE u (id INT PRIMARY KEY, v INT) ENGINE=MEMORY",
	}, sql: []string{
		"INSERT INTO t VALUES (1, 1), (2, 2)", "INSERT INTO u SELECT * FROM t", "UPDATE t SET v = v + 1", "DELETE FROM u WHERE id = 1",
		"REPLACE INTO t VALUES (1, 7)", "INSERT INTO u VALUES (2, 0), (3, 3) ON DUPLICATE KEY UPDATE v = 8",
	}},
	{name: "a statement that fails in the middle", tables: []string{"t", "u"}, only: mixing, ddl: []string{
		"CREATE TABLE t (id INT PRIMARY KEY) ENGINE=MyISAM", "CREATE TABLE u (id INT PRIMARY KEY)", "CREATE TABLE other (id INT)",
		"INSERT INTO other VALUES (1), (2), (2), (3)",
	}, sql: []string{"!INSERT INTO t SELECT id FROM other", "!INSERT INTO u SELECT id FROM other"}},
	{name: "mixed transactions", tables: []string{"t", "u"}, only: mixing, ddl: []string{
		"CREATE TABLE t (id INT PRIMARY KEY, v INT)", "CREATE TABLE u (id INT PRIMARY KEY, v INT) ENGINE=MyISAM",
	}, sql: []string{
		"BEGIN", "INSERT INTO t VALUES (1, 1)", "INSERT INTO u VALUES (1, 1)", "INSERT INTO t VALUES (2, 2)", "COMMIT",
		"BEGIN", "INSERT INTO u VALUES (2, 2)", "INSERT INTO t VALUES (3, 3)", "ROLLBACK",
		"BEGIN", "INSERT INTO t VALUES (4, 4)", "INSERT INTO u VALUES (3, 3)", "ROLLBACK",
		"INSERT INTO t SELECT id + 100, v FROM u", "INSERT INTO u SELECT id + 100, v FROM t",
	}},
	{name: "ways to insert", tables: []string{"t"}, ddl: []string{"CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, u INT UNIQUE, v INT)"}, sql: []string{
		"INSERT INTO t (u, v) VALUES (1, 1), (2, 2), (3, 3)", "REPLACE INTO t (u, v) VALUES (2, 20), (4, 40)",
		"REPLACE INTO t VALUES (1, 3, 30)", // takes the place of two rows
		"INSERT INTO t (u, v) VALUES (4, 1), (5, 5) ON DUPLICATE KEY UPDATE v = v + 1, id = id + 100",
		"INSERT IGNORE INTO t (u, v) VALUES (5, 0), (6, 6)", "INSERT INTO t (u, v) SELECT u + 100, v FROM t",
		"UPDATE IGNORE t SET u = 6 WHERE v > 1", "DELETE FROM t WHERE v > 5 ORDER BY id LIMIT 2",
	}},
	{name: "several tables", tables: []string{"t", "u"}, ddl: []string{
		"CREATE TABLE t (id INT PRIMARY KEY, v INT)", "CREATE TABLE u (id INT PRIMARY KEY, v INT)", "CREATE TABLE other (id INT PRIMARY KEY, v INT)",
	}, sql: []string{
		"INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)", "INSERT INTO u SELECT id, 0 FROM t", "INSERT INTO other SELECT * FROM t",
		"UPDATE t, u, other SET t.v = 10, u.v = 20, other.v = 30 WHERE t.id = u.id AND other.id = t.id AND t.id > 1",
		"DELETE t, other FROM t JOIN other USING (id) JOIN u USING (id) WHERE u.v = 20 AND id = 2",
	}},
	{name: "triggers", tables: []string{"t", "u"}, ddl: []string{
		"CREATE TABLE t (id INT PRIMARY KEY, v INT)", "CREATE TABLE u (id INT PRIMARY KEY, v INT)", "CREATE TABLE other (id INT PRIMARY KEY)",
		"CREATE TRIGGER one BEFORE INSERT ON t FOR EACH ROW SET NEW.v = NEW.v * 2",
		"CREATE TRIGGER two AFTER INSERT ON t FOR EACH ROW INSERT INTO u VALUES (NEW.id, NEW.v)",
		"CREATE TRIGGER three AFTER DELETE ON t FOR EACH ROW DELETE FROM u WHERE id = OLD.id",
		"CREATE TRIGGER four AFTER INSERT ON other FOR EACH ROW INSERT INTO t VALUES (NEW.id + 100, 1)",
	}, sql: []string{"INSERT INTO t VALUES (1, 1), (2, 2)", "INSERT INTO other VALUES (1), (2)", "DELETE FROM t WHERE id IN (2, 102)"}},
	{name: "foreign keys", tables: []string{"t", "u", "v"}, only: mysqlOnly, ddl: []string{
		"CREATE TABLE t (id INT PRIMARY KEY)",
		"CREATE TABLE u (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE ON UPDATE CASCADE)",
		"CREATE TABLE v (id INT PRIMARY KEY, u INT, FOREIGN KEY (u) REFERENCES u (id) ON DELETE SET NULL)",
	}, sql: []string{
		"INSERT INTO t VALUES (1), (2), (3)", "INSERT INTO u VALUES (10, 1), (11, 1), (20, 2), (30, 3)", "INSERT INTO v VALUES (100, 10), (110, 11), (200, 20), (300, 30)",
		"DELETE FROM t WHERE id = 1", "UPDATE t SET id = 33 WHERE id = 3",
		"BEGIN", "DELETE FROM u WHERE id = 20", "DELETE FROM t WHERE id = 2", "COMMIT", "REPLACE INTO t VALUES (33)",
	}},
	{name: "texts of statements", tables: []string{"t"}, only: mysqlOnly, ddl: []string{"CREATE TABLE t (id INT PRIMARY KEY)"}, sql: []string{
		"SET SESSION binlog_rows_query_log_events = ON", "INSERT INTO t /* INSERT INTO t VALUES (9) */ VALUES (1)", "DELETE FROM t",
		"INSERT INTO t VALUES (2)",
	}},
	{name: "temporary tables", tables: []string{"t", "u"}, ddl: []string{"CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT PRIMARY KEY)"}, sql: []string{
		"INSERT INTO t VALUES (1)", "INSERT INTO u VALUES (5)",
		"CREATE TEMPORARY TABLE t (id INT, v INT)", "INSERT INTO t VALUES (7, 7), (8, 8)", "INSERT INTO u SELECT id FROM t", "ALTER TABLE t ADD COLUMN w INT",
		"BEGIN", "INSERT INTO u VALUES (9)", "UPDATE t SET id = 0", "ROLLBACK", "TRUNCATE TABLE t", "DROP TEMPORARY TABLE t",
		"INSERT INTO t VALUES (2)", "CREATE TEMPORARY TABLE t SELECT * FROM u", "RENAME TABLE u TO u2, u2 TO u",
	}},
	{name: "procedures and functions", tables: []string{"t"}, ddl: []string{"CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
		"CREATE FUNCTION f(n INT) RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO t (v) VALUES (n); RETURN n * 2; END",
		"CREATE PROCEDURE p() BEGIN INSERT INTO t (v) VALUES (1); DO f(2); DELETE FROM t WHERE v = 1; END",
	}, sql: []string{"CALL p()", "DO f(5)", "SELECT f(6)", "BEGIN", "CALL p()", "ROLLBACK"}},
}

// Whatever way rows are changed in, the changes that are read make the tables what they are.
func testOddities(t *testing.T, s *testservers.MySQLServer) {
	for _, o := range oddities {
		t.Run(o.name, func(t *testing.T) {
			b := newBench(t, s, o.ddl...)
			if o.only != nil && !o.only(b.info) {
				return
			}
			b.attempt(o.sql...)
			m, err := b.mirrored()
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range m.differences(b, o.tables...) {
				t.Error(d)
			}
			if t.Failed() {
				for _, row := range s.MustQuery(t, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d", b.start.File, b.start.Offset)) {
					t.Log(row)
				}
			}
		})
	}
}

// Going back to a savepoint that other engines do not go back to is logged by MySQL as what remains, and by MariaDB as
// what was done and that it was undone. The rows of the latter have been handed over: it is refused.
func testMixedSavepoint(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "CREATE TABLE u (id INT PRIMARY KEY, v INT) ENGINE=MyISAM")
	if !mixing(b.info) {
		return
	}
	b.exec("BEGIN", "INSERT INTO t VALUES (5, 5)", "SAVEPOINT s", "INSERT INTO u VALUES (4, 4)", "INSERT INTO t VALUES (6, 6)", "ROLLBACK TO s", "COMMIT")
	m, err := b.mirrored()
	switch {
	case errors.Is(err, ErrRolledBack) && b.info.Flavor == source.MariaDB:
	case err != nil:
		t.Error(err)
	default:
		for _, d := range m.differences(b, "t", "u") {
			t.Error(d)
		}
	}
}

// Where the storage engine alone knows of foreign keys, what it does to other tables is not in the log: with MariaDB, and
// with MySQL before 9.6, which can be asked to do as it did. docs/COMPATIBILITY.md says so.
func TestCascadesThatAreNotLogged(t *testing.T) {
	for name, s := range map[string]*testservers.MySQLServer{
		"MariaDB": testservers.SharedMariaDB(t), "MySQL": testservers.MySQL(t, testservers.Flags("--innodb-native-foreign-keys=ON")),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)",
				"CREATE TABLE u (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE)")
			b.exec("INSERT INTO t VALUES (1)", "INSERT INTO u VALUES (2, 1)", "DELETE FROM t")
			m, err := b.mirrored()
			if err != nil {
				t.Fatal(err)
			}
			if diff := m.differences(b, "t", "u"); len(diff) != 1 || diff[0] != `u 2 : "2 1" is not in the table` {
				t.Errorf("differences: %q", diff)
			}
		})
	}
}

// attempt runs statements in one session; those that begin with ! have to fail.
func (b *bench) attempt(statements ...string) {
	b.t.Helper()
	conn := b.server.Conn(b.t, b.db)
	for _, s := range statements {
		fails := s[0] == '!'
		if fails {
			s = s[1:]
		}
		if _, err := conn.Execute(s); (err != nil) != fails {
			b.t.Fatalf("%s: %v", s, err)
		}
	}
}

func testLoadData(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))")
	file := filepath.Join(s.Dir, "rows.txt")
	if err := os.WriteFile(file, []byte("1\tone\n2\ttwo\n1\tagain\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.exec("LOAD DATA INFILE '"+file+"' REPLACE INTO TABLE t", "LOAD DATA INFILE '"+file+"' IGNORE INTO TABLE t (id, v) SET id = id + 10")
	m, err := b.mirrored()
	if err != nil {
		t.Fatal(err)
	}
	if diff := m.differences(b, "t"); diff != nil || len(m.tables["t"]) != 4 {
		t.Errorf("%d rows; %v", len(m.tables["t"]), diff)
	}
}

// What a session keeps out of the log is not seen, and nothing else is.
func testNotLogged(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
	b.exec("INSERT INTO t VALUES (1)", "SET SESSION sql_log_bin = 0", "INSERT INTO t VALUES (2)", "SET SESSION sql_log_bin = 1", "INSERT INTO t VALUES (3)")
	r := b.recorder(b.start)
	err := b.read(b.start, r)
	b.want(r, err, "schema 6 t (id)", "begin", "t insert 1", "commit", "begin", "t insert 3", "commit")
}

// Transactions that are committed in groups come one by one.
func testGroupCommit(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v INT)")
	var writers sync.WaitGroup
	for w := range 6 {
		writers.Go(func() {
			var sql []string
			for i := range 30 {
				id := i*6 + w
				sql = append(sql, "BEGIN", fmt.Sprintf("INSERT INTO %s.t VALUES (%d, 0)", b.db, id), fmt.Sprintf("UPDATE %s.t SET v = %d WHERE id = %d", b.db, w, id), "COMMIT")
			}
			if err := s.Exec(t.Context(), sql...); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	m, err := b.mirrored()
	if err != nil {
		t.Fatal(err)
	}
	if diff := m.differences(b, "t"); diff != nil || len(m.tables["t"]) != 180 {
		t.Errorf("%d rows; %v", len(m.tables["t"]), diff)
	}
}
