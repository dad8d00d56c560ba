package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// A run with a stop position delivers and saves everything that was committed until then, nothing else, and ends.
func TestStopLeavesOutWhatWasCommittedLater(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		b := newBench(t, db)
		table := "`" + b.name + "`.ticket"
		l := newTail(t, db, b.name)
		db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v VARCHAR(20))")
		start := l.end()
		db.MustExec(t, "INSERT INTO "+table+" VALUES (1,'a'),(2,'b')", "UPDATE "+table+" SET v = 'B' WHERE id = 2", "FLUSH BINARY LOGS")
		due := l.end()
		stop := l.clock()
		for l.clock().Unix() <= stop.Unix() { // MariaDB logs whole seconds
			time.Sleep(20 * time.Millisecond)
		}
		db.MustExec(t, "CREATE TABLE "+table+"2 (id INT)", "INSERT INTO "+table+" VALUES (3,'c')", "FLUSH BINARY LOGS")

		cfg := b.config(CDC)
		cfg.Start, cfg.Stop = fmt.Sprintf("%s:%d", start.File, start.Offset), stop
		cfg.Registerer = nil
		for range 2 { // once there, it has nothing to do any more
			b.complete(cfg)
			data := b.awaitStream(3)
			if slices.ContainsFunc(data, func(s summary) bool { return s.ID == "3" }) {
				t.Errorf("%v", data)
			}
			var doc replicateDoc
			raw, _, err := b.store.Load(t.Context(), replicateDocument)
			must(t, err)
			must(t, json.Unmarshal(raw, &doc))
			if doc.Position.Compare(start) <= 0 || doc.Position.Compare(due) > 0 || doc.Position.GTIDSet != due.GTIDSet || doc.Done != 0 {
				t.Errorf("saved %+v, want %v", doc, due)
			}
		}
		cfg.Stop, cfg.Once = time.Time{}, true
		b.complete(cfg)
		b.awaitStream(4)
	})
}

// A load is completed although the stop position has passed, with the changes that belong to it.
func TestStopWaitsForTheLoad(t *testing.T) {
	db := testservers.SharedMySQL(t)
	b := newBench(t, db)
	table := "`" + b.name + "`.ticket"
	db.MustExec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY, v LONGTEXT)")
	const rows = 40 // of 100 kB: several chunks
	for i := range rows {
		db.MustExec(t, fmt.Sprintf("INSERT INTO %s VALUES (%d, REPEAT('x', 100000))", table, i))
	}
	cfg := b.config(FullLoadAndCDC)
	cfg.Stop, cfg.Registerer = newTail(t, db, b.name).clock().Add(-time.Minute), nil
	b.complete(cfg)
	for _, s := range b.awaitStream(rows) {
		if s.Operation != "load" {
			t.Errorf("%s of %s", s.Operation, s.ID)
		}
	}
	db.MustExec(t, "DELETE FROM "+table)
	b.complete(cfg)
	b.awaitStream(rows)
}
