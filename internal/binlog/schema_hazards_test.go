package binlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// bothServers are the servers that tests about definitions run on, whose table maps say little unless they are told to.
func bothServers(t *testing.T, run func(t *testing.T, s *testservers.MySQLServer)) {
	for name, s := range map[string]*testservers.MySQLServer{"MySQL": testservers.SharedMySQL(t), "MariaDB": testservers.SharedMariaDB(t)} {
		t.Run(name, func(t *testing.T) { run(t, s) })
	}
}

// Hazard 4: a writer that gives columns each other's names all the time. Whatever the reader's definition is when a row
// comes, no row is ever handed over under the wrong names; a table that cannot be told apart fails and comes back.
func TestHazard4RenamesUnderWay(t *testing.T) {
	bothServers(t, func(t *testing.T, s *testservers.MySQLServer) {
		b := newBench(t, s, "CREATE TABLE r (id INT PRIMARY KEY, x INT, y INT)", "CREATE TABLE steady (id INT PRIMARY KEY)")
		const rounds = 60
		h := newTeller(t)
		b.follow(h, &memory{}, func() {
			for i := range rounds {
				b.exec(fmt.Sprintf("INSERT INTO r (id, x, y) VALUES (%d, %d, %d)", i, 2*i, 3*i), fmt.Sprintf("INSERT INTO steady VALUES (%d)", i),
					"ALTER TABLE r CHANGE x y INT, CHANGE y x INT")
			}
			b.exec(fmt.Sprintf("INSERT INTO r (id, x, y) VALUES (%d, %d, %d)", rounds, 2*rounds, 3*rounds))
		})
		steady, last := 0, false
		for _, r := range h.rows {
			if strings.HasPrefix(r.line, "steady ") {
				steady++
				continue
			}
			fields := strings.Fields(r.line)
			id, err := strconv.Atoi(strings.TrimPrefix(fields[1], "id="))
			if err != nil || !slices.Contains(fields, fmt.Sprintf("x=%d", 2*id)) || !slices.Contains(fields, fmt.Sprintf("y=%d", 3*id)) {
				t.Errorf("%s is not what was written", r.line)
			}
			last = last || id == rounds
		}
		if steady != rounds || !last {
			t.Errorf("%d rows of the other table, want %d; the last row came: %t", steady, rounds, last)
		}
		t.Logf("%d of %d rows were read, the table failed %d times", len(h.rows)-steady, rounds+1, len(h.failed["r"]))
	})
}

// Hazard 9: columns that SELECT * does not show take their places among the others, also when DDL moves them.
func TestHazard9HiddenColumns(t *testing.T) {
	bothServers(t, func(t *testing.T, s *testservers.MySQLServer) {
		b := newBench(t, s)
		h := newTeller(t)
		hidden := "ALTER TABLE t ADD COLUMN h INT INVISIBLE DEFAULT 5 FIRST"
		steps := []string{
			"CREATE TABLE t (id INT PRIMARY KEY, v INT, g INT AS (v + 1) STORED, w INT)",
			"INSERT INTO t (id, v, w) VALUES (1, 10, 100)",
			hidden,
			"INSERT INTO t (id, v, w) VALUES (2, 10, 100)",
			"ALTER TABLE t ADD COLUMN g2 INT AS (w + 1) STORED AFTER id",
			"INSERT INTO t (id, v, w) VALUES (3, 10, 100)",
			"ALTER TABLE t DROP COLUMN g, MODIFY h INT DEFAULT 6",
			"INSERT INTO t (id, v, w) VALUES (4, 10, 100)",
		}
		want := []string{
			"t id=1 v=10 g=11 w=100", "t h=5 id=2 v=10 g=11 w=100", "t h=5 id=3 g2=101 v=10 g=11 w=100", "t h=null id=4 g2=101 v=10 w=100",
		}
		want[3] = strings.Replace(want[3], "h=null", "h=6", 1)
		if b.info.Flavor == source.MySQL {
			steps = append(steps, "SET sql_generate_invisible_primary_key = ON; CREATE TABLE t2 (v INT)", "INSERT INTO t2 VALUES (7)",
				"ALTER TABLE t2 ADD COLUMN w INT", "INSERT INTO t2 VALUES (8, 9)")
			want = append(want, "t2 my_row_id=1 v=7", "t2 my_row_id=2 v=8 w=9")
		}
		known := &memory{}
		b.follow(h, known, func() {
			for _, step := range steps {
				b.exec(strings.Split(step, "; ")...)
				h.await(b.end())
			}
		})
		later := newTeller(t)
		b.follow(later, known, func() {})
		for what, h := range map[string]*teller{"at once": h, "later": later} {
			var got []string
			for _, r := range h.rows {
				got = append(got, r.line)
				if want := map[bool]string{true: "my_row_id", false: "id"}[strings.HasPrefix(r.line, "t2")]; r.key != want {
					t.Errorf("%s: %s has key %q, want %q", what, r.line, r.key, want)
				}
			}
			if !slices.Equal(got, want) || len(h.failed) > 0 {
				t.Errorf("%s: got\n%s\nwant\n%s\nfailed: %v", what, strings.Join(got, "\n"), strings.Join(want, "\n"), h.failed)
			}
		}
	})
}

// Hazard 13: a position within a transaction is refused, wherever it is; nothing of the transaction is handed over.
func TestHazard13PositionWithinTransaction(t *testing.T) {
	for name, s := range map[string]*testservers.MySQLServer{"MySQL": testservers.MySQL(t, testservers.NoGTID()), "MariaDB": testservers.SharedMariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
			b.exec("BEGIN", "INSERT INTO t VALUES (1)", "UPDATE t SET id = 2", "COMMIT")
			events := s.MustQuery(t, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d", b.start.File, b.start.Offset))
			refused := 0
			for i, e := range events {
				from := source.Position{File: b.start.File, ServerUUID: b.info.UUID}
				from.Offset, _ = strconv.ParseUint(e[1], 10, 64)
				h := newTeller(t)
				err := b.read(from, b.recorder(from), func(c *Config) { c.Handler = untilEndOf{h, b.end()} })
				if i == 0 || len(h.rows) == 2 { // the beginning, and on MySQL, behind the event in front of BEGIN
					if err != nil || len(h.rows) != 2 {
						t.Errorf("from %v: %d rows, %v", from, len(h.rows), err)
					}
					continue
				}
				if _, ok := errors.AsType[*EventError](err); !ok || len(h.rows) > 0 {
					t.Errorf("from %v (%s): %d rows, %v", from, e[2], len(h.rows), err)
				}
				refused++
			}
			if refused < 4 {
				t.Errorf("only %d positions were refused", refused)
			}
		})
	}
}

// Hazard 19: an online schema change, read while it happens and after it: both names are told, the rows keep their columns.
func TestHazard19OnlineSchemaChange(t *testing.T) {
	bothServers(t, func(t *testing.T, s *testservers.MySQLServer) {
		b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)")
		known := &memory{}
		h := newTeller(t)
		b.follow(h, known, func() {
			b.exec("INSERT INTO t VALUES (1, 2, 3)")
			h.await(b.end())
			b.exec("CREATE TABLE other_gho LIKE t", "ALTER TABLE other_gho CHANGE a b INT, CHANGE b a INT",
				"INSERT INTO other_gho (id, a, b) SELECT id, a, b FROM t", "INSERT INTO t VALUES (4, 5, 6)", "REPLACE INTO other_gho (id, a, b) VALUES (4, 5, 6)",
				"RENAME TABLE t TO other_del, other_gho TO t", "INSERT INTO t (id, a, b) VALUES (7, 8, 9)", "DROP TABLE other_del")
		})
		later := newTeller(t)
		b.follow(later, known, func() {})
		blind := newTeller(t)
		b.follow(blind, nil, func() {})
		want := []string{"t id=1 a=2 b=3", "t id=4 a=5 b=6", "t id=7 b=9 a=8"}
		for what, c := range map[string]struct {
			h    *teller
			rows []string
		}{"at once": {h, want}, "later": {later, want}, "later, with nothing known": {blind, want[2:]}} {
			var rows, told []string
			for _, r := range c.h.rows {
				rows = append(rows, r.line)
			}
			for _, n := range c.h.notes {
				if n.Kind != Definition {
					told = append(told, strings.ReplaceAll(n.short(), b.db+".", ""))
				}
			}
			if !slices.Equal(rows, c.rows) {
				t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(rows, "\n"), strings.Join(c.rows, "\n"))
			}
			if !slices.Equal(told, []string{"renamed t to other_del swap", "renamed other_gho to t rows swap"}) {
				t.Errorf("%s: told %q", what, told)
			}
		}
		if len(blind.failed["t"]) != 1 || !strings.Contains(blind.failed["t"][0].Error(), "RENAME TABLE t TO other_del, other_gho TO t at ") {
			t.Errorf("with nothing known, t failed with %v", blind.failed["t"])
		}
	})
}

// Hazard 22: what the server writes about tables and rows is seen at the event, whatever it was when reading began.
func TestHazard22SettingsSwitched(t *testing.T) {
	for name, s := range map[string]*testservers.MySQLServer{"MySQL": testservers.MySQL(t), "MariaDB": testservers.MariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)")
			metadata := func(m string) { s.MustExec(t, "SET GLOBAL binlog_row_metadata = "+m) }
			swap := "ALTER TABLE t CHANGE a b INT, CHANGE b a INT"
			reader, h := (*Reader)(nil), newTeller(t)
			b.followWith(h, &memory{}, func(r *Reader) { reader = r }, func() {
				n := 0
				row := func() {
					n++
					b.exec(fmt.Sprintf("INSERT INTO t (id, a, b) VALUES (%d, %d, %d)", n, 2*n, 3*n))
					h.await(b.end())
				}
				metadata("FULL")
				row()
				b.exec(swap)
				row()
				metadata("MINIMAL") // the definition is the one that the log told before
				row()
				b.exec(swap)
				row()
				metadata("FULL")
				row()
				s.MustExec(t, "SET GLOBAL binlog_row_image = MINIMAL")
				b.exec("UPDATE t SET a = 0 WHERE id = 1", "UPDATE t SET a = 0 WHERE id = 2")
				s.MustExec(t, "SET GLOBAL binlog_row_image = FULL")
				b.exec("DELETE FROM t WHERE id = 1") // whole, but behind a gap
				h.await(b.end())
				reader.Retry(b.db, "t")
				row()
			})
			var got, want []string
			for _, r := range h.rows {
				got = append(got, r.line)
			}
			for n := 1; n <= 6; n++ {
				if line := "t id=%d b=%d a=%d"; n == 2 || n == 3 {
					want = append(want, fmt.Sprintf(line, n, 3*n, 2*n))
				} else {
					want = append(want, fmt.Sprintf("t id=%d a=%d b=%d", n, 2*n, 3*n))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if f := h.failed["t"]; len(f) != 1 || !errors.Is(f[0], schema.ErrPartialImage) {
				t.Errorf("failed: %v", f)
			}
		})
	}
}

// Reading again from any boundary, with what was known, gives the same rows under the same names.
func (b *bench) fromAnyBoundary(known *memory, whole *teller) {
	b.t.Helper()
	start := b.start
	defer func() { b.start = start }()
	for range 8 {
		from := whole.boundaries[rand.N(len(whole.boundaries))]
		b.start = from.pos
		h := newTeller(b.t)
		b.follow(h, &memory{saved: known.saved, oldest: from.pos}, func() {})
		if want := whole.rows[from.lines:]; !slices.Equal(h.rows, want) || len(h.failed) > 0 {
			b.t.Errorf("from %v: %d rows, want %d; failed: %v", from.pos, len(h.rows), len(want), h.failed)
		}
	}
}

// Hazard 4: a statement stands in the log before it is in force. A definition that is read in between is the one from before
// the statement, and must not be taken for the one from behind it.
func TestHazard4DefinitionReadTooEarly(t *testing.T) {
	s := testservers.MySQL(t)
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)")
	s.MustExec(t, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'", "SET GLOBAL rpl_semi_sync_source_wait_no_replica = 1",
		"SET GLOBAL rpl_semi_sync_source_timeout = 600000")
	h := newTeller(t)
	b.follow(h, &memory{}, func() {
		b.exec("INSERT INTO t VALUES (1, 2, 3)")
		h.await(b.end())
		s.MustExec(t, "SET GLOBAL rpl_semi_sync_source_enabled = 1") // nobody acknowledges: commits are held back behind the log
		before := b.end()
		done := make(chan error, 1)
		go func() { done <- s.Exec(t.Context(), "USE "+b.db, "ALTER TABLE t CHANGE a b INT, CHANGE b a INT") }()
		for !before.Before(b.end()) { // it stands in the log
			if t.Context().Err() != nil {
				t.Fatal("the statement is not logged")
			}
		}
		select {
		case err := <-done:
			t.Fatalf("the statement is in force as soon as it is logged: %v", err)
		case <-time.After(time.Second): // for the reader to see it, and to look up the definition
		}
		s.MustExec(t, "SET GLOBAL rpl_semi_sync_source_enabled = 0")
		h.await(b.end())
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		b.exec("INSERT INTO t (id, a, b) VALUES (4, 5, 6)")
	})
	var got []string
	for _, r := range h.rows {
		got = append(got, r.line)
	}
	if want := []string{"t id=1 a=2 b=3", "t id=4 b=6 a=5"}; !slices.Equal(got, want) || len(h.failed) > 0 {
		t.Errorf("got %q, want %q; failed: %v", got, want, h.failed)
	}
}
