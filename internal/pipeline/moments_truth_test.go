package pipeline_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// coord is the place of a change: file number, start of its rows event, row, and 1 for the second half of a change
// of key. A place between transactions has the offset and nothing behind it, so it lies behind all rows before it.
type coord struct {
	file, start uint64
	row         uint32
	half        uint8
}

func (c coord) compare(o coord) int {
	return cmp.Or(cmp.Compare(c.file, o.file), cmp.Compare(c.start, o.start), cmp.Compare(c.row, o.row), cmp.Compare(c.half, o.half))
}

func (c coord) String() string { return fmt.Sprintf("%d:%d:%d.%d", c.file, c.start, c.row, c.half) }

// fact is what a change made of a row: values of all columns as texts, or nothing where it was deleted. at is zero for
// a key that was never there.
type fact struct {
	at      coord
	gtid    string
	op      string
	table   string
	key     string
	values  []string // of a deleted row: those that it had
	before  []string // of an update of a table without a key
	deleted bool
}

func (f *fact) present() bool { return f.at != coord{} && !f.deleted }

// truth is what the binlog says, as an independent reader sees it.
type truth struct {
	facts []*fact
	keys  map[string]map[string][]*fact // by table and key, in order
}

// at is the newest fact of a key at or before a place.
func (t *truth) at(table, key string, place coord) *fact {
	facts := t.keys[table][key]
	i, found := slices.BinarySearchFunc(facts, place, func(f *fact, c coord) int { return f.at.compare(c) })
	switch {
	case found:
		return facts[i]
	case i == 0:
		return &fact{}
	}
	return facts[i-1]
}

// readTruth reads the binlog between two places.
func readTruth(t *testing.T, db *testservers.MySQLServer, schema string, tables []*randomTable, from, to mysql.Position) *truth {
	t.Helper()
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 990001, Flavor: flavorOf(db), Host: dbserver.Host, Port: db.Port16(), User: dbserver.User,
		TimestampStringLocation: time.UTC, Logger: quiet, DisableRetrySync: true,
	})
	defer syncer.Close()
	events, err := syncer.StartSync(from)
	must(t, err)
	b := &truthReader{t: t, truth: &truth{keys: map[string]map[string][]*fact{}}, tables: map[string]*randomTable{}, schema: schema, file: from.Name, pos: from.Pos}
	for _, table := range tables {
		b.tables[table.name] = table
		b.truth.keys[table.name] = map[string][]*fact{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for (mysql.Position{Name: b.file, Pos: b.pos}).Compare(to) < 0 {
		e, err := events.GetEvent(ctx)
		must(t, err)
		b.event(e)
	}
	return b.truth
}

// flavorOf is the replication library's word for a server.
func flavorOf(db *testservers.MySQLServer) string {
	if db.Program.Flavor == dbserver.MariaDB {
		return mysql.MariaDBFlavor
	}
	return mysql.MySQLFlavor
}

type truthReader struct {
	t      *testing.T
	truth  *truth
	tables map[string]*randomTable
	schema string
	file   string
	pos    uint32
	gtid   string
}

func (b *truthReader) event(e *replication.BinlogEvent) {
	if rotate, ok := e.Event.(*replication.RotateEvent); ok {
		b.file, b.pos = string(rotate.NextLogName), uint32(rotate.Position)
		return
	}
	if e.Header.LogPos > 0 {
		b.pos = e.Header.LogPos
	}
	switch g := e.Event.(type) {
	case *replication.GTIDEvent:
		set, err := g.GTIDNext()
		must(b.t, err)
		b.gtid = set.String()
	case *replication.MariadbGTIDEvent:
		b.gtid = g.GTID.String()
	}
	rows, ok := e.Event.(*replication.RowsEvent)
	if !ok || string(rows.Table.Schema) != b.schema {
		return
	}
	table := b.tables[string(rows.Table.Table)]
	at := coord{file: fileNumber(b.t, b.file), start: uint64(e.Header.LogPos - e.Header.EventSize)}
	switch e.Header.EventType {
	case replication.WRITE_ROWS_EVENTv1, replication.WRITE_ROWS_EVENTv2:
		for i, row := range rows.Rows {
			at.row = uint32(i)
			b.add(table, at, "insert", row)
		}
	case replication.DELETE_ROWS_EVENTv1, replication.DELETE_ROWS_EVENTv2:
		for i, row := range rows.Rows {
			at.row = uint32(i)
			b.add(table, at, "delete", row)
		}
	case replication.UPDATE_ROWS_EVENTv1, replication.UPDATE_ROWS_EVENTv2:
		for i := 0; i+1 < len(rows.Rows); i += 2 {
			at.row, at.half = uint32(i/2), 0
			before, after := rows.Rows[i], rows.Rows[i+1]
			if table.keyless() {
				b.add(table, at, "update", after).before = table.fromImage(before)
				continue
			}
			if table.keyOf(table.fromImage(before)) == table.keyOf(table.fromImage(after)) {
				b.add(table, at, "update", after)
				continue
			}
			b.add(table, at, "delete", before)
			at.half = 1
			b.add(table, at, "insert", after)
		}
	default:
		b.t.Fatalf("the binlog has an event of type %s", e.Header.EventType)
	}
}

func (b *truthReader) add(table *randomTable, at coord, op string, row []any) *fact {
	f := &fact{at: at, gtid: b.gtid, op: op, table: table.name, values: table.fromImage(row), deleted: op == "delete"}
	f.key = table.keyOf(f.values)
	b.truth.facts = append(b.truth.facts, f)
	b.truth.keys[f.table][f.key] = append(b.truth.keys[f.table][f.key], f)
	return f
}

func (t *randomTable) fromImage(row []any) []string {
	out := make([]string, len(row))
	for i, v := range row {
		out[i] = t.columns[i].fromImage(v)
	}
	return out
}

// keyOf joins the values of the key's columns.
func (t *randomTable) keyOf(values []string) string {
	var parts []string
	for _, k := range t.key {
		parts = append(parts, values[k])
	}
	return strings.Join(parts, "\x00")
}

func fileNumber(t *testing.T, file string) uint64 {
	t.Helper()
	_, digits, _ := strings.Cut(file, ".")
	n, err := strconv.ParseUint(digits, 10, 64)
	must(t, err)
	return n
}

// binlogEnd is where the server's binlog ends now.
func binlogEnd(t *testing.T, db *testservers.MySQLServer) mysql.Position {
	t.Helper()
	show := "SHOW BINARY LOG STATUS"
	if db.Program.Flavor == dbserver.MariaDB {
		show = "SHOW MASTER STATUS"
	}
	row := db.MustQuery(t, show)[0]
	pos, err := strconv.ParseUint(row[1], 10, 32)
	must(t, err)
	return mysql.Position{Name: row[0], Pos: uint32(pos)}
}

// selected reads a table with a SELECT: rows by key, and how often each row is there.
func selected(t *testing.T, db *testservers.MySQLServer, schema string, table *randomTable) (map[string][]string, map[string]int) {
	t.Helper()
	conn := db.Conn(t, schema)
	for _, sql := range []string{"SET NAMES utf8mb4", "SET time_zone = '+00:00'"} {
		_, err := conn.Execute(sql)
		must(t, err)
	}
	var list []string
	for _, c := range table.columns {
		expr := c.expr
		if expr == "" {
			expr = "%s"
		}
		list = append(list, fmt.Sprintf("CAST("+expr+" AS CHAR)", c.name))
	}
	res, err := conn.Execute("SELECT " + strings.Join(list, ", ") + " FROM " + table.name)
	must(t, err)
	defer res.Close()
	out, n := map[string][]string{}, map[string]int{}
	for i := range res.RowNumber() {
		values := make([]string, len(table.columns))
		for j, c := range table.columns {
			s, err := res.GetString(i, j)
			must(t, err)
			if isNull, _ := res.IsNull(i, j); isNull {
				values[j] = null
			} else {
				values[j] = c.fromText(s)
			}
		}
		out[table.keyOf(values)] = values
		n[bagKey(values)]++
	}
	return out, n
}
