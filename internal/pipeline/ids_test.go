package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// logged is an event as SHOW BINLOG EVENTS prints it.
type logged struct {
	start, end uint64
	kind, info string
}

// coordinates are those metadata of a change that say where it stands.
type coordinates struct {
	Operation, Table             string
	TxID, RecordID, Prev, PrevID uint64
	Position                     string
}

// idSQL are transactions over several tables, events and rows, with changes in between that are not selected.
func idSQL(other string) []string {
	return []string{
		"INSERT INTO seat VALUES (1, 'a')",
		"BEGIN", "INSERT INTO " + other + ".t VALUES (1)", "INSERT INTO ticket VALUES (1, 'a'), (2, 'b'), (3, 'c')",
		"UPDATE ticket, seat SET ticket.v = 'x', seat.v = 'y'", "INSERT INTO " + other + ".t VALUES (2)", "DELETE FROM seat",
		"UPDATE ticket SET id = id + 100 WHERE id = 1", "COMMIT",
		"INSERT INTO " + other + ".t VALUES (3)",
		"BEGIN", "DELETE FROM " + other + ".t", "INSERT INTO ticket VALUES (9, 'z')", "COMMIT",
	}
}

// idRows are the rows events of idSQL: of which table, how many rows, and which records each row makes.
var idRows = map[string][]struct {
	rows    int
	records []string
}{
	"ticket write":  {{3, []string{"insert"}}, {1, []string{"insert"}}},
	"ticket update": {{3, []string{"update"}}, {1, []string{"delete", "insert"}}},
	"seat write":    {{1, []string{"insert"}}},
	"seat update":   {{1, []string{"update"}}},
	"seat delete":   {{1, []string{"delete"}}},
}

// expected works out from the server's own account of its log what the records have to say.
func expected(t *testing.T, file, schemaName string, events []logged) (out []coordinates) {
	t.Helper()
	number, err := source.FileNumber(file)
	must(t, err)
	seen := map[string]int{}
	maps := map[string]logged{} // by table id
	var tx, record, prev, prevID uint64
	for _, e := range events {
		kind := strings.ToLower(e.kind)
		switch {
		case strings.HasPrefix(e.info, "BEGIN") && (kind == "query" || kind == "gtid"):
			if record > 0 {
				prev, prevID = tx, record
			}
			tx, record = number<<32+e.start, 0
		case kind == "table_map":
			maps[strings.Fields(e.info)[1]] = e
		case strings.Contains(kind, "_rows") && kind != "annotate_rows" && kind != "rows_query":
			m := maps[strings.Fields(e.info)[1]]
			table, selected := strings.CutPrefix(strings.Trim(strings.Fields(m.info)[2], "()"), schemaName+".")
			if !selected {
				continue
			}
			key := table + " " + kind[:strings.Index(kind, "_")]
			event := idRows[key][seen[key]]
			seen[key]++
			for row := range event.rows {
				for _, op := range event.records {
					record++
					out = append(out, coordinates{op, table, tx, record, prev, prevID,
						fmt.Sprintf("%s:%d:%d:%d:%d:%s:%d", file, e.start, row, e.end, tx, file, m.start)})
				}
			}
		}
	}
	for key, n := range seen {
		if n != len(idRows[key]) {
			t.Fatalf("%d events of %q in\n%v", n, key, events)
		}
	}
	return out
}

// changes are the coordinates of all changes in the stream, in order.
func (b *bench) changes() (out []coordinates) {
	_, headers := b.stream()
	for _, h := range headers {
		if h.TxID > 0 {
			out = append(out, coordinates{h.Operation, h.Table, h.TxID, h.RecordID, h.PrevTxID, h.PrevTxRecordID, h.StreamPosition})
		}
	}
	slices.SortFunc(out, func(a, b coordinates) int {
		return cmp.Or(cmp.Compare(a.TxID, b.TxID), cmp.Compare(a.RecordID, b.RecordID))
	})
	return out
}

// replicated runs idSQL, replicates it, and returns where it began and the server's account of it.
func (b *bench) replicated(before ...string) (file string, events []logged) {
	other := b.db.Database(b.t)
	b.db.MustExec(b.t, "CREATE TABLE "+other+".t (id INT PRIMARY KEY)", "USE "+b.name,
		"CREATE TABLE ticket (id INT PRIMARY KEY, v VARCHAR(20))", "CREATE TABLE seat (id INT PRIMARY KEY, v VARCHAR(20))", "FLUSH BINARY LOGS")
	files := b.db.MustQuery(b.t, "SHOW BINARY LOGS")
	at := files[len(files)-1]
	b.db.MustExec(b.t, slices.Concat([]string{"USE " + b.name}, before, idSQL(other))...)
	cfg := b.config(CDC)
	cfg.Start = at[0] + ":" + at[1]
	stop := b.background(NewReplicate(cfg).Run)
	b.awaitStream(12)
	must(b.t, stop())
	for _, r := range b.db.MustQuery(b.t, "SHOW BINLOG EVENTS IN '"+at[0]+"' FROM "+at[1]) {
		start, err := strconv.ParseUint(r[1], 10, 64)
		must(b.t, err)
		end, err := strconv.ParseUint(r[4], 10, 64)
		must(b.t, err)
		events = append(events, logged{start, end, r[2], r[5]})
	}
	return at[0], events
}

// Ids and positions of records are the documented ones, as the server itself tells them.
func TestIDsAndPositions(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		file, events := b.replicated()
		want := expected(t, file, b.name, events)
		if got := b.changes(); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", text(got), text(want))
		}
	})
}

// In a compressed transaction all offsets are those of the event that holds it, and the rows are told apart by a number
// that grows.
func TestIDsAndPositionsCompressed(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t))
	file, events := b.replicated("SET SESSION binlog_transaction_compression = ON")
	number, err := source.FileNumber(file)
	must(t, err)
	var payloads []logged
	for _, e := range events {
		if e.kind == "Transaction_payload" {
			payloads = append(payloads, e)
		}
	}
	got := b.changes()
	if len(payloads) != 4 || len(got) != 12 {
		t.Fatalf("%d changes in %d transactions of\n%v", len(got), len(payloads), events)
	}
	payloads = slices.Delete(payloads, 2, 3) // it changed nothing that is selected
	sizes := []int{1, 10, 1}
	var prev, prevID uint64
	for i, p := range payloads {
		tx := number<<32 + p.start
		last := int64(-1)
		for n, c := range got[:sizes[i]] {
			place, id, err := record.ParseStreamPosition(c.Position)
			must(t, err)
			want := record.Place{File: file, TableMapStart: p.start, EventStart: p.start, EventEnd: p.end, Row: place.Row}
			pair := c.Operation == "insert" && n > 0 && got[n-1].Operation == "delete" && got[n-1].Position == c.Position
			if place != want || id != tx || c.TxID != tx || c.RecordID != uint64(n+1) || c.Prev != prev || c.PrevID != prevID ||
				int64(place.Row) <= last && !pair {
				t.Errorf("change %d of transaction %d is at %+v, event at %+v", n+1, i, c, p)
			}
			last = int64(place.Row)
		}
		got, prev, prevID = got[sizes[i]:], tx, uint64(sizes[i])
	}
}

func text(all []coordinates) string {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "%+v\n", c)
	}
	return b.String()
}
