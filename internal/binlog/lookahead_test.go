package binlog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// One pass over the log ahead serves all tables, through several files, compressed transactions and lost connections.
func TestLookAhead(t *testing.T) {
	bothServers(t, testLookAhead)
	t.Run("beyond the dump command's offsets", func(t *testing.T) {
		defer func(n uint64) { maxDumpOffset = n }(maxDumpOffset)
		maxDumpOffset = 10
		testLookAhead(t, testservers.SharedMySQL(t))
	})
}

func testLookAhead(t *testing.T, s *testservers.MySQLServer) {
	const tables = 20
	b := newBench(t, s, "CREATE TABLE other (id INT PRIMARY KEY AUTO_INCREMENT, v LONGTEXT)")
	for i := range tables {
		b.exec(fmt.Sprintf("CREATE TABLE t%d (id INT PRIMARY KEY, a INT)", i))
	}
	compress := map[source.Flavor]string{source.MySQL: "SET GLOBAL binlog_transaction_compression", source.MariaDB: "SET GLOBAL log_bin_compress"}[b.info.Flavor]
	for i := range tables {
		switch i {
		case 5, 10:
			s.MustExec(t, "FLUSH BINARY LOGS")
		case 7:
			s.MustExec(t, compress+" = ON")
		case 12:
			s.MustExec(t, compress+" = OFF")
		}
		b.exec(fmt.Sprintf("INSERT INTO t%d VALUES (1, 2)", i), "INSERT INTO other (v) VALUES (REPEAT(SHA2(RAND(), 256), 5000))")
	}
	b.exec("ALTER TABLE t3 CHANGE a b INT", "CREATE TABLE IF NOT EXISTS t4 (x INT)", "ALTER TABLE t5 COMMENT 'x'", "DROP TABLE t6", "RENAME TABLE t7 TO other_t7",
		"CREATE TABLE t8_new LIKE t8", "RENAME TABLE t8 TO other_t8, t8_new TO t8", "INSERT INTO t3 VALUES (2, 3)")

	reg := prometheus.NewRegistry()
	h := newTeller(t)
	kills := 0
	b.followWith(h, nil, func(r *Reader) {
		r.metrics.ahead = newMetrics(reg).ahead
		r.onReady = func(int) {
			if kills++; kills < 3 {
				b.killDumps()
			}
		}
	}, func() {})
	log := -float64(b.start.Offset)
	for _, l := range s.MustQuery(t, "SHOW BINARY LOGS") {
		var size float64
		if _, err := fmt.Sscan(l[1], &size); err != nil {
			t.Fatal(err)
		}
		if !(source.Position{File: l[0]}).Before(source.Position{File: b.start.File}) {
			log += size
		}
	}
	if ahead := float64(counted(t, newMetrics(reg).ahead)); ahead < 1000 || ahead > 1.2*log && maxDumpOffset > 10 {
		t.Errorf("%.0f bytes were read ahead, the log has %.0f", ahead, log)
	}
	var got []string
	for _, r := range h.rows {
		got = append(got, r.line)
	}
	for i := range tables {
		table, line := fmt.Sprintf("t%d", i), fmt.Sprintf("t%d id=1 a=2", i)
		lost := i == 3 || i == 6 || i == 7 || i == 8
		if was := strings.Contains(strings.Join(got, "\n")+"\n", line+"\n"); was == lost {
			t.Errorf("%s: read %t", line, was)
		}
		if f := h.failed[table]; (len(f) > 0) != lost {
			t.Errorf("%s failed: %v", table, f)
		}
	}
	if want := tables - 4 + 1; len(got) != want || got[len(got)-1] != "t3 id=2 b=3" {
		t.Errorf("%d rows, want %d, the last is %s", len(got), want, got[len(got)-1])
	}
	for table, statement := range map[string]string{
		"t3": "ALTER TABLE t3 CHANGE a b INT at ", "t6": "DROP TABLE", "t7": "RENAME TABLE t7 TO other_t7 at ", "t8": "RENAME TABLE t8 TO other_t8, t8_new TO t8 at ",
	} {
		if f := h.failed[table]; len(f) == 1 && !strings.Contains(f[0].Error(), statement) {
			t.Errorf("%s failed with %v", table, f[0])
		}
	}
}

// Statements are found in compressed transactions too.
func TestLookAheadInPayload(t *testing.T) {
	s := offline(t, newRecorder(t), source.Position{File: "b.000001", Offset: 100})
	c := newLookout(s, &lookahead{of: map[name][]ddlPoint{}, end: source.Position{File: "b.000001", Offset: 100}}, nil)
	sc := new(script).start("b.000001", 100).gtid(1)
	place := sc.at
	sc.payload(func(p *script) {
		p.query("BEGIN").query("CREATE TABLE t (id INT) START TRANSACTION").table(1, "t").insert(1, 3).query("CREATE TABLE u (id INT)").xid()
	}).gtid(2).query("RENAME TABLE t5 TO t6, t6 TO t5, t7 TO x, t8 TO t7").gtid(3).query("DROP DATABASE db").gtid(4).query("MANGLE EVERYTHING").rotate("b.000002", 4, 0)
	for _, e := range sc.events {
		if err := c.read.take(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		c.looked()
	}
	points := c.ahead.of[name{"db", "t"}]
	if len(points) != 1 || points[0].at.Offset != place || points[0].statement != "CREATE TABLE t (id INT) START TRANSACTION" {
		t.Errorf("found %+v", points)
	}
	for _, table := range []string{"t6", "t7", "t8"} { // t5 has its name again
		if len(c.ahead.of[name{"db", table}]) == 0 {
			t.Errorf("the rename of %s is not found", table)
		}
	}
	if len(c.ahead.of) != 6 || len(c.ahead.of[name{"db", ""}]) != 1 || len(c.ahead.of[name{}]) != 1 {
		t.Errorf("found %+v", c.ahead.of)
	}
	if c.ahead.end != (source.Position{File: "b.000002", Offset: 4}) {
		t.Errorf("looked through up to %v", c.ahead.end)
	}
	for offset, want := range map[uint64]string{place: "CREATE TABLE t", place + 1: "DROP DATABASE db"} {
		at := &lookahead{of: map[name][]ddlPoint{}}
		for n, p := range c.ahead.of {
			at.of[n] = p
		}
		if p := at.first(&table{schema: "db", name: "t"}, source.Position{File: "b.000001", Offset: offset}, false); p == nil || !strings.HasPrefix(p.statement, want) {
			t.Errorf("from %d the first is %v", offset, p)
		}
	}
	if p := c.ahead.first(&table{schema: "DB", name: "x"}, source.Position{File: "b.000001", Offset: 4}, true); p == nil || p.statement != "DROP DATABASE db" {
		t.Errorf("without case, the first is %v", p)
	}
}

// However many statements lie ahead, what is kept of them is bounded, and none is missed.
func TestLookAheadIsBounded(t *testing.T) {
	l := &lookahead{of: map[name][]ddlPoint{}}
	pos := func(i int) source.Position { return source.Position{File: "b.000001", Offset: uint64(i)} }
	for i := range 100 {
		l.add(name{"db", "t"}, ddlPoint{at: pos(i), statement: strings.Repeat("long ", 1000)})
	}
	for i := range maxTables + 100 {
		l.add(name{"db", fmt.Sprint(i)}, ddlPoint{at: pos(1000 + i)})
	}
	if n := len(l.of[name{"db", "t"}]); n != maxPoints || len(l.of) > maxTables+1 || len(l.of[name{"db", "t"}][0].statement) > maxPointLength+3 {
		t.Errorf("%d points of one table, %d tables, %d bytes of a statement", n, len(l.of), len(l.of[name{"db", "t"}][0].statement))
	}
	if p := l.first(&table{schema: "db", name: "t"}, pos(99), false); p == nil || p.at != pos(99) {
		t.Errorf("the newest statement on the table is %v", p)
	}
	if p := l.first(&table{schema: "db", name: "never seen"}, pos(1000+maxTables), false); p == nil {
		t.Error("a statement that there was no room for is missed")
	}
}

// transactionsAhead is what looks through a log of so many transactions of one row.
func transactionsAhead(t testing.TB, transactions int) (look func()) {
	sc := new(script).start("b.000001", 4)
	for n := range transactions {
		sc.gtid(uint64(n+1)).query("BEGIN").table(1, "t").insert(1, 1).xid()
	}
	wire, begin, end := sent(sc.events), source.Position{File: "b.000001", Offset: 4}, source.Position{File: "b.000001", Offset: sc.at}
	s := offline(t, newRecorder(t), begin)
	return func() {
		c := newLookout(s, &lookahead{of: map[name][]ddlPoint{}, end: begin}, source.NewPackets(bytes.NewReader(wire), 0))
		if err := c.run(t.Context(), end); err != nil || c.ahead.end != end {
			t.Fatalf("looked through up to %v of %v: %v", c.ahead.end, end, err)
		}
	}
}

// However long the log ahead is, looking through it makes no garbage.
func TestLookAheadAllocatesNothingForATransaction(t *testing.T) {
	few, many := testing.AllocsPerRun(5, transactionsAhead(t, 10)), testing.AllocsPerRun(5, transactionsAhead(t, 2000))
	if many > few+5 {
		t.Errorf("%v allocations for 10 transactions, %v for 2000", few, many)
	}
}

func BenchmarkLookAhead(b *testing.B) {
	const transactions = 4096
	look := transactionsAhead(b, transactions)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		look()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*transactions), "ns/tx")
}
