package binlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// wide maps an id to a table of two INT columns, which the definition that offline streams load does not fit.
func (s *script) wide(id byte, name string) *script {
	body := append([]byte{id, 0, 0, 0, 0, 0, 1, 0, 2}, "db\x00"...)
	body = append(append(append(body, byte(len(name))), name...), 0)
	return s.add(replication.TABLE_MAP_EVENT, 0, append(body, 2, 3, 3, 0, 0)...)
}

// broken is an insert of a whole row and half another one.
func (s *script) broken(id byte, value byte) *script {
	return s.add(replication.WRITE_ROWS_EVENTv2, 0, id, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0xff, 0, value, 0, 0, 0, 0, 99)
}

// xaPrepare ends an XA transaction.
func (s *script) xaPrepare(onePhase bool) *script {
	body := make([]byte, 14)
	if onePhase {
		body[0] = 1
	}
	return s.add(replication.XA_PREPARE_LOG_EVENT, 0, body...)
}

// A table that cannot be read is passed over from the event on at which that shows, and nothing else is.
func TestTableFailed(t *testing.T) {
	for name, c := range map[string]struct {
		sc     *script
		want   []string
		passed int
	}{
		"before anything": {
			new(script).gtid(1).query("BEGIN").wide(1, "tx").insert(1, 9).xid().gtid(2).query("BEGIN").wide(1, "tx").insert(1, 8).table(2, "t").insert(2, 1).xid(),
			[]string{"failed tx", "commit", "schema 6 t (id)", "begin", "t insert 1", "commit"}, 2,
		},
		"within an event": {
			new(script).gtid(1).query("BEGIN").table(1, "t").table(2, "tx").insert(1, 1).insert(2, 1).broken(2, 2).insert(1, 2).insert(2, 3).insert(1, 3).xid(),
			[]string{"schema 6 t (id)", "begin", "t insert 1", "schema 6 tx (id)", "tx insert 1", "tx insert 2", "failed tx", "t insert 2", "t insert 3", "commit"}, 2,
		},
		"statement": {
			new(script).gtid(1).query("BEGIN").table(1, "t").insert(1, 1).query("UPDATE tx, ty, u SET tx.a = 1").table(2, "tx").insert(2, 1).insert(1, 2).xid(),
			[]string{"schema 6 t (id)", "begin", "t insert 1", "failed tx", "failed ty", "t insert 2", "commit"}, 3,
		},
		"partial JSON": {
			new(script).gtid(1).query("BEGIN").table(2, "tx").add(replication.PARTIAL_UPDATE_ROWS_EVENT, 0, 2, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0xff, 0xff, 0, 1).table(1, "t").insert(1, 2).xid(),
			[]string{"failed tx", "schema 6 t (id)", "begin", "t insert 2", "commit"}, 1,
		},
		"damaged table map": {
			new(script).gtid(1).query("BEGIN").add(replication.TABLE_MAP_EVENT, 0, append([]byte{2, 0, 0, 0, 0, 0, 1, 0, 2}, "db\x00\x02tx\x00\x05\x01"...)...).
				insert(2, 1).table(1, "t").insert(1, 2).xid(),
			[]string{"failed tx", "schema 6 t (id)", "begin", "t insert 2", "commit"}, 1,
		},
		"prepared XA": {
			new(script).gtid(1).query("XA START 'x'").table(1, "tx").table(2, "ty").insert(1, 1).insert(2, 2).insert(1, 3).xaPrepare(false).
				gtid(2).query("XA COMMIT 'x'").gtid(3).query("BEGIN").table(1, "tx").table(3, "t").insert(1, 4).insert(3, 5).xid(),
			[]string{"schema 6 tx (id)", "schema 6 ty (id)", "failed tx", "failed ty", "commit", "commit", "schema 6 t (id)", "begin", "t insert 5", "commit"}, 4,
		},
		"within XA": {
			new(script).gtid(1).query("XA START 'x'").table(1, "t").wide(2, "tx").insert(1, 1).insert(2, 2).insert(1, 3).xaPrepare(true),
			[]string{"schema 6 t (id)", "failed tx", "begin", "t insert 1", "t insert 3", "commit"}, 1,
		},
		"tried again": {
			new(script).gtid(1).query("BEGIN").wide(1, "tx").insert(1, 1).xid().gtid(2).query("BEGIN").table(1, "tx").insert(1, 2).broken(1, 3).insert(1, 4).xid().
				gtid(3).query("ALTER TABLE tx COMMENT 'x'").gtid(4).query("BEGIN").table(1, "tx").insert(1, 5).xid(),
			[]string{"failed tx", "commit", "schema 6 tx (id)", "begin", "tx insert 2", "tx insert 3", "failed tx", "commit", "schema 2 tx", "commit", "begin", "tx insert 5", "commit"}, 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			head := len(new(script).start("b.000001", 100).events)
			sc := new(script).start("b.000001", 100)
			for _, e := range c.sc.events { // again, behind the head
				sc.add(replication.EventType(e[4]), 0, e[eventHeader:len(e)-4]...)
			}
			total := len(sc.events)
			// Connections that break at any two places change nothing.
			for cut := head; cut <= total; cut++ {
				for again := head; again <= total; again++ {
					rec := newRecorder(t)
					rec.goOn = true
					s := offline(t, rec, source.Position{File: "b.000001", Offset: 100})
					from := 0 // events before the last boundary are not sent again
					for _, n := range []int{cut, again, total} {
						next := newStream(s.r, s.progress, s.tables, nil)
						events := sc.events[:head]
						if from > head {
							next.cursor.end = s.progress.boundary.Offset
							events = rotated(s.progress.boundary.Offset)
						}
						events = append(slices.Clone(events), sc.events[max(from, head):max(from, head, n)]...)
						if err := play(next, events); err != nil {
							t.Fatalf("cut at %d and %d: %v", cut, again, err)
						}
						s.progress.part = next.part()
						from = behind(sc, s.progress.boundary.Offset)
					}
					if !slices.Equal(rec.lines, c.want) {
						t.Fatalf("cut at %d and %d: got\n%s\nwant\n%s", cut, again, strings.Join(rec.lines, "\n"), strings.Join(c.want, "\n"))
					}
					if got := counted(t, s.r.metrics.passed); got != c.passed {
						t.Fatalf("cut at %d and %d: %d events were passed over, want %d", cut, again, got, c.passed)
					}
				}
			}
		})
	}
}

// counted is a counter's value.
func counted(t *testing.T, c prometheus.Counter) int {
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	return int(families[0].Metric[0].Counter.GetValue())
}

// rotated is how a dump begins at an offset.
func rotated(offset uint64) [][]byte { return new(script).start("b.000001", offset).events }

// behind is the number of events of a script that end at or before an offset.
func behind(sc *script, offset uint64) int {
	n := 0
	for i, e := range sc.events {
		h, err := parseHeader(e)
		if err == nil && h.logPos > 0 && uint64(h.logPos) <= offset {
			n = i + 1
		}
	}
	return n
}

// An error that the Handler returns ends the run, and is what Run returns; what it says helps whoever reads it.
func TestTableFailedEndsRun(t *testing.T) {
	sc := new(script).start("b.000001", 4).gtid(1).query("BEGIN").wide(1, "tx").insert(1, 1)
	err := play(offline(t, newRecorder(t), source.Position{File: "b.000001", Offset: 4}), sc.events)
	te, ok := errors.AsType[*TableError](err)
	if !ok || !errors.Is(err, ErrDefinition) {
		t.Fatalf("got %v", err)
	}
	if fmt.Sprint(te.Expected, te.Found) != "[id int] [int int]" {
		t.Errorf("expected %q, found %q", te.Expected, te.Found)
	}
	for _, part := range []string{"table db.tx at b.000001:", "expected columns: id int; found: int, int", "binlogstreamer reload-table db.tx", "binlog_row_metadata=FULL"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

// Retry takes effect between two transactions, also if it is called within one.
func TestRetry(t *testing.T) {
	rec := newRecorder(t)
	rec.goOn = true
	s := offline(t, rec, source.Position{File: "b.000001", Offset: 4})
	sc := new(script).start("b.000001", 4).gtid(1).query("BEGIN").table(1, "t").broken(1, 1)
	if err := play(s, sc.events); err != nil {
		t.Fatal(err)
	}
	s.r.Retry("db", "t")
	sc.events = nil
	if err := play(s, sc.insert(1, 2).xid().gtid(2).query("BEGIN").table(1, "t").insert(1, 3).xid().events); err != nil {
		t.Fatal(err)
	}
	want := []string{"schema 6 t (id)", "begin", "t insert 1", "failed t", "commit", "begin", "t insert 3", "commit"}
	if !slices.Equal(rec.lines, want) {
		t.Errorf("got\n%s", strings.Join(rec.lines, "\n"))
	}
}
