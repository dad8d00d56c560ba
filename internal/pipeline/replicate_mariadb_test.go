package pipeline

import (
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestReplicateVersionedTables loads and follows a table of MariaDB that keeps its former rows: they are loaded, too, and each
// change of a row brings the one that it was.
func TestReplicateVersionedTables(t *testing.T) {
	db := testservers.MariaDBNew(t)
	b := newBench(t, db)
	table := "`" + b.name + "`.ticket"
	const one, two = "6ccd780c-baba-1026-9564-5b8c656024db", "6ccd780c-baba-7026-9564-5b8c656024db"
	db.MustExec(t, "CREATE TABLE "+table+" (id UUID PRIMARY KEY, v VARCHAR(20) COMPRESSED) WITH SYSTEM VERSIONING",
		"INSERT INTO "+table+" VALUES ('"+one+"','a'),('"+two+"','b')", "UPDATE "+table+" SET v = 'A' WHERE v = 'a'")
	stop := b.background(NewReplicate(b.config(FullLoadAndCDC)).Run)
	b.awaitStream(3)
	db.MustExec(t, "UPDATE "+table+" SET v = 'B' WHERE id = '"+two+"'", "DELETE FROM "+table+" WHERE id = '"+one+"'")
	got := b.awaitStream(3 + 2 + 2)
	must(t, stop())
	for _, want := range []summary{
		{"load", "ticket", one, "a"}, {"load", "ticket", one, "A"}, {"load", "ticket", two, "b"},
		{"update", "ticket", two, "B"}, {"insert", "ticket", two, "b"}, // what it was
		{"delete", "ticket", one, "A"}, {"insert", "ticket", one, "A"}, // the same row, which has ended
	} {
		if n := count(got, want); n != 1 {
			t.Errorf("%d× %v in %v", n, want, got)
		}
	}
}
