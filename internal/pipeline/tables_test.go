package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/mapping"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// replayed is what a reader of the stream holds of a table with columns id and v: it reads each shard in its order,
// passes over what was sent twice, and forgets a table's rows at drop-table.
func (b *bench) replayed(table string) map[string]string {
	b.t.Helper()
	rows := map[string]string{}
	for _, shard := range shards {
		filter, held := dedupe.New(), map[string]string{}
		for _, data := range b.shard(shard) {
			if filter.Check(data) != dedupe.Keep {
				continue
			}
			h, err := record.Parse(data)
			must(b.t, err)
			if h.Table != table {
				continue
			}
			var doc struct{ Data map[string]json.Number }
			must(b.t, json.Unmarshal(data, &doc))
			switch h.Operation {
			case "drop-table":
				clear(held)
			case "delete":
				delete(held, doc.Data["id"].String())
			case "load", "insert", "update":
				held[doc.Data["id"].String()] = doc.Data["v"].String()
			}
		}
		for id, v := range held {
			rows[id] = v
		}
	}
	return rows
}

// table is what the source holds.
func (b *bench) table(name string) map[string]string {
	b.t.Helper()
	rows := map[string]string{}
	for _, r := range b.db.MustQuery(b.t, fmt.Sprintf("SELECT id, v FROM `%s`.`%s`", b.name, name)) {
		rows[r[0]] = r[1]
	}
	return rows
}

// awaitEqual waits until the stream's replay of a table is the table.
func (b *bench) awaitEqual(table string) {
	b.t.Helper()
	b.await("the replay of "+table+" to equal the table", func() string { return cmp.Diff(b.table(table), b.replayed(table)) })
}

// await polls until difference has nothing to say.
func (b *bench) await(what string, difference func() string) {
	b.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		d := difference()
		if d == "" {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("waited in vain for %s:\n%s", what, d)
		}
		time.Sleep(20 * time.Millisecond) // the records come from a server
	}
}

// state is the saved state of a table.
func (b *bench) state(table string) tableDoc {
	b.t.Helper()
	raw, _, err := b.store.Load(b.t.Context(), replicateDocument)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return tableDoc{}
	}
	must(b.t, err)
	var d replicateDoc
	must(b.t, json.Unmarshal(raw, &d))
	for _, t := range d.Tables {
		if t.Table == table {
			return t
		}
	}
	return tableDoc{}
}

func (b *bench) awaitState(table, state string) {
	b.t.Helper()
	b.await(table+" to be in state "+state, func() string { return cmp.Diff(state, b.state(table).State) })
}

func (b *bench) exec(statements ...string) {
	b.t.Helper()
	all := []string{"USE `" + b.name + "`"}
	for _, s := range statements {
		all = append(all, strings.ReplaceAll(s, "¤", "`"+b.name+"`"))
	}
	b.db.MustExec(b.t, all...)
}

func TestReloadSendsATableAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		b.exec("CREATE TABLE ticket (id INT PRIMARY KEY, v INT)", "INSERT INTO ticket VALUES (1,1),(2,2),(3,3)",
			"CREATE TABLE other (id INT PRIMARY KEY, v INT)", "INSERT INTO other VALUES (1,1)")
		r := NewReplicate(b.config(FullLoadAndCDC))
		if err := r.Reload(t.Context(), b.name+".ticket"); !errors.Is(err, ErrNotRunning) {
			t.Errorf("before it runs: %v, want ErrNotRunning", err)
		}
		stop := b.background(r.Run)
		b.awaitEqual("ticket")
		b.awaitState("ticket", StateCompleted)

		// What the binlog does not tell, only a reload can.
		b.exec("SET sql_log_bin = 0", "UPDATE ticket SET v = 20 WHERE id = 2", "DELETE FROM ticket WHERE id = 3")
		must(t, r.Reload(t.Context(), b.name+".ticket"))
		b.exec("INSERT INTO other VALUES (2,2)", "INSERT INTO ticket VALUES (4,4)", "UPDATE ticket SET v = 10 WHERE id = 1")
		b.awaitEqual("ticket")
		b.awaitEqual("other")
		b.awaitState("ticket", StateCompleted)

		_, err := errors.AsType[*UnknownTableError](r.Reload(t.Context(), "TICKET"))
		if !err || !strings.Contains(r.Reload(t.Context(), "TICKET").Error(), b.name+".ticket") {
			t.Errorf("a table in the wrong case: %v", r.Reload(t.Context(), "TICKET"))
		}
		must(t, stop())
		all, _ := b.stream()
		if n := count(all, summary{Operation: "load", Table: "other", ID: "1", Value: "1"}); n != 1 {
			t.Errorf("the other table was loaded %d times", n)
		}
	})
}

// unloggedStatements change rows in ways that the binlog does not spell out row by row.
var unloggedStatements = []struct {
	name       string
	only       dbserver.Flavor
	statements []string
}{
	{"truncate", "", []string{"TRUNCATE TABLE ticket", "INSERT INTO ticket VALUES (1,100)"}},
	{"truncate partition", "", []string{"ALTER TABLE ticket TRUNCATE PARTITION p0"}},
	{"drop partition", "", []string{"ALTER TABLE ticket DROP PARTITION p0"}},
	{"exchange partition", "", []string{
		"CREATE TABLE fresh (id INT PRIMARY KEY, v INT)", "INSERT INTO fresh VALUES (3,33)",
		"ALTER TABLE ticket EXCHANGE PARTITION p0 WITH TABLE fresh",
	}},
	{"drop and create", "", []string{"DROP TABLE ticket", "CREATE TABLE ticket (v INT, id VARCHAR(10) PRIMARY KEY)", "INSERT INTO ticket VALUES (5,'5')"}},
	{"drop database", "", []string{"DROP DATABASE ¤", "CREATE DATABASE ¤", "USE ¤", "CREATE TABLE ticket (id INT PRIMARY KEY, v INT)"}},
	{"create or replace", dbserver.MariaDB, []string{"CREATE OR REPLACE TABLE ticket (v INT, id INT PRIMARY KEY)", "INSERT INTO ticket VALUES (5,5)"}},
	{"create as select", "", []string{"DROP TABLE ticket", "CREATE TABLE ticket (PRIMARY KEY (id)) AS SELECT 8 AS id, 9 AS v"}},
	{"swap of names, as gh-ost does it", "", []string{
		"CREATE TABLE _ticket_gho LIKE ticket", "INSERT INTO _ticket_gho SELECT * FROM ticket", "ALTER TABLE _ticket_gho ADD COLUMN more INT DEFAULT 7",
		"DELETE FROM _ticket_gho WHERE id = 2", "RENAME TABLE ticket TO _ticket_del, _ticket_gho TO ticket", "DROP TABLE _ticket_del",
	}},
	{"renamed away and back", "", []string{"RENAME TABLE ticket TO gone", "DELETE FROM gone WHERE id = 1", "ALTER TABLE gone RENAME TO ticket"}},
}

// TestRowsThatChangeWithoutBeingLogged runs each of them while the table is replicated; the replay must follow.
func TestRowsThatChangeWithoutBeingLogged(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		for _, c := range unloggedStatements {
			if c.only != "" && !strings.HasSuffix(t.Name(), "/"+string(c.only)) {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				b := newBench(t, db)
				b.exec("CREATE TABLE ticket (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
					"INSERT INTO ticket VALUES (1,1),(2,2),(11,11),(12,12)")
				cfg := b.config(FullLoadAndCDC)
				cfg.Rules = only(t, b.name, "ticket")
				stop := b.background(NewReplicate(cfg).Run)
				b.awaitEqual("ticket")
				b.exec(c.statements...)
				b.exec("INSERT INTO ticket (id, v) VALUES (20, 200)", "UPDATE ticket SET v = v + 1000 WHERE id = 11")
				b.awaitEqual("ticket")
				b.awaitState("ticket", StateCompleted)
				must(t, stop())
			})
		}
	})
}

// only selects one table of a schema.
func only(t *testing.T, schemaName, table string) *mapping.Rules {
	t.Helper()
	rules, err := mapping.Parse(fmt.Appendf(nil, `{"rules":[{"rule-type":"selection","rule-id":"1","rule-name":"1",
		"object-locator":{"schema-name":%q,"table-name":%q},"rule-action":"include"}]}`, schemaName, table))
	must(t, err)
	return rules
}

// TestAFaultyTableIsSuspendedAndTheOthersGoOn damages what the binlog says of one table's rows.
func TestAFaultyTableIsSuspendedAndTheOthersGoOn(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		b.exec("CREATE TABLE ticket (id INT PRIMARY KEY, v INT)", "INSERT INTO ticket VALUES (1,1),(2,2)",
			"CREATE TABLE other (id INT PRIMARY KEY, v INT)", "INSERT INTO other VALUES (1,1)")
		r := NewReplicate(b.config(FullLoadAndCDC))
		stop := b.background(r.Run)
		b.awaitEqual("ticket")
		b.awaitEqual("other")
		b.exec("SET binlog_row_image = 'MINIMAL'", "BEGIN", "UPDATE other SET v = 5 WHERE id = 1 AND v = 77", "UPDATE ticket SET v = 20 WHERE id = 2", "COMMIT",
			"SET binlog_row_image = 'FULL'", "INSERT INTO ticket VALUES (3,3)", "INSERT INTO other VALUES (2,2)")
		b.awaitEqual("other")
		b.awaitState("ticket", StateError)
		if d := b.state("ticket"); !strings.Contains(d.Error, "binlog_row_image") || !strings.Contains(d.Error, "reload-table "+b.name+".ticket") {
			t.Errorf("the reason names no cure: %s", d.Error)
		}
		must(t, stop())

		// A restart does not forget it.
		r = NewReplicate(b.config(FullLoadAndCDC))
		stop = b.background(r.Run)
		b.exec("INSERT INTO ticket VALUES (4,4)", "INSERT INTO other VALUES (3,3)")
		b.awaitEqual("other")
		if diff := cmp.Diff(map[string]string{"1": "1", "2": "2"}, b.replayed("ticket")); diff != "" {
			t.Errorf("something of the suspended table was sent (-want +got):\n%s", diff)
		}
		must(t, r.Reload(t.Context(), b.name+".ticket"))
		b.exec("INSERT INTO ticket VALUES (5,5)")
		b.awaitEqual("ticket")
		b.awaitState("ticket", StateCompleted)

		// A new table under the old name has nothing to do with what was wrong with the old one.
		b.exec("SET binlog_row_image = 'MINIMAL'", "UPDATE ticket SET v = 50 WHERE id = 5")
		b.awaitState("ticket", StateError)
		b.exec("DROP TABLE ticket", "CREATE TABLE ticket (id INT PRIMARY KEY, v INT)", "INSERT INTO ticket VALUES (6,6)")
		b.awaitEqual("ticket")
		b.awaitState("ticket", StateCompleted)
		must(t, stop())
	})
}

func TestTableErrorPolicyStopTask(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t))
	b.exec("CREATE TABLE ticket (id INT PRIMARY KEY, v INT)", "INSERT INTO ticket VALUES (1,1)")
	cfg := b.config(FullLoadAndCDC)
	cfg.TableErrors = StopTask
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- NewReplicate(cfg).Run(ctx) }()
	b.awaitEqual("ticket")
	b.exec("SET binlog_row_image = 'MINIMAL'", "UPDATE ticket SET v = 2")
	if _, ok := errors.AsType[*binlog.TableError](<-ended); !ok {
		t.Error("it did not end with the table's error")
	}
}

// TestATableThatCannotBeLoadedIsSuspended gives the user no right to one of two tables.
func TestATableThatCannotBeLoadedIsSuspended(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t))
	user := b.name + "_u"
	b.exec("CREATE TABLE ticket (id INT PRIMARY KEY, v INT)", "INSERT INTO ticket VALUES (1,1)",
		"CREATE TABLE other (id INT PRIMARY KEY, v INT)", "INSERT INTO other VALUES (1,1)",
		"CREATE USER "+user+"@'%'", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO "+user+"@'%'",
		"GRANT SELECT ON other TO "+user+"@'%'", "GRANT INSERT ON ticket TO "+user+"@'%'")
	cfg := b.config(FullLoadAndCDC)
	cfg.Source.User = user
	stop := b.background(NewReplicate(cfg).Run)
	b.awaitEqual("other")
	b.awaitState("ticket", StateError)
	if d := b.state("ticket"); !strings.Contains(d.Error, "SELECT") {
		t.Errorf("the reason names no cure: %s", d.Error)
	}
	must(t, stop())

	cfg = b.config(FullLoad)
	cfg.Source.User = user
	store, err := checkpoint.OpenFile(t.TempDir())
	must(t, err)
	cfg.Store = store
	if _, ok := errors.AsType[*SuspendedError](NewReplicate(cfg).Run(t.Context())); !ok {
		t.Error("a full load alone that left a table out did not say so")
	}
}

func TestANewlySelectedTableIsLoadedWhileTheOthersStream(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		b.exec("CREATE TABLE ticket (id INT PRIMARY KEY, v INT)", "INSERT INTO ticket VALUES (1,1)",
			"CREATE TABLE other (id INT PRIMARY KEY, v INT)", "INSERT INTO other VALUES (1,1)")
		cfg := b.config(FullLoadAndCDC)
		cfg.Rules = only(t, b.name, "ticket")
		stop := b.background(NewReplicate(cfg).Run)
		b.awaitEqual("ticket")
		b.exec("INSERT INTO other VALUES (2,2)")
		must(t, stop())
		b.exec("INSERT INTO ticket VALUES (2,2)", "UPDATE other SET v = 11 WHERE id = 1")
		stop = b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
		b.exec("DELETE FROM other WHERE id = 2", "CREATE TABLE third (id INT PRIMARY KEY, v INT)", "INSERT INTO third VALUES (7,7)")
		b.awaitEqual("ticket")
		b.awaitEqual("other")
		b.awaitEqual("third")
		must(t, stop())
		all, _ := b.stream()
		if n := count(all, summary{Operation: "load", Table: "ticket", ID: "1", Value: "1"}); n != 1 {
			t.Errorf("a table that was loaded before was loaded %d times", n)
		}

		// What changes while no rule selects a table is not sent. Selected again, the table is loaded again.
		cfg.Registerer = prometheus.NewRegistry()
		stop = b.background(NewReplicate(cfg).Run)
		b.exec("DELETE FROM other WHERE id = 1", "INSERT INTO other VALUES (3,3)", "INSERT INTO ticket VALUES (4,4)")
		b.awaitEqual("ticket")
		must(t, stop())
		stop = b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
		b.awaitEqual("other")
		b.awaitState("other", StateCompleted)
		must(t, stop())

		// Dropped in such a time, it must not be waited for.
		cfg.Registerer = prometheus.NewRegistry()
		stop = b.background(NewReplicate(cfg).Run)
		b.exec("DROP TABLE other", "INSERT INTO ticket VALUES (5,5)")
		b.awaitEqual("ticket")
		must(t, stop())
		stop = b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
		b.awaitState("other", StateGone)
		must(t, stop())
	})
}

// mortal is a store that takes nothing any more once its process is dead.
type mortal struct {
	*checkpoint.FileStore
	dead    atomic.Bool
	refused atomic.Int64 // saves
}

func (m *mortal) Save(ctx context.Context, name string, doc []byte, rev checkpoint.Revision) (checkpoint.Revision, error) {
	if m.dead.Load() {
		m.refused.Add(1)
		return checkpoint.None, errors.New("the process is dead")
	}
	return m.FileStore.Save(ctx, name, doc, rev)
}

// mortal loads the empty table ticket, and starts a process that saves at announcements only. kill ends it at once.
func (b *bench) mortal() (r *Replicate, store *mortal, kill func()) {
	b.t.Helper()
	b.exec("CREATE TABLE ticket (id INT PRIMARY KEY, v INT)")
	stop := b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
	b.awaitState("ticket", StateCompleted)
	must(b.t, stop())
	store = &mortal{FileStore: b.store}
	cfg := b.config(FullLoadAndCDC)
	cfg.Store, cfg.Grace, cfg.SaveEvery = store, time.Millisecond, time.Hour
	r = NewReplicate(cfg)
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	kill = sync.OnceFunc(func() { cancel(); <-ended })
	b.t.Cleanup(kill)
	return r, store, kill
}

// TestNothingIsSentBeforeTheCheckpointBehindAnAnnouncement kills a process that saves at announcements only.
func TestNothingIsSentBeforeTheCheckpointBehindAnAnnouncement(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t))
	_, store, kill := b.mortal()
	b.exec("INSERT INTO ticket VALUES (1,1)", "TRUNCATE TABLE ticket", "INSERT INTO ticket VALUES (2,2)")
	b.awaitEqual("ticket")
	store.dead.Store(true)
	kill()

	stop := b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
	b.exec("INSERT INTO ticket VALUES (3,3)")
	b.awaitEqual("ticket")
	must(t, stop())
	all, _ := b.stream()
	if n := count(all, summary{Operation: "drop-table", Table: "ticket"}); n != 1+2 {
		t.Errorf("%d× drop-table, want one before the load and one for each shard", n)
	}
}

// TestAReloadIsDurableBeforeItIsAnnounced kills a process that cannot save any more when a reload is asked for. The next
// one knows of no reload, and must find that nobody was told of one.
func TestAReloadIsDurableBeforeItIsAnnounced(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t))
	replicate, store, kill := b.mortal()
	b.exec("INSERT INTO ticket VALUES (1,1)")
	b.awaitEqual("ticket")
	store.dead.Store(true)
	go func() { _ = replicate.Reload(t.Context(), b.name+".ticket") }()
	await(t, "the reload comes to its first save", func() bool { return store.refused.Load() > 0 })
	kill()

	stop := b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
	b.exec("INSERT INTO ticket VALUES (2,2)")
	b.awaitEqual("ticket")
	must(t, stop())
}

// TestAnnouncementsSurviveCrashes kills the process at random moments around TRUNCATE, DROP, swaps and reloads.
func TestAnnouncementsSurviveCrashes(t *testing.T) {
	db := testservers.SharedMySQL(t)
	b := newBench(t, db)
	b.exec("CREATE TABLE ticket (id INT PRIMARY KEY, v INT)")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 12 {
		store := &mortal{FileStore: b.store}
		cfg := b.config(FullLoadAndCDC)
		cfg.Store, cfg.Grace, cfg.SaveEvery = store, time.Millisecond, time.Duration(1+r.IntN(60))*time.Millisecond
		replicate := NewReplicate(cfg)
		ctx, kill := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- replicate.Run(ctx) }()
		for range 2 + r.IntN(6) {
			switch r.IntN(7) {
			case 0:
				b.exec("TRUNCATE TABLE ticket")
			case 1:
				b.exec("DROP TABLE ticket", "CREATE TABLE ticket (id INT PRIMARY KEY, v INT)")
			case 2:
				b.exec("CREATE TABLE _new LIKE ticket", "INSERT INTO _new VALUES (1,1)", "RENAME TABLE ticket TO _old, _new TO ticket", "DROP TABLE _old")
			case 3:
				if err := replicate.Reload(ctx, b.name+".ticket"); err != nil {
					t.Log(err) // not running yet, or not any more
				}
			default:
				for range 1 + r.IntN(20) {
					b.exec(fmt.Sprintf("REPLACE INTO ticket VALUES (%d, %d)", r.IntN(9), r.IntN(1e6)))
				}
			}
		}
		time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond) // the moment of death is random
		store.dead.Store(true)
		kill()
		<-ended
	}
	stop := b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
	b.awaitState("ticket", StateCompleted)
	b.awaitEqual("ticket")
	must(t, stop())
}
