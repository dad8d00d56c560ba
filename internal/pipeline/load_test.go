package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/mapping"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// tap stands between the loader and the emitter.
type tap struct {
	snapshot.Stream
	mark    func()                                     // before a chunk is marked; one call at a time
	deliver func(w snapshot.Window, c *snapshot.Chunk) // before a chunk is handed over; one call at a time
	blind   bool                                       // the loader is told that nothing has been emitted yet: it has nothing to wait for

	mu sync.Mutex // covers the calls
}

func (t *tap) Open(schema, table string, guard time.Duration) (snapshot.Window, error) {
	w, err := t.Stream.Open(schema, table, guard)
	return tapWindow{w, t}, err
}

type tapWindow struct {
	snapshot.Window
	tap *tap
}

func (w tapWindow) Mark(defined int64) (snapshot.Mark, source.Position) {
	if w.tap.mark != nil {
		w.tap.mu.Lock()
		w.tap.mark()
		w.tap.mu.Unlock()
	}
	m, emitted := w.Window.Mark(defined)
	if w.tap.blind {
		emitted = source.Position{}
	}
	return m, emitted
}

func (w tapWindow) Deliver(ctx context.Context, m snapshot.Mark, c *snapshot.Chunk) <-chan error {
	if w.tap.deliver != nil {
		w.tap.mu.Lock()
		w.tap.deliver(w.Window, c)
		w.tap.mu.Unlock()
	}
	return w.Window.Deliver(ctx, m, c)
}

// tapped makes a Replicate with a tap, small chunks and four readers.
func (b *bench) tapped(t *tap) *Replicate {
	cfg := b.config(FullLoadAndCDC)
	cfg.Parallel = 4
	r := NewReplicate(cfg)
	r.tune = func(c *snapshot.Config) {
		c.ChunkBytes = 4 << 10
		t.Stream, c.Stream = c.Stream, t
	}
	return r
}

// ticket makes a table of n rows with ids from 1.
func (b *bench) ticket(n int) (table string) {
	b.t.Helper()
	table = "`" + b.name + "`.ticket"
	b.db.MustExec(b.t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(200))",
		fmt.Sprintf("INSERT INTO %s SELECT a.n * 1000 + b.n * 100 + c.n * 10 + d.n + 1, REPEAT('x', 100) FROM %s, %s, %s, %s",
			table, digits("a"), digits("b"), digits("c"), digits("d")),
		fmt.Sprintf("DELETE FROM %s WHERE id > %d", table, n))
	return table
}

// digits is a table of the numbers from 0 to 9.
func digits(alias string) string {
	q := "(SELECT 0 n"
	for i := 1; i < 10; i++ {
		q += fmt.Sprintf(" UNION SELECT %d", i)
	}
	return q + ") " + alias
}

// await waits for something that a server does.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// saved is what the newest checkpoint says of a table.
func (b *bench) saved(table string) (d tableDoc) {
	b.t.Helper()
	s := stateFile{store: b.store}
	raw, _, err := s.store.Load(b.t.Context(), replicateDocument)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return d
	}
	must(b.t, err)
	must(b.t, json.Unmarshal(raw, &s.doc))
	for _, d := range s.doc.Tables {
		if d.Table == table {
			return d
		}
	}
	return d
}

func (b *bench) awaitLoaded(table string) {
	b.t.Helper()
	await(b.t, "table "+table+" is loaded", func() bool { return b.saved(table).State == StateCompleted })
}

// loads counts the load records of each id.
func (b *bench) loads() map[int]int {
	all, _ := b.stream()
	n := map[int]int{}
	for _, s := range all {
		if id, err := strconv.Atoi(s.ID); err == nil && s.Operation == "load" {
			n[id]++
		}
	}
	return n
}

// once fails unless every id from 1 to n was loaded exactly once.
func once(t *testing.T, loads map[int]int, n int) {
	t.Helper()
	for id := 1; id <= n; id++ {
		if loads[id] != 1 {
			t.Errorf("row %d was loaded %d times", id, loads[id])
		}
	}
}

// TestTablesWithoutAKeyEnterAtOnePlace loads a table of equal rows while rows come and go. Replayed, the stream must
// have each of them exactly as often as the table does: a change that the snapshot has must not follow it, and one
// that it has not must.
func TestTablesWithoutAKeyEnterAtOnePlace(t *testing.T) {
	t.Run("mysql", func(t *testing.T) { keyless(t, testservers.SharedMySQL(t)) })
	t.Run("mariadb", func(t *testing.T) { keyless(t, testservers.SharedMariaDB(t)) })
	t.Run("mysql without GTIDs", func(t *testing.T) { keyless(t, testservers.MySQL(t, testservers.NoGTID())) })
}

func keyless(t *testing.T, db *testservers.MySQLServer) {
	b := newBench(t, db)
	ticket := b.ticket(50)
	bare := "`" + b.name + "`.bare"
	db.MustExec(t, "CREATE TABLE "+bare+" (id INT, v VARCHAR(200))", "INSERT INTO "+bare+" SELECT id % 7, v FROM "+ticket, "FLUSH BINARY LOGS")
	stopWriting := b.background(func(ctx context.Context) error {
		for i := 0; ctx.Err() == nil; i++ {
			if err := db.Exec(ctx, fmt.Sprintf("INSERT INTO %s VALUES (%d, 'new')", bare, i%7), fmt.Sprintf("DELETE FROM %s WHERE id = %d LIMIT 2", bare, i%5)); err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	})
	stop := b.background(b.tapped(&tap{}).Run)
	await(t, "some changes are emitted", func() bool { all, _ := b.stream(); return len(all) > 200 })
	if err := stopWriting(); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	b.awaitLoaded("bare")
	b.awaitLoaded("ticket")
	db.MustExec(t, "INSERT INTO "+bare+" VALUES (4711, 'last')")
	await(t, "the last change is emitted", func() bool {
		all, _ := b.stream()
		return count(all, summary{"insert", "bare", "4711", "last"}) > 0
	})
	must(t, stop())
	all, _ := b.stream()
	got := map[summary]int{}
	loading := false
	for _, s := range all {
		row := summary{ID: s.ID, Value: s.Value}
		switch {
		case s.Table != "bare" || s.ID == "":
		case s.Operation == "load":
			if !loading { // the control records before it may have gone to another shard
				loading = true
				clear(got)
			}
			got[row]++
		case s.Operation == "insert":
			got[row]++
		case s.Operation == "delete":
			got[row]--
		}
	}
	for _, line := range db.MustQuery(t, "SELECT id, v, COUNT(*) FROM "+bare+" GROUP BY id, v") {
		row := summary{ID: line[0], Value: line[1]}
		if want, _ := strconv.Atoi(line[2]); got[row] != want {
			t.Errorf("row (%s, %.10s): replay has %d, the table %d", line[0], line[1], got[row], want)
		}
		delete(got, row)
	}
	for row, n := range got {
		if n != 0 {
			t.Errorf("row (%s, %.10s): replay has %d, the table none", row.ID, row.Value, n)
		}
	}
}

// TestAStaleRowNeverWins keeps a commit between the binlog and the engine, which semi-synchronous replication does for as
// long as no replica acknowledges it: the stream has emitted the change, and a SELECT still finds the old row. The
// loader has to wait. Told that there is nothing to wait for, it emits the old row behind the new one.
func TestAStaleRowNeverWins(t *testing.T) {
	db := testservers.MySQL(t)
	db.MustExec(t, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
		"SET GLOBAL rpl_semi_sync_source_wait_no_replica = 1, rpl_semi_sync_source_wait_point = 'AFTER_SYNC', rpl_semi_sync_source_timeout = 600000")
	if got := invisibleCommit(t, db, false); got != "new" {
		t.Errorf("the last record of the row says %q, the table says %q", got, "new")
	}
	if got := invisibleCommit(t, db, true); got != "old" {
		t.Errorf("without the wait the last record of the row says %q: the test does not provoke the fault", got)
	}
}

// invisibleCommit loads a table whose one row is being changed from old to new, and gives what the stream says last.
func invisibleCommit(t *testing.T, db *testservers.MySQLServer, blind bool) string {
	t.Helper()
	b := newBench(t, db)
	table := "`" + b.name + "`.ticket"
	db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO "+table+" VALUES (1, 'old')")
	updated := make(chan error, 1)
	begun := false
	visible := func() { db.MustExec(t, "SET GLOBAL rpl_semi_sync_source_enabled = OFF") }
	tap := &tap{blind: blind, mark: func() {
		if begun {
			return
		}
		begun = true
		db.MustExec(t, "SET GLOBAL rpl_semi_sync_source_enabled = ON")
		go func() { updated <- db.Exec(t.Context(), "UPDATE "+table+" SET v = 'new'") }()
		await(t, "the change is emitted", func() bool {
			all, _ := b.stream()
			return count(all, summary{"update", "ticket", "1", "new"}) == 1
		})
		if got := db.MustQuery(t, "SELECT v FROM "+table)[0][0]; got != "old" {
			t.Errorf("the change is visible (%s) before it is acknowledged", got)
		}
	}}
	stop := b.background(b.tapped(tap).Run)
	if !blind {
		await(t, "the loader waits for the change", func() bool {
			return db.MustQuery(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT WAIT_FOR_EXECUTED_GTID_SET(%'")[0][0] != "0"
		})
		visible()
	}
	b.awaitLoaded("ticket")
	if blind {
		visible()
	}
	must(t, <-updated)
	must(t, stop())
	all, _ := b.stream()
	last := ""
	for _, s := range all {
		if s.ID == "1" {
			last = s.Value
		}
	}
	return last
}

// TestDDLInsideAWindow renames a column while a chunk that was read under the old name is on its way: it is thrown away and
// read again.
func TestDDLInsideAWindow(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		const rows = 1000
		table := b.ticket(rows)
		db.MustExec(t, "ALTER TABLE "+table+" CHANGE v u VARCHAR(200)")
		chunks := 0
		stop := b.background(b.tapped(&tap{deliver: func(snapshot.Window, *snapshot.Chunk) {
			if chunks++; chunks != 5 {
				return
			}
			db.MustExec(t, "ALTER TABLE "+table+" CHANGE u v VARCHAR(200)", "INSERT INTO "+table+" VALUES (5000, 'behind')")
			await(t, "the stream has passed the statement", func() bool {
				all, _ := b.stream()
				return count(all, summary{"insert", "ticket", "5000", "behind"}) == 1
			})
		}}).Run)
		b.awaitLoaded("ticket")
		must(t, stop())
		once(t, b.loads(), rows)
		all, _ := b.stream()
		before, after := 0, 0
		for _, s := range all {
			switch {
			case s.Operation != "load" || s.ID == "5000":
			case s.Value == "<nil>":
				before++
			default:
				after++
			}
		}
		if before == 0 || after == 0 || chunks <= 5 {
			t.Errorf("%d rows were loaded under the old definition and %d under the new one, in %d chunks", before, after, chunks)
		}
	})
}

// TestTheLoadGoesOnAfterLostConnections ends all connections in the middle of a load, and later the server, which is started again.
func TestTheLoadGoesOnAfterLostConnections(t *testing.T) {
	db := testservers.MySQL(t)
	b := newBench(t, db)
	const rows = 1500
	b.ticket(rows)
	chunks := 0
	stop := b.background(b.tapped(&tap{deliver: func(snapshot.Window, *snapshot.Chunk) {
		switch chunks++; chunks {
		case 5:
			for _, line := range db.MustQuery(t, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'root' AND ID <> CONNECTION_ID()") {
				_ = db.Exec(t.Context(), "KILL "+line[0]) // it may have ended by itself
			}
		case 15:
			db.Kill()
			db.MustStartAgain(t)
		}
	}}).Run)
	b.awaitLoaded("ticket")
	must(t, stop())
	once(t, b.loads(), rows)
	if chunks < 15 {
		t.Errorf("%d chunks only: the server was not restarted", chunks)
	}
}

// TestALoadWaitsForANewPassword ends all connections in the middle of a load, while the source takes another password than
// the one that is known. No table is given up for that.
func TestALoadWaitsForANewPassword(t *testing.T) {
	db := testservers.MySQL(t)
	b := newBench(t, db)
	const rows = 1500
	b.ticket(rows)
	db.MustExec(t, "CREATE USER rotated IDENTIFIED BY 'new'", "GRANT ALL ON *.* TO rotated")
	var changed atomic.Bool
	var refused atomic.Int64
	password := func(context.Context) (string, error) {
		if changed.Load() && refused.Add(1) <= 6 {
			return "old", nil
		}
		return "new", nil
	}
	chunks := 0
	r := b.tapped(&tap{deliver: func(snapshot.Window, *snapshot.Chunk) {
		if chunks++; chunks != 5 {
			return
		}
		changed.Store(true)
		for _, line := range db.MustQuery(t, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'rotated'") {
			_ = db.Exec(t.Context(), "KILL "+line[0]) // it may have ended by itself
		}
	}})
	r.cfg.Source.User, r.cfg.Source.Password = "rotated", password
	stop := b.background(r.Run)
	b.awaitLoaded("ticket")
	must(t, stop())
	once(t, b.loads(), rows)
	if refused.Load() <= 6 {
		t.Errorf("%d connects only since the change", refused.Load())
	}
}

// TestResumeReadsNothingAgain stops a load whose ranges are read in parallel. The next process reads what the checkpoint
// says is left, and nothing else.
func TestResumeReadsNothingAgain(t *testing.T) {
	db := testservers.SharedMySQL(t)
	b := newBench(t, db)
	const rows = 6000
	b.ticket(rows)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ranges := map[int]int{}
	stop := b.background(func(context.Context) error {
		return b.tapped(&tap{deliver: func(_ snapshot.Window, c *snapshot.Chunk) {
			if ranges[c.Range]++; ranges[1] > 2 && ranges[2] > 2 && ranges[3] > 2 {
				cancel()
			}
		}}).Run(ctx)
	})
	<-ctx.Done()
	must(t, stop())
	doc := b.saved("ticket")
	first := b.loads()
	if len(doc.Ranges) < 3 || doc.Rows == 0 || doc.Rows >= rows || doc.State != StateFullLoad {
		t.Fatalf("stopped at %+v after %v chunks; want several ranges that are left", doc, ranges)
	}
	left := func(id int) bool {
		for _, r := range doc.Ranges {
			if (len(r.After) == 0 || id > number(t, r.After[0])) && (len(r.To) == 0 || id <= number(t, r.To[0])) {
				return true
			}
		}
		return false
	}
	var again []string
	stop = b.background(b.tapped(&tap{deliver: func(_ snapshot.Window, c *snapshot.Chunk) {
		for row := range c.Rows() {
			if id := number(t, string(row[0])); !left(id) {
				again = append(again, string(row[0]))
			}
		}
	}}).Run)
	b.awaitLoaded("ticket")
	must(t, stop())
	if len(again) > 0 {
		t.Errorf("rows %v were read again", again)
	}
	acknowledged := uint64(0)
	for id, n := range b.loads() {
		if n != 1 && !left(id) || n < 1 || n > 2 {
			t.Errorf("row %d was loaded %d times", id, n)
		}
		if !left(id) {
			acknowledged++
		}
	}
	if n := len(b.loads()); n != rows || acknowledged != doc.Rows {
		t.Errorf("%d rows are loaded, %d of them before the stop; want %d and %d", n, acknowledged, rows, doc.Rows)
	}
	if d := b.saved("ticket"); d.Rows != rows || d.Ranges != nil || d.After != nil || d.AfterKey != nil {
		t.Errorf("saved at the end: %+v", d)
	}
	t.Logf("%d ranges were left, %d rows acknowledged and %d emitted before the stop", len(doc.Ranges), doc.Rows, len(first))
}

func number(t *testing.T, text string) int {
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// TestOneTableIsLoadedAgain uses a Loader of its own for one table, while the stream and another load go on.
func TestOneTableIsLoadedAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		const rows = 300
		table := b.ticket(rows)
		bare := "`" + b.name + "`.bare"
		db.MustExec(t, "CREATE TABLE "+bare+" (id INT, v VARCHAR(200))", "INSERT INTO "+bare+" VALUES (1, 'a'), (1, 'a')")
		var cfg snapshot.Config
		r := NewReplicate(b.config(FullLoadAndCDC))
		r.tune = func(c *snapshot.Config) { cfg = *c }
		stop := b.background(r.Run)
		b.awaitLoaded("ticket")
		b.awaitLoaded("bare")

		loader := snapshot.New(cfg)
		e := cfg.Stream.(*emitter)
		await(t, "the readers of the first load have closed its windows", func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return len(e.windows) == 0
		})
		e.mu.Lock() // a moment that the caller chooses
		for _, name := range []string{"ticket", "bare"} {
			w, err := e.open(tableID{b.name, name}, loader.Guard())
			must(t, err)
			loader.Add(snapshot.Job{Schema: b.name, Table: name}, w)
		}
		e.mu.Unlock()
		if err := loader.Open([]snapshot.Job{{Schema: b.name, Table: "ticket"}}); err == nil {
			t.Error("a table was opened twice")
		}
		db.MustExec(t, "UPDATE "+table+" SET v = 'new' WHERE id <= 10")
		must(t, backoff.Sleep(t.Context(), loader.Settle()))
		must(t, loader.Run(t.Context()))
		b.awaitLoaded("ticket")
		b.awaitLoaded("bare")
		must(t, stop())
		all, _ := b.stream()
		// Once before the first load of a table with a key; else in each of the two shards.
		for name, want := range map[string]int{"ticket": 1 + 2, "bare": 2 + 2} {
			if n := count(all, summary{Operation: "drop-table", Table: name}); n != want {
				t.Errorf("table %s was announced %d times, want %d", name, n, want)
			}
		}
		if n := count(all, summary{"load", "bare", "1", "a"}); n != 4 {
			t.Errorf("%d load records of the table without a key, want 4", n)
		}
		last := map[string]summary{}
		for _, s := range all {
			if s.Table == "ticket" && s.ID != "" {
				last[s.ID] = s
			}
		}
		loads := b.loads()
		for id := 1; id <= rows; id++ {
			s := last[strconv.Itoa(id)]
			if isNew := s.Value == "new"; isNew != (id <= 10) {
				t.Errorf("row %d ends as %.20v", id, s)
			}
			if n := loads[id]; id > 10 && n != 2 && id != 1 {
				t.Errorf("row %d was loaded %d times, want twice", id, n)
			}
		}
	})
}

// withViews selects the tables and views of one schema.
func withViews(t *testing.T, name string) *mapping.Rules {
	t.Helper()
	rules, err := mapping.Parse(fmt.Appendf(nil, `{"rules":[{"rule-type":"selection","rule-id":"1","rule-name":"1",
		"object-locator":{"schema-name":%q,"table-name":"%%","table-type":"all"},"rule-action":"include"}]}`, name))
	must(t, err)
	return rules
}

// TestAFullLoadNeedsNoBinlog loads, from a server that keeps none, a table, one without a key or transactions, and a view.
func TestAFullLoadNeedsNoBinlog(t *testing.T) {
	b := newBench(t, testservers.MySQL(t, testservers.Flags("--skip-log-bin")))
	table := b.ticket(100)
	b.db.MustExec(t, "CREATE TABLE `"+b.name+"`.bare (id INT, v INT) ENGINE=MyISAM", "INSERT INTO `"+b.name+"`.bare VALUES (1, 2), (1, 2)",
		"CREATE VIEW `"+b.name+"`.seen AS SELECT id, 'seen' v FROM "+table+" WHERE id < 4")
	cfg := b.config(FullLoad)
	cfg.Rules = withViews(t, b.name)
	b.complete(cfg)
	all, _ := b.stream()
	if n := count(all, summary{"load", "bare", "1", "2"}); n != 2 {
		t.Errorf("%d rows of the table without a key, want 2", n)
	}
	for id := 1; id <= 100; id++ {
		text := strconv.Itoa(id)
		want := 0
		if id < 4 {
			want = 1
		}
		if n := count(all, summary{"load", "seen", text, "seen"}); n != want {
			t.Errorf("%d rows of the view for id %d, want %d", n, id, want)
		}
		if n := count(all, summary{"load", "ticket", text, strings.Repeat("x", 100)}); n != 1 {
			t.Errorf("row %d of the table was loaded %d times", id, n)
		}
	}
}

// TestAFullLoadAloneTriesASuspendedViewAgain gives the user no right to a view before the second start.
func TestAFullLoadAloneTriesASuspendedViewAgain(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t))
	user := b.name + "_u"
	b.exec("CREATE TABLE ticket (id INT PRIMARY KEY, v INT)", "INSERT INTO ticket VALUES (1,1)", "CREATE VIEW seen AS SELECT id, v FROM ticket",
		"CREATE USER "+user+"@'%'", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO "+user+"@'%'", "GRANT INSERT ON seen TO "+user+"@'%'")
	cfg := b.config(FullLoad)
	cfg.Rules, cfg.Source.User = withViews(t, b.name), user
	if _, ok := errors.AsType[*SuspendedError](NewReplicate(cfg).Run(t.Context())); !ok {
		t.Error("a view that cannot be read was loaded")
	}
	b.exec("GRANT SELECT ON seen TO " + user + "@'%'")
	cfg.Registerer = nil
	b.complete(cfg)
	all, _ := b.stream()
	if n := count(all, summary{"load", "seen", "1", "1"}); n != 1 {
		t.Errorf("%d rows of the view, want 1", n)
	}
}

// TestWhatIsHiddenIsNotTakenForGone loads a view whose table is gone and one that the user may not read. The catalog shows
// no columns of either, as it does of what was dropped.
func TestWhatIsHiddenIsNotTakenForGone(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		b.exec("CREATE TABLE ticket (id INT PRIMARY KEY, v INT)", "CREATE TABLE lost (id INT PRIMARY KEY, v INT)",
			"CREATE VIEW broken AS SELECT id, v FROM lost", "DROP TABLE lost")
		cfg := b.config(FullLoad)
		cfg.Rules = withViews(t, b.name)
		err := NewReplicate(cfg).Run(t.Context())
		if refused, ok := errors.AsType[*SuspendedError](err); !ok || len(refused.Tables) != 1 || !strings.Contains(err.Error(), "broken") {
			t.Errorf("err = %v, want one that names the view", err)
		}
		if d := b.saved("broken"); d.State != StateError {
			t.Errorf("the view is in state %q, want %q", d.State, StateError)
		}
	})
}

// TestAnIdleSourceFinishesItsLoad starts a new log file while a chunk is read, and is silent from then on: no
// transaction ever tells the stream that it has passed the chunk.
func TestAnIdleSourceFinishesItsLoad(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		table := b.ticket(10)
		db.MustExec(t, "CREATE VIEW `"+b.name+"`.seen AS SELECT id, 'seen' v FROM "+table+" WHERE id < 4")
		flush := sync.OnceFunc(func() { db.MustExec(t, "FLUSH BINARY LOGS") })
		r := b.tapped(&tap{mark: flush})
		r.cfg.Rules = withViews(t, b.name)
		stop := b.background(r.Run)
		b.awaitLoaded("ticket")
		b.awaitLoaded("seen")
		must(t, stop())
		all, _ := b.stream()
		if n := count(all, summary{"load", "seen", "3", "seen"}); n != 1 {
			t.Errorf("%d rows of the view for id 3, want 1", n)
		}
	})
}

// TestTablesWithoutKeyAndTransactionsAreRefused has nothing that tells which changes the rows of a SELECT have.
func TestTablesWithoutKeyAndTransactionsAreRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		db.MustExec(t, "CREATE TABLE `"+b.name+"`.bare (id INT) ENGINE=MyISAM")
		cfg := b.config(FullLoadAndCDC)
		cfg.TableErrors = StopTask
		err := NewReplicate(cfg).Run(t.Context())
		refused, ok := errors.AsType[*snapshot.TableError](err)
		if !ok || refused.Table != "bare" || !strings.Contains(err.Error(), "MyISAM") || !strings.Contains(err.Error(), "ADD PRIMARY KEY") {
			t.Errorf("err = %v, want one that names the table, its engine and the cure", err)
		}
	})
}

// TestTheTableChangesUnderItsLoad gives the table another key in the middle of its load, takes its key away, and drops it.
func TestTheTableChangesUnderItsLoad(t *testing.T) {
	const rows = 1000
	for _, c := range []struct {
		what, statement string
		state           string
	}{
		{"another order", "ALTER TABLE %s DROP PRIMARY KEY, ADD PRIMARY KEY (id DESC)", StateCompleted},
		{"no key", "ALTER TABLE %s DROP PRIMARY KEY", StateCompleted},
		{"no table", "DROP TABLE %s", StateGone},
	} {
		t.Run(c.what, func(t *testing.T) {
			db := testservers.SharedMySQL(t)
			b := newBench(t, db)
			table := b.ticket(rows)
			db.MustExec(t, "CREATE TABLE `"+b.name+"`.other (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO `"+b.name+"`.other VALUES (1, 'a')")
			chunks := 0
			stop := b.background(b.tapped(&tap{deliver: func(snapshot.Window, *snapshot.Chunk) {
				if chunks++; chunks == 5 {
					db.MustExec(t, fmt.Sprintf(c.statement, table))
				}
			}}).Run)
			await(t, "the load has ended", func() bool { return b.saved("ticket").State == c.state })
			b.awaitLoaded("other")
			announced := func() int {
				all, _ := b.stream()
				return count(all, summary{Operation: "drop-table", Table: "ticket"})
			}
			// The load may find out by itself that the table is gone, ahead of the stream, which announces it.
			await(t, "the first load, and the change in each of the two shards, are announced", func() bool { return announced() >= 1+2 })
			must(t, stop())
			if n := announced(); n != 1+2 {
				t.Errorf("announced %d times, want once for the load and once in each of the two shards", n)
			}
			loads := b.loads()
			if c.state == StateGone {
				if len(loads) == 0 || len(loads) == rows {
					t.Errorf("%d rows loaded, want some of %d", len(loads), rows)
				}
				return
			}
			if len(loads) != rows {
				t.Errorf("%d rows of %d loaded", len(loads), rows)
			}
			if d := b.saved("ticket"); d.Rows != rows {
				t.Errorf("%d rows are counted: what was loaded before the change does not count", d.Rows)
			}
		})
	}
}

// TestAPassThatIsCutOffBeginsAnew stops the load of a table without a key in the middle.
func TestAPassThatIsCutOffBeginsAnew(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		const rows = 500
		db.MustExec(t, "ALTER TABLE "+b.ticket(rows)+" DROP PRIMARY KEY")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		chunks := 0
		stop := b.background(func(context.Context) error {
			return b.tapped(&tap{deliver: func(snapshot.Window, *snapshot.Chunk) {
				if chunks++; chunks == 5 {
					await(t, "a checkpoint has rows of the pass", func() bool { return b.saved("ticket").Rows > 0 })
					cancel()
				}
			}}).Run(ctx)
		})
		<-ctx.Done()
		must(t, stop())
		first := len(b.loads())
		if d := b.saved("ticket"); d.State != StateFullLoad || d.After != nil || d.Ranges != nil || first == 0 || first >= rows {
			t.Fatalf("stopped after %d rows at %+v", first, d)
		}
		stop = b.background(b.tapped(&tap{}).Run)
		b.awaitLoaded("ticket")
		must(t, stop())
		all, _ := b.stream()
		if n := count(all, summary{Operation: "drop-table", Table: "ticket"}); n != 2+2 {
			t.Errorf("the table was announced %d times, want twice in each of two shards", n)
		}
		for id, n := range b.loads() {
			if n < 1 || n > 2 {
				t.Errorf("row %d was loaded %d times", id, n)
			}
		}
		if d := b.saved("ticket"); d.Rows != rows || len(b.loads()) != rows {
			t.Errorf("%d rows are counted, %d loaded, want %d", d.Rows, len(b.loads()), rows)
		}
	})
}

// TestAnotherServerEndsTheLoad puts another server under the source's address before a load reads its first row, or looks
// how far the log is. Nothing of that server is sent, no table is given up, and a restart finds out how to go on.
func TestAnotherServerEndsTheLoad(t *testing.T) {
	db, other := testservers.SharedMySQL(t), testservers.SharedMariaDB(t)
	for what, fresh := range map[string]bool{"to begin with": true, "going on": false} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t, db)
			b.ticket(10)
			db.MustExec(t, "CREATE TABLE `"+b.name+"`.bare (id INT)")
			relay := testservers.NewRelay(t, db.Addr())
			cfg := b.config(FullLoadAndCDC)
			cfg.Source.Port = relay.Port16()
			r := NewReplicate(cfg)
			s, err := r.prepare(t.Context())
			must(t, err)
			s.state.fresh = fresh
			relay.Point(other.Addr())
			stop := b.background(s.writer.Run)
			if err := ended(r.load(t.Context(), s, open(t, r, s))); !errors.As(err, new(*restartError)) {
				t.Errorf("the load ended with %v", err)
			}
			must(t, stop())
			for _, d := range s.progress.docs() {
				if d.State != StateBeforeLoad {
					t.Errorf("table %s is %s", d.Table, d.State)
				}
			}
		})
	}
}

// open opens the windows of a session's load.
func open(t *testing.T, r *Replicate, s *session) *snapshot.Loader {
	t.Helper()
	loader := r.loader(s)
	must(t, loader.Open(s.jobs))
	return loader
}
