package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint/checkpointtest"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func column(t *testing.T, columnType string, set func(*schema.Column)) schema.Column {
	t.Helper()
	c, err := schema.ParseColumnType(columnType)
	must(t, err)
	set(&c)
	return c
}

func knownVersions(t *testing.T) []binlog.Version {
	server := "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	start := source.Position{File: "binlog.000041", Offset: 157, GTIDSet: server + ":1-5", ServerUUID: server}
	changed := source.Position{File: "binlog.000042", Offset: 7301, GTIDSet: server + ":1-90", ServerUUID: server}
	id := column(t, "bigint unsigned", func(c *schema.Column) { c.Name = "id" })
	price := &schema.Table{
		Schema: "shop", Name: "seat_price", Collation: "utf8mb4_0900_ai_ci", Key: []int{0}, KeyKind: schema.PrimaryKey,
		Columns: []schema.Column{
			id,
			column(t, "enum('stalls','circle')", func(c *schema.Column) { c.Name, c.Charset, c.Collation = "area", "utf8mb4", "utf8mb4_0900_ai_ci" }),
			column(t, "decimal(10,2)", func(c *schema.Column) { c.Name, c.Nullable = "price", true }),
			column(t, "varchar(40) /*M!100301 COMPRESSED*/", func(c *schema.Column) { c.Name, c.Charset, c.Collation = "note", "latin1", "latin1_swedish_ci" }),
			column(t, "datetime(3)", func(c *schema.Column) { c.Name, c.Invisible = "seen", true }),
			column(t, "int", func(c *schema.Column) { c.Name, c.Generated = "rounded", true }),
			column(t, "int", func(c *schema.Column) { c.Name, c.Generated, c.Unlogged = "shown", true, true }),
			column(t, "text /*M!100301 COMPRESSED*/", func(c *schema.Column) { c.Name, c.Charset, c.Collation = "story", "utf8mb4", "utf8mb4_bin" }),
		},
	}
	renamed := *price
	renamed.Name, renamed.Key, renamed.KeyKind, renamed.Versioned = "price", []int{1, 0}, schema.UniqueKey, true
	note := &schema.Table{Schema: "shop", Name: "note", Columns: []schema.Column{id}}
	return []binlog.Version{
		{Schema: "shop", Name: "note", Since: start, Table: note},
		{Schema: "shop", Name: "price", Since: changed, Table: &renamed},
		{Schema: "shop", Name: "seat_price", Since: start, Table: price},
		{Schema: "shop", Name: "seat_price", Since: changed},
	}
}

func TestDefinitionsDocumentIsAsSpecified(t *testing.T) {
	const golden = "testdata/definitions.golden.json"
	all := knownVersions(t)
	got, err := json.MarshalIndent(definitionsOf(all, "tickets", time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)), "", "  ")
	must(t, err)
	got = append(got, '\n')
	if *update {
		must(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("the document is\n%s\nspecified is\n%s", got, want)
	}
	back, err := readDefinitions(want, "tickets")
	must(t, err)
	if !reflect.DeepEqual(back, all) {
		t.Errorf("read back as %+v", back)
	}
	// Whatever a table or a column is, the document says: every field of one differs from zero in some example above.
	told := map[string]bool{}
	note := func(v reflect.Value) {
		for i := range v.NumField() {
			told[v.Type().Name()+"."+v.Type().Field(i).Name] = told[v.Type().Name()+"."+v.Type().Field(i).Name] || !v.Field(i).IsZero()
		}
	}
	for _, v := range all {
		if v.Table == nil {
			continue
		}
		note(reflect.ValueOf(*v.Table))
		for _, c := range v.Table.Columns {
			note(reflect.ValueOf(c))
		}
	}
	for field, is := range told {
		if !is {
			t.Errorf("no example has %s: does the document keep it?", field)
		}
	}
}

func TestDefinitionsOutliveTheProcess(t *testing.T) {
	store := checkpointtest.NewMemory()
	at := source.Position{File: "b.000001", Offset: 4}
	oldest := func() source.Position { return at }
	open := func(continues bool) *definitions {
		t.Helper()
		d, err := openDefinitions(t.Context(), store, "tickets", continues, oldest, outage.New(nil, "store"))
		must(t, err)
		return d
	}
	load := func(d *definitions) []binlog.Version {
		t.Helper()
		all, err := d.Load(t.Context())
		must(t, err)
		return all
	}
	first := open(true)
	if got := load(first); len(got) != 0 || first.Oldest() != at {
		t.Errorf("a new store knows %v", got)
	}
	must(t, first.Save(t.Context(), knownVersions(t)))
	second := open(true)
	if got := load(second); !reflect.DeepEqual(got, knownVersions(t)) {
		t.Errorf("loaded %+v", got)
	}
	if err := first.Save(t.Context(), nil); !errors.Is(err, checkpoint.ErrConflict) || !strings.Contains(err.Error(), "another replicate process") {
		t.Errorf("the first process could save after the second took over: %v", err)
	}
	must(t, second.Save(t.Context(), knownVersions(t)[:1]))
	if got := load(open(false)); len(got) != 0 {
		t.Errorf("on another line of positions, %v is known", got)
	}
	if got := load(open(true)); len(got) != 0 {
		t.Errorf("what another line of positions made invalid is back: %v", got)
	}
}

// failing is a store that cannot save a number of times.
type failing struct {
	checkpoint.Store
	left int
}

func (f *failing) Save(ctx context.Context, name string, doc []byte, rev checkpoint.Revision) (checkpoint.Revision, error) {
	if f.left--; f.left >= 0 {
		return checkpoint.None, errors.New("away")
	}
	return f.Store.Save(ctx, name, doc, rev)
}

func TestDefinitionsWaitForTheStore(t *testing.T) {
	store := &failing{Store: checkpointtest.NewMemory()}
	d, err := openDefinitions(t.Context(), store, "tickets", true, nil, outage.New(nil, "store"))
	must(t, err)
	store.left = 1
	must(t, d.Save(t.Context(), knownVersions(t)))
	if store.left >= 0 {
		t.Error("the store never failed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	store.left = 1 << 30
	cancel()
	if err := d.Save(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDefinitionsRefuseWhatTheyDoNotKnow(t *testing.T) {
	for what, doc := range map[string]string{
		"another task":     `{"version":1,"task":"other"}`,
		"a later version":  `{"version":2,"task":"tickets"}`,
		"no JSON":          `{`,
		"a lost position":  `{"version":1,"task":"tickets","definitions":[{"schema":"a","table":"b","since":0}]}`,
		"an unknown type":  `{"version":1,"task":"tickets","positions":[{}],"definitions":[{"since":0,"columns":[{"name":"a","type":"riddle"}]}]}`,
		"a key of nothing": `{"version":1,"task":"tickets","positions":[{}],"definitions":[{"since":0,"key":[1],"key_kind":"primary","columns":[{"name":"a","type":"int"}]}]}`,
		"a key of no kind": `{"version":1,"task":"tickets","positions":[{}],"definitions":[{"since":0,"key":[0],"key_kind":"spare","columns":[{"name":"a","type":"int"}]}]}`,
	} {
		store := checkpointtest.NewMemory()
		_, err := store.Save(t.Context(), definitionsDocument, []byte(doc), checkpoint.None)
		must(t, err)
		if _, err := openDefinitions(t.Context(), store, "tickets", true, nil, nil); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

// What was written while nobody read, and changed its columns' names before anybody did again, is read under the old names.
func TestDefinitionsAreKnownAfterARestart(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		table := "`" + b.name + "`.ticket"
		db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(20), w VARCHAR(20))", "INSERT INTO "+table+" VALUES (1, 'a', 'x')")
		stop := b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
		b.awaitStream(1)
		db.MustExec(t, "INSERT INTO "+table+" VALUES (2, 'b', 'x')")
		b.awaitStream(2)
		must(t, stop())
		db.MustExec(t, "INSERT INTO "+table+" VALUES (3, 'c', 'x')", "ALTER TABLE "+table+" CHANGE v w VARCHAR(20), CHANGE w v VARCHAR(20)",
			"INSERT INTO "+table+" (id, v, w) VALUES (4, 'd', 'x')")
		stop = b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
		got := b.awaitStream(4)
		must(t, stop())
		for _, want := range []summary{{"load", "ticket", "1", "a"}, {"insert", "ticket", "2", "b"}, {"insert", "ticket", "3", "c"}, {"insert", "ticket", "4", "d"}} {
			if count(got, want) != 1 {
				t.Errorf("%v is not in %v", want, got)
			}
		}
	})
}

// A process that dies behind its first record, and before the end of that transaction, leaves the definitions that the next
// one needs: the table may be another one by then.
func TestDefinitionsAreSavedBeforeTheFirstRecord(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		name := db.Database(t)
		db.MustExec(t, "USE "+name, "CREATE TABLE ticket (id INT PRIMARY KEY, v VARCHAR(20))")
		l := newTail(t, db, name)
		start := l.end()
		db.MustExec(t, "INSERT INTO "+name+".ticket VALUES (1, 'a')")
		cfg := l.config()
		cfg.Start = fmt.Sprintf("%s:%d", start.File, start.Offset)
		l.after = func(*session) {
			raw, _, err := l.store.Load(t.Context(), definitionsDocument)
			must(t, err)
			if known, err := readDefinitions(raw, cfg.Task); err != nil || len(known) != 1 || known[0].Name != "ticket" {
				t.Errorf("saved are %+v, %v", known, err)
			}
		}
		must(t, l.read(cfg, l.end()))
		if len(l.got) != 1 {
			t.Errorf("%d records", len(l.got))
		}
	})
}
