package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint/checkpointtest"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// boundaryLog is a log with everything that can stand at a boundary, but for what one server alone has.
func boundaryLog(mysql bool) []string {
	large := make([]string, 40)
	for i := range large {
		large[i] = fmt.Sprintf("(%d, REPEAT('y', 900))", 1000+i) // several rows events
	}
	list := []string{
		"INSERT INTO ticket VALUES (1, 'a'), (2, 'b')",
		"FLUSH BINARY LOGS",
		"BEGIN", "INSERT INTO ticket VALUES (3, 'c')", "SAVEPOINT s", "INSERT INTO ticket VALUES (4, 'lost')", "ROLLBACK TO s",
		"UPDATE ticket SET id = 30 WHERE id = 3", "COMMIT",
		"XA START 'one'", "INSERT INTO ticket VALUES (5, 'e')", "UPDATE ticket SET v = 'E' WHERE id = 5", "XA END 'one'", "XA COMMIT 'one' ONE PHASE",
		"CREATE TABLE other.free (id INT)", "INSERT INTO other.free VALUES (1)", "BEGIN", "INSERT INTO other.free VALUES (2)", "INSERT INTO ticket VALUES (6, 'f')", "COMMIT",
		"BEGIN", "UPDATE ticket SET v = v", "COMMIT",
		"INSERT INTO ticket VALUES " + strings.Join(large, ", "),
		"ALTER TABLE ticket ADD COLUMN w INT FIRST",
		"FLUSH BINARY LOGS", "FLUSH BINARY LOGS",
		"INSERT INTO ticket (id, v, w) VALUES (7, 'g', 7)",
		"CREATE TABLE second (id INT PRIMARY KEY, v VARCHAR(10)) ENGINE=MyISAM", "INSERT INTO second VALUES (1, 'a'), (2, 'b')", "DROP TABLE second",
	}
	if mysql {
		list = append(list, "SET SESSION binlog_transaction_compression = ON",
			"BEGIN", "INSERT INTO ticket (id, v) VALUES (8, 'h'), (9, 'i')", "UPDATE ticket SET id = 80 WHERE id = 8", "DELETE FROM ticket WHERE id = 9", "COMMIT",
			"SET SESSION binlog_transaction_compression = OFF",
			"SET gtid_next = '3e11fa47-71ca-11e1-9e33-c80aa9429562:1'", "BEGIN", "COMMIT",
			"SET gtid_next = '3e11fa47-71ca-11e1-9e33-c80aa9429562:tag:7'", "INSERT INTO ticket (id, v) VALUES (10, 'j')", "SET gtid_next = 'AUTOMATIC'",
		)
	} else {
		list = append(list, "SET GLOBAL log_bin_compress = ON", "SET GLOBAL log_bin_compress_min_len = 10",
			"BEGIN", "INSERT INTO ticket (id, v) VALUES (8, REPEAT('h', 300)), (9, 'i')", "UPDATE ticket SET id = 80 WHERE id = 8", "DELETE FROM ticket WHERE id = 9", "COMMIT",
			"SET GLOBAL log_bin_compress = DEFAULT", "SET GLOBAL log_bin_compress_min_len = DEFAULT",
			"SET gtid_domain_id = 3", "INSERT INTO ticket (id, v) VALUES (10, 'j')", "SET gtid_domain_id = DEFAULT",
		)
	}
	return append(list, "DELETE FROM ticket WHERE id < 1000")
}

// savedAt is a document that a process saved, and how many changes it had emitted then.
type savedAt struct {
	doc     []byte
	emitted int
}

// saving is the emitter with a save behind every boundary.
type saving struct {
	*emitter
	save func()
}

func (h saving) Commit(ctx context.Context, b binlog.Boundary) error {
	err := h.emitter.Commit(ctx, b)
	h.save()
	return err
}

// Whatever a process has saved at any boundary, or behind any change of any transaction, the next one sends exactly the
// rest: the same records with the same coordinates, ids and links.
func TestRestartAtEveryBoundaryAndChange(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		name, other := db.Database(t), db.Database(t)
		db.MustExec(t, "SET GLOBAL binlog_row_metadata = FULL")
		defer db.MustExec(t, "SET GLOBAL binlog_row_metadata = DEFAULT")
		db.MustExec(t, "USE "+name, "CREATE TABLE ticket (id INT PRIMARY KEY, v VARCHAR(1000))")
		l := newTail(t, db, name)
		start := l.end()
		var statements []string
		for _, s := range boundaryLog(strings.HasSuffix(t.Name(), "mysql")) {
			statements = append(statements, strings.ReplaceAll(s, "other.", other+"."))
		}
		db.MustExec(t, append([]string{"USE " + name}, statements...)...)
		end := l.end()

		var saved []savedAt
		save := func(s *session) {
			must(t, s.saver.write(t.Context()))
			raw, _, err := l.store.Load(t.Context(), replicateDocument)
			must(t, err)
			if n := len(saved); n == 0 || !bytes.Equal(withoutTimes(saved[n-1].doc), withoutTimes(raw)) {
				saved = append(saved, savedAt{raw, len(l.got)})
			}
		}
		l.after = save
		l.wrap = func(s *session) binlog.Handler { return saving{s.emitter, func() { save(s) }} }
		cfg := l.config()
		cfg.Start = fmt.Sprintf("%s:%d", start.File, start.Offset)
		must(t, l.read(cfg, end))
		all := slices.Clone(l.got)
		inside := 0
		for i, from := range saved {
			l := newTail(t, db, name)
			store := checkpointtest.NewMemory()
			_, err := store.Save(t.Context(), replicateDocument, from.doc, checkpoint.None)
			must(t, err)
			l.store = store
			must(t, l.read(l.config(), end))
			if got, want := texts(l.got), texts(all[from.emitted:]); !slices.Equal(got, want) {
				t.Fatalf("from document %d, %s: got\n%s\nwant\n%s", i, from.doc, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			var d replicateDoc
			must(t, json.Unmarshal(from.doc, &d))
			if d.Done > 0 {
				inside++
			}
			if i%2 == 1 {
				continue
			}
			// The same after a failover: the transactions are the same, and no coordinate means anything.
			l = newTail(t, db, name)
			store = checkpointtest.NewMemory()
			_, err = store.Save(t.Context(), replicateDocument, onOtherServer(t, from.doc), checkpoint.None)
			must(t, err)
			l.store = store
			must(t, l.read(l.config(), end))
			l.same(fmt.Sprintf("by GTID from document %d, %s", i, from.doc), l.got, all[from.emitted:])
			if d := l.s.state.doc; d.Epoch != d.Term {
				t.Errorf("document %d: the epoch stayed at %d", i, d.Epoch)
			}
		}
		t.Logf("%d changes, restarted from %d documents, %d of them inside a transaction", len(all), len(saved), inside)
		if len(saved) < len(all)+18 || inside != len(all) {
			t.Error("that is not every one")
		}
	})
}

// onOtherServer is a document that was saved on another server.
func onOtherServer(t *testing.T, raw []byte) []byte {
	var d replicateDoc
	must(t, json.Unmarshal(raw, &d))
	d.Position.ServerUUID, d.Position.File, d.Position.Offset = "another", "log.000099", 123456
	if d.Through != nil {
		d.Through.File, d.Through.EventStart, d.Through.Row = "log.000099", 123460, 7
	}
	raw, err := json.Marshal(&d)
	must(t, err)
	return raw
}

// withoutTimes is a document without when it was saved.
func withoutTimes(doc []byte) []byte {
	head, _, _ := bytes.Cut(doc, []byte(`"saved"`))
	return head
}
