package snapshot

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestHalfway(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"0", "10", "5"}, {"0", "11", "6"}, {"0", "1", "1"}, {"1", "0", ""}, {"-3", "4", "1"},
		{"-9223372036854775808", "18446744073709551615", "4611686018427387904"}, {"1", "2", "2"},
		{"7", "7", ""}, {"1.5", "2", ""}, {"x'00'", "x'ff'", ""},
	} {
		if got, ok := halfway(c.from, c.to); got != c.want || ok != (c.want != "") {
			t.Errorf("from %s to %s: %q, %v, want %q", c.from, c.to, got, ok, c.want)
		}
	}
}

// described is the server behind a connection.
func described(t *testing.T, conn *client.Conn) source.Server {
	t.Helper()
	server, err := source.Describe(t.Context(), conn)
	must(t, err)
	return server
}

// checkEstimated fails if a page is sorted or put into a temporary table, or read without the key's index.
func checkEstimated(t *testing.T, conn *client.Conn, table, page string) {
	t.Helper()
	var plan []string
	indexed := false
	for _, line := range texts(t, conn, "EXPLAIN FORMAT=TRADITIONAL "+page) {
		plan = append(plan, strings.Join(line, " | "))
		access := strings.Join(line[3:], " | ")
		if line[2] == table && (strings.Contains(access, "PRIMARY") || strings.Contains(access, "odd`name")) {
			indexed = true
		}
	}
	text := strings.Join(plan, "\n")
	if !indexed || strings.Contains(text, "filesort") || strings.Contains(text, "temporary") {
		t.Errorf("%s\n%s", page, text)
	}
}

// TestEstimatedPagesFollowTheIndex pages by statements that let the optimizer estimate: it may not come to another plan.
func TestEstimatedPagesFollowTheIndex(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		name := db.Database(t)
		conn := connect(t, db)
		server := described(t, conn)
		for i, p := range pageTables {
			rows := fill(t, db, name, i)
			if p.sorts {
				continue
			}
			analyze(t, db, name, p.name)
			s := define(t, conn, name, p.name).estimated(server)
			got := 0
			for after := Bound(nil); ; {
				page := s.page(after, nil, 2)
				lines, to := runPage(t, conn, s, page)
				if got += len(lines); len(lines) == 0 {
					break
				}
				checkEstimated(t, conn, p.name, page)
				checkEstimated(t, conn, p.name, s.page(after, to, 10))
				after = to
			}
			if got != rows {
				t.Errorf("%s: %d rows of %d", p.name, got, rows)
			}
		}
	})
}

// TestRangesAreHalvedWithoutReadingThem halves tables again and again: each row comes into one part, parts are about as
// large as each other where keys are dense, and finding the middle reads a handful of keys.
func TestRangesAreHalvedWithoutReadingThem(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		const rows = 8000
		name := db.Database(t)
		conn := connect(t, db)
		server := described(t, conn)
		for _, c := range []struct {
			table, columns, values string
			most                   int // rows in the larger half
		}{
			{"dense", "a BIGINT, PRIMARY KEY (a)", "n - 99", rows/2 + 1},
			{"tenants", "a INT, b INT UNSIGNED, PRIMARY KEY (a, b)", "7, n", rows/2 + 1},
			{"two_tenants", "a INT, b INT, PRIMARY KEY (a, b)", "n >= 6000, n", 6000},
			{"outlier", "a BIGINT, PRIMARY KEY (a)", "IF(n = 7999, 9223372036854775807, n)", rows - 1},
		} {
			db.MustExec(t, "USE "+name, "CREATE TABLE "+c.table+" ("+c.columns+")",
				fmt.Sprintf("INSERT INTO %s SELECT %s FROM %s", c.table, c.values, thousands()))
			analyze(t, db, name, c.table)
			s := define(t, conn, name, c.table).estimated(server)
			_, first := runPage(t, conn, s, s.page(nil, nil, 1))
			rd := &reader{conn: conn}
			r := &rangeLoad{def: &definition{stmt: s}, after: first, limit: rows / 64}
			if !s.halves() {
				t.Fatalf("%s cannot be halved", c.table)
			}
			before := reads(t, conn)
			at, err := r.halve(t.Context(), rd)
			must(t, err)
			if n := reads(t, conn) - before; n > 12 {
				t.Errorf("%s: finding the middle read %d keys", c.table, n)
			}
			for _, limit := range []int{1, 100, 5000, 200_000} {
				for _, page := range []string{s.page(nil, nil, limit), s.page(first, nil, limit), s.page(first, at, limit), s.page(at, nil, limit)} {
					checkEstimated(t, conn, c.table, page)
					before := reads(t, conn)
					lines, _ := runPage(t, conn, s, page)
					if n := reads(t, conn) - before; n > len(lines)+8 {
						t.Errorf("%s: a page of %d rows read %d:\n%s", c.table, len(lines), n, page)
					}
				}
			}
			low, _ := runPage(t, conn, s, s.page(first, at, 2*rows))
			high, _ := runPage(t, conn, s, s.page(at, nil, 2*rows))
			if len(low)+len(high) != rows-1 || max(len(low), len(high)) > c.most || len(high) == 0 {
				t.Errorf("%s is cut at %v into %d and %d rows", c.table, at, len(low), len(high))
			}
		}
	})
}

// thousands is a table of the numbers from 0 to 7999.
func thousands() string {
	return "(SELECT a.n * 400 + b.n * 20 + c.n AS n FROM " + numbers("a") + ", " + numbers("b") + ", " + numbers("c") + ") thousands"
}

// TestReadersShareATableAndReadEachRowOnce loads a table with many readers: what the server reads are the rows.
func TestReadersShareATableAndReadEachRowOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		const rows = 64000
		name := db.Database(t)
		db.MustExec(t, "USE "+name, "CREATE TABLE t (a BIGINT PRIMARY KEY, b CHAR(60) DEFAULT 'x')",
			"INSERT INTO t (a) SELECT 8 * n + eight.i FROM "+thousands()+
				", (SELECT 0 i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7) eight")
		analyze(t, db, name, "t")
		conn := connect(t, db)
		before, looks := counter(t, conn, "Handler_read_next"), counter(t, conn, poolReads)
		s := load(t, db, Config{ChunkBytes: 32 << 10}, name, "t")
		if s.rows != rows || s.ranges < 3 {
			t.Errorf("%d rows of %d came, in %d ranges", s.rows, rows, s.ranges+1)
		}
		if read := counter(t, conn, "Handler_read_next") - before; read > rows*11/10 {
			t.Errorf("the server read %d rows for %d", read, rows)
		}
		mysql := described(t, conn).Flavor == source.MySQL
		if n := counter(t, conn, poolReads) - looks; mysql && n > rows/20 {
			t.Errorf("the server looked into its buffer pool %d times for %d rows", n, rows)
		}
	})
}

const poolReads = "Innodb_buffer_pool_read_requests"

// counter is what all connections have added to one of the server's counts.
func counter(t *testing.T, conn *client.Conn, name string) (n int) {
	t.Helper()
	for _, line := range texts(t, conn, "SHOW GLOBAL STATUS LIKE '"+name+"'") {
		_, err := fmt.Sscan(line[1], &n)
		must(t, err)
	}
	return n
}

// TestThePlansSecondTableHasAnUnusedName reads a table whose name and columns are those that it might have.
func TestThePlansSecondTableHasAnUnusedName(t *testing.T) {
	db := testservers.SharedMySQL(t)
	name := db.Database(t)
	db.MustExec(t, "USE "+name, "CREATE TABLE one_ (a INT PRIMARY KEY, `One` INT, one__ INT)", "INSERT INTO one_ VALUES (1, 2, 3)")
	conn := connect(t, db)
	s := define(t, conn, name, "one_").estimated(described(t, conn))
	if rows, _ := runPage(t, conn, s, s.page(nil, nil, 9)); fmt.Sprint(rows) != `[["1" "2" "3"]]` {
		t.Errorf("read %s", rows)
	}
}
