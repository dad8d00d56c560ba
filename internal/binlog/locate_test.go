package binlog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// ended is a transaction of a known log: where it ends, when it was committed, and everything up to its end.
type ended struct {
	Boundary
	set string
}

// locateBench is a log of several files and seconds.
type locateBench struct {
	*bench
	conn *client.Conn
	list []ended // the transactions behind start
}

func newLocateBench(t *testing.T, s *testservers.MySQLServer) *locateBench {
	b := &locateBench{bench: newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))", "CREATE TABLE other (id INT)")}
	conn, err := source.Connect(t.Context(), b.source())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close(conn) })
	b.conn = conn
	b.nextSecond()
	b.exec("INSERT INTO t VALUES (1, 'a')", "FLUSH BINARY LOGS")
	b.nextSecond()
	b.exec("INSERT INTO t VALUES (2, 'b'), (3, 'c')", "BEGIN", "UPDATE t SET v = 'd'", "INSERT INTO other VALUES (1)", "DELETE FROM t WHERE id = 3", "COMMIT",
		"FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
	b.nextSecond()
	b.exec("ALTER TABLE other ADD COLUMN v INT", "INSERT INTO other VALUES (2, 3)")
	b.nextSecond()
	r := b.recorder(b.start)
	r.onCommit = func(e Boundary) {
		set := ""
		if r.set != nil {
			set = r.set.String()
		}
		b.list = append(b.list, ended{e, set})
	}
	if err := b.read(b.start, r); err != nil {
		t.Fatal(err)
	}
	if len(b.list) != 5 {
		t.Fatalf("%d transactions: %+v", len(b.list), b.list)
	}
	return b
}

func (b *locateBench) locate(s Start) (source.Position, error) {
	return Locate(b.t.Context(), b.source(), b.conn, b.info, s)
}

// at checks that a position is the place in front of transaction i: its set is exact, and reading from it begins there.
func (b *locateBench) at(what string, pos source.Position, err error, i int) {
	b.t.Helper()
	if err != nil {
		b.t.Errorf("%s: %v", what, err)
		return
	}
	set := b.start.GTIDSet
	if i > 0 {
		set = b.list[i-1].set
	}
	if pos.GTIDSet != set || pos.ServerUUID != b.info.UUID {
		b.t.Errorf("%s: %+v, want the set %s", what, pos, set)
	}
	r := b.recorder(pos)
	from := source.Position{File: pos.File, Offset: pos.Offset, ServerUUID: pos.ServerUUID}
	r.stop = func(*recorder) bool { return len(r.boundaries) > 0 }
	if err := b.read(from, r); err != nil {
		b.t.Errorf("%s: %v", what, err)
		return
	}
	switch {
	case i == len(b.list):
		if len(r.boundaries) > 0 {
			b.t.Errorf("%s: reading from %v finds transactions behind the end: %v", what, from, r.boundaries)
		}
	case len(r.boundaries) == 0 || r.boundaries[0].pos.File != b.list[i].File || r.boundaries[0].pos.Offset != b.list[i].Offset:
		b.t.Errorf("%s: reading from %v begins with the transaction that ends at %v, want %s:%d", what, from, r.boundaries, b.list[i].File, b.list[i].Offset)
	}
}

// Every time and every place is found, or refused with the reason.
func testLocate(t *testing.T, s *testservers.MySQLServer) {
	b := newLocateBench(t, s)
	b.testTimes()
	b.testPlaces()
}

func (b *locateBench) testTimes() {
	t, s := b.t, b.server
	exact := b.info.Flavor == source.MySQL
	for i, e := range b.list {
		first := i // the first one of the same moment
		for first > 0 && b.list[first-1].Time.Equal(e.Time) {
			first--
		}
		next := i + 1
		for next < len(b.list) && b.list[next].Time.Equal(e.Time) {
			next++
		}
		pos, err := b.locate(Start{Time: e.Time})
		b.at(fmt.Sprintf("the time of transaction %d", i), pos, err, first)
		if exact {
			pos, err = b.locate(Start{Time: e.Time.Add(time.Microsecond)})
			b.at(fmt.Sprintf("a microsecond after transaction %d", i), pos, err, next)
		} else if next == len(b.list) || b.list[next].Time.Sub(e.Time) > time.Second {
			pos, err = b.locate(Start{Time: e.Time.Add(time.Second)})
			b.at(fmt.Sprintf("a second after transaction %d", i), pos, err, next)
		}
	}
	for what, c := range map[string]struct {
		time time.Time
		want error
		says string
	}{
		"the future":           {time.Now().Add(time.Hour), ErrFuture, "leave cdc_start_position out"},
		"before the first log": {time.Now().Add(-10000 * time.Hour), ErrTooEarly, s.MustQuery(t, "SHOW BINARY LOGS")[0][0] + ", begins at 20"},
	} {
		_, err := b.locate(Start{Time: c.time})
		if _, ok := errors.AsType[*StartError](err); !ok || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Every offset of a file is a boundary, lies between two transactions, or is refused with the boundaries around it.
func (b *locateBench) testPlaces() {
	t, s := b.t, b.server
	for i, e := range b.list {
		pos, err := b.locate(Start{File: e.File, Offset: e.Offset})
		b.at("the end of a transaction", pos, err, i+1)
	}
	mid := b.list[2] // of several statements
	before := b.list[1]
	for _, r := range s.MustQuery(t, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s'", mid.File)) {
		offset, _ := strconv.ParseUint(r[1], 10, 64)
		if offset > mid.Offset {
			break
		}
		for _, offset := range []uint64{offset, offset + 3} {
			pos, err := b.locate(Start{File: mid.File, Offset: offset})
			switch {
			case offset <= 4:
				b.at("the start of a file", pos, err, 1)
			case offset > before.Offset && offset < mid.Offset:
				want := fmt.Sprintf("one begins at %s:%d and ends at %s:%d", mid.File, before.Offset, mid.File, mid.Offset)
				if !errors.Is(err, ErrNoBoundary) || !strings.Contains(err.Error(), want) {
					t.Errorf("%s:%d: %+v, %v", mid.File, offset, pos, err)
				}
			case err != nil && !errors.Is(err, ErrNoBoundary) && !errors.Is(err, ErrAhead):
				t.Errorf("%s:%d: %v", mid.File, offset, err)
			}
		}
	}
	number, err := source.FileNumber(mid.File)
	if err != nil {
		t.Fatal(err)
	}
	pos, err := b.locate(Start{File: fmt.Sprintf("$.%06d", number), Offset: before.Offset})
	b.at("an abbreviated name", pos, err, 2)

	for what, c := range map[string]struct {
		start Start
		want  error
	}{
		"behind the end":      {Start{File: mid.File, Offset: 1 << 30}, ErrAhead},
		"a later file":        {Start{File: "binlog.999998", Offset: 4}, ErrAhead},
		"an unknown number":   {Start{File: "$.999998", Offset: 4}, ErrPurged},
		"no such transaction": {Start{File: mid.File, Offset: mid.Offset - 5, Inside: &Inside{Transaction: number<<32 + 17}}, ErrNoPlace},
		"the other's GTIDs":   {Start{GTIDSet: "x", Flavor: map[source.Flavor]source.Flavor{source.MySQL: source.MariaDB, source.MariaDB: source.MySQL}[b.info.Flavor]}, ErrFlavor},
	} {
		if pos, err := b.locate(c.start); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", what, pos, err)
		}
	}
	// A checkpoint inside a transaction is found by the transaction's id.
	r := b.recorder(b.start)
	seen := map[uint64]bool{}
	r.onRows = func(rows *Rows) error {
		seen[r.tx.ID] = true
		if r.tx.ID&0xffffffff < before.Offset || rows.Place.File != mid.File {
			return nil
		}
		pos, err := b.locate(Start{File: rows.Place.File, Offset: rows.Place.EventEnd, Inside: &Inside{Transaction: r.tx.ID, EventStart: rows.Place.EventStart}})
		if err != nil || pos.File != mid.File || pos.Offset != before.Offset || pos.GTIDSet != before.set {
			t.Errorf("a checkpoint in transaction %d: %+v, %v", r.tx.ID, pos, err)
		}
		return nil
	}
	if err := b.read(b.start, r); err != nil || len(seen) != 3 {
		t.Errorf("%v, transactions %v", err, seen)
	}
}

func TestReadHead(t *testing.T) {
	for name, s := range map[string]*testservers.MySQLServer{"MySQL": testservers.SharedMySQL(t), "MariaDB": testservers.SharedMariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
			b.exec("FLUSH BINARY LOGS", "INSERT INTO t VALUES (1)")
			r := b.recorder(b.start)
			if err := b.read(b.start, r); err != nil {
				t.Fatal(err)
			}
			end := r.boundaries[len(r.boundaries)-1].pos
			h, err := ReadHead(t.Context(), b.source(), b.info, end.File)
			if err != nil || h.Began == 0 || h.Set.String() != b.start.GTIDSet {
				t.Errorf("head %d, set %v, %v; want the set %s", h.Began, h.Set, err, b.start.GTIDSet)
			}
			if end.FileBegan != h.Began {
				t.Errorf("boundaries say that the file began at %d, its head says %d", end.FileBegan, h.Began)
			}
			// Reading from the middle of the file, and by GTID, gives the same.
			b.exec("INSERT INTO t VALUES (2)")
			for _, from := range []source.Position{end, {File: end.File, Offset: end.Offset, ServerUUID: b.info.UUID}} {
				r := b.recorder(from)
				if err := b.read(from, r); err != nil || len(r.boundaries) != 1 || r.boundaries[0].pos.FileBegan != h.Began {
					t.Errorf("from %v: %v, %+v", from, err, r.boundaries)
				}
			}
			if _, err := ReadHead(t.Context(), b.source(), b.info, "binlog.999999"); !errors.Is(err, ErrPurged) {
				t.Errorf("a file that is not there: %v", err)
			}
			if replicas := s.MustQuery(t, map[bool]string{true: "SHOW REPLICAS", false: "SHOW SLAVE HOSTS"}[b.info.Flavor == source.MySQL]); len(replicas) > 1 {
				t.Errorf("a look at a file is listed as a replica: %v", replicas)
			}
		})
	}
}
