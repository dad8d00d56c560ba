package snapshot

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// onBoth runs a test against both families.
func onBoth(t *testing.T, f func(t *testing.T, db *testservers.MySQLServer)) {
	t.Run("mysql", func(t *testing.T) { f(t, testservers.SharedMySQL(t)) })
	t.Run("mariadb", func(t *testing.T) { f(t, testservers.SharedMariaDB(t)) })
}

func connector(db *testservers.MySQLServer) func(context.Context) (*client.Conn, error) {
	return func(ctx context.Context) (*client.Conn, error) {
		return source.Connect(ctx, source.Config{Host: "127.0.0.1", Port: db.Port16(), User: "root", TLS: source.TLSDisabled})
	}
}

func connect(t *testing.T, db *testservers.MySQLServer) *client.Conn {
	t.Helper()
	conn, err := connector(db)(t.Context())
	must(t, err)
	t.Cleanup(func() { source.Close(conn) })
	return conn
}

// pageTables are keys of every kind. A table without its own rows is filled with all pairs of the values of a and b.
var pageTables = []struct {
	name, columns string
	a, b          []string // SQL expressions
	sorts         bool     // its index has no order to read in
	options       string
}{
	{"signed", "a INT, PRIMARY KEY (a)", []string{"-2147483648", "-1", "0", "1", "2147483647"}, nil, false, ""},
	{"no_sign", "a BIGINT UNSIGNED, PRIMARY KEY (a DESC)", []string{"18446744073709551615", "18446744073709551614", "9223372036854775807", "9223372036854775808", "0"}, nil, false, ""},
	{"mixed_up", "a INT, b INT, PRIMARY KEY (a DESC, b)", []string{"1", "2", "3"}, []string{"7", "8", "9"}, false, ""},
	{"mixed_too", "a INT, b VARCHAR(9) COLLATE utf8mb4_bin, PRIMARY KEY (b, a DESC)", []string{"1", "2", "3"}, []string{"'x'", "'X'", "''"}, false, ""},
	{"ci", "a VARCHAR(20) COLLATE utf8mb4_unicode_ci, b INT, PRIMARY KEY (a, b)", []string{"'straße'", "'Strase'", "'éa'", "'EB'", "''", "'it''s'"}, []string{"1", "2"}, false, ""},
	{"latin", "a VARCHAR(20) CHARACTER SET latin1, b CHAR(3) CHARACTER SET utf16, PRIMARY KEY (a DESC, b DESC)", []string{"'é'", "'z'", "'ÿ'"}, []string{"'a'", "'€'", "''"}, false, ""},
	{"octets", "a VARBINARY(9), b BINARY(3), PRIMARY KEY (a, b)", []string{"x''", "x'00'", "x'ff00'"}, []string{"x'00'", "x'ff'", "x'610000'"}, false, ""},
	{"bits", "a BIT(1), b BIT(64), PRIMARY KEY (a, b DESC)", []string{"b'0'", "b'1'"}, []string{"b'0'", "18446744073709551615", "9223372036854775808", "49"}, false, ""},
	{"labels", "a ENUM('b','a','10','2'), b SET('z','y','x'), PRIMARY KEY (a, b)", []string{"'a'", "'b'", "'10'", "'2'"}, []string{"''", "'z'", "'x,z'", "'y'"}, false, ""},
	{"labels_down", "a ENUM('b','a','10','2'), b SET('z','y','x'), PRIMARY KEY (a DESC, b DESC)", []string{"'a'", "'b'", "'10'", "'2'"}, []string{"''", "'z'", "'x,z'", "'y'"}, false, ""},
	{"numbers", "a DECIMAL(65,30), b DECIMAL(3,1), PRIMARY KEY (a, b DESC)", []string{"-99999999999999999999999999999999999.999999999999999999999999999999", "-0.000000000000000000000000000001", "0", "0.1"}, []string{"-1.5", "0", "2"}, false, ""},
	{"floats", "a FLOAT, b DOUBLE, PRIMARY KEY (a, b)", []string{"-1.1", "0.1", "0.2", "16777217", "3.4e38", "1e-40"}, []string{"0.1", "-1e308", "0.30000000000000004", "0.3"}, false, ""},
	{"floats_down", "a FLOAT, PRIMARY KEY (a DESC)", []string{"-1.1", "0", "0.1", "0.2", "1.17e-38", "3.4e38"}, nil, false, ""},
	{"dates", "a DATE, b DATETIME(6), PRIMARY KEY (a, b)", []string{"'0000-00-00'", "'2024-00-00'", "'2024-02-29'", "'9999-12-31'"}, []string{"'0000-00-00'", "'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00.000002'"}, false, ""},
	{"times", "a TIME(3), b TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3), PRIMARY KEY (a DESC, b)", []string{"'-838:59:58.999'", "'-00:00:00.001'", "'00:00:00'", "'838:59:59'"}, []string{"'1970-01-01 00:00:01'", "'2024-03-31 01:30:00.5'", "'0000-00-00'"}, false, ""},
	{"years", "a YEAR, PRIMARY KEY (a)", []string{"'0000'", "'1901'", "'2000'", "'2001'", "'2155'"}, nil, false, ""},
	{"three", "a INT, b INT, c INT DEFAULT 5, PRIMARY KEY (c, a DESC, b)", []string{"1", "2", "3"}, []string{"7", "8", "9"}, false, ""},
	{"not_primary", "a INT NOT NULL, b VARCHAR(9) NOT NULL, c LONGTEXT, KEY other (b), UNIQUE KEY `odd``name` (b, a)", []string{"1", "2"}, []string{"'x'", "'y'"}, false, ""},
	{"parted", "a INT, b INT, PRIMARY KEY (a, b)", []string{"1", "2", "3"}, []string{"4", "5", "6", "7"}, false, "PARTITION BY HASH (b) PARTITIONS 3"},
	// Ignorable and padded characters: what the index holds for different need not differ as a whole.
	{"prefixes", "a VARCHAR(20) COLLATE utf8mb4_unicode_ci, b TEXT, PRIMARY KEY (a(2), b(3))", []string{"'ab'", "CONCAT('a', CHAR(0xAD USING latin1), 'b')", "'b c'", "'béd'"}, []string{"'x'", "'xyz'", "'xya'"}, true, ""},
	{"prefix_bytes", "a BLOB, PRIMARY KEY (a(2) DESC)", []string{"x'00'", "x''", "x'0001ff'", "x'ff'", "x'ff0203'"}, nil, true, ""},
	{"in_memory", "a INT, PRIMARY KEY (a)", []string{"1", "2", "3"}, nil, true, "ENGINE=MEMORY"},
}

// fill makes a table of pageTables and gives the number of its rows.
func fill(t *testing.T, db *testservers.MySQLServer, name string, i int) int {
	t.Helper()
	p := pageTables[i]
	create := "CREATE TABLE " + p.name + " (" + p.columns + ") " + p.options
	statements := []string{"USE " + name, "SET SESSION sql_mode = '', time_zone = '+00:00'", "SET NAMES utf8mb4", create}
	for _, a := range p.a {
		if p.b == nil {
			statements = append(statements, "INSERT INTO "+p.name+" (a) VALUES ("+a+")")
		}
		for _, b := range p.b {
			statements = append(statements, "INSERT INTO "+p.name+" (a, b) VALUES ("+a+", "+b+")")
		}
	}
	db.MustExec(t, statements...)
	return len(p.a) * max(1, len(p.b))
}

// define makes the statements of a table.
func define(t *testing.T, conn *client.Conn, schemaName, name string) *statement {
	t.Helper()
	table, err := source.LoadTable(t.Context(), conn, schemaName, name)
	must(t, err)
	key, err := source.LoadKey(t.Context(), conn, table)
	must(t, err)
	if !pageable(table, key) {
		t.Fatalf("table %s cannot be paged through", name)
	}
	layout, err := schema.NewTextLayout(table, schema.Options{})
	must(t, err)
	return newStatement(table, key, layout.SelectList())
}

// texts runs a query and gives its values, NULL as "".
func texts(t *testing.T, conn *client.Conn, query string) (all [][]string) {
	t.Helper()
	must(t, source.StreamText(t.Context(), conn, query, func(row [][]byte) error {
		var line []string
		for _, v := range row {
			line = append(line, string(v))
		}
		all = append(all, line)
		return nil
	}))
	return all
}

// TestPagesFollowTheIndex pages through keys of every kind, two rows a page, forwards from every cut: each row comes
// once, in the index's order, and no page sorts or reads more than its rows.
func TestPagesFollowTheIndex(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		name := db.Database(t)
		conn := connect(t, db)
		for i, p := range pageTables {
			rows := fill(t, db, name, i)
			s := define(t, conn, name, p.name)
			if !p.sorts {
				analyze(t, db, name, p.name)
			}
			var after Bound
			seen := map[string]bool{}
			for len(seen) < rows {
				page := s.page(after, nil, 2)
				if !p.sorts {
					checkPlan(t, conn, p.name, page)
				}
				before := reads(t, conn)
				got, to := runPage(t, conn, s, page)
				if n := reads(t, conn) - before; !p.sorts && p.name != "parted" && !strings.HasPrefix(p.name, "labels") && n > 8 {
					t.Errorf("%s: a page of two rows read %d:\n%s", p.name, n, page)
				}
				if len(got) == 0 {
					t.Errorf("%s: only %d of %d rows, none behind %v", p.name, len(seen), rows, after)
					break
				}
				for _, r := range got {
					if seen[r] {
						t.Errorf("%s: row %q came twice", p.name, r)
					}
					seen[r] = true
				}
				cutAt, bounded := runPage(t, conn, s, s.page(after, to, 10))
				if len(cutAt) != len(got) || fmt.Sprint(bounded) != fmt.Sprint(to) {
					t.Errorf("%s: the range from %v to %v has %d rows, want %d", p.name, after, to, len(cutAt), len(got))
				}
				after = to
			}
			if got, _ := runPage(t, conn, s, s.page(after, nil, 2)); len(got) != 0 {
				t.Errorf("%s: rows behind the last one: %q", p.name, got)
			}
			checkCut(t, conn, s, p.name, rows)
		}
	})
}

// runPage gives the rows of a page as text, and the last one's key.
func runPage(t *testing.T, conn *client.Conn, s *statement, page string) (rows []string, to Bound) {
	t.Helper()
	must(t, source.StreamText(t.Context(), conn, page, func(row [][]byte) (err error) {
		rows = append(rows, fmt.Sprintf("%q", row))
		to, err = s.boundOf(row)
		return err
	}))
	return rows, to
}

// checkCut cuts the table in two behind its second row.
func checkCut(t *testing.T, conn *client.Conn, s *statement, name string, rows int) {
	t.Helper()
	var mid Bound
	must(t, source.StreamText(t.Context(), conn, s.cut(nil, nil, 1), func(row [][]byte) (err error) {
		mid, err = s.bound(row)
		return err
	}))
	first, _ := runPage(t, conn, s, s.page(nil, mid, rows+1))
	second, _ := runPage(t, conn, s, s.page(mid, nil, rows+1))
	if len(first) != 2 || len(second) != rows-2 {
		t.Errorf("%s: a cut behind two of %d rows gives %d and %d rows", name, rows, len(first), len(second))
	}
}

func analyze(t *testing.T, db *testservers.MySQLServer, name, table string) {
	t.Helper()
	db.MustQuery(t, "ANALYZE TABLE `"+name+"`."+table)
}

// checkPlan fails if a page is sorted, or read without the key's index.
func checkPlan(t *testing.T, conn *client.Conn, name, page string) {
	t.Helper()
	explain := "EXPLAIN "
	if !strings.Contains(strings.ToLower(conn.GetServerVersion()), "mariadb") {
		explain = "EXPLAIN FORMAT=TRADITIONAL "
	}
	for _, line := range texts(t, conn, explain+page) {
		text := strings.Join(line, " | ")
		if strings.Contains(text, "filesort") || strings.Contains(text, "temporary") || !strings.Contains(text, "PRIMARY") && !strings.Contains(text, "odd`name") {
			t.Errorf("%s: %s\n%s", name, text, page)
		}
	}
}

// reads is how many rows the connection's statements have read so far.
func reads(t *testing.T, conn *client.Conn) (n int) {
	t.Helper()
	for _, line := range texts(t, conn, "SHOW SESSION STATUS LIKE 'Handler_read%'") {
		if strings.EqualFold(line[0], "Handler_read_rnd_next") {
			continue // of this statement itself
		}
		v, err := strconv.Atoi(line[1])
		must(t, err)
		n += v
	}
	return n
}
