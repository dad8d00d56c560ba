package pipeline

import (
	"bytes"
	"encoding/json"
	"flag"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint/checkpointtest"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

var update = flag.Bool("update", false, "write golden files anew")

func fullDoc() replicateDoc {
	return replicateDoc{
		Version: replicateVersion, Task: "tickets", Term: 1795444223, Epoch: 1795444206,
		Position: source.Position{
			File: "binlog.000042", Offset: 7301, GTIDSet: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
			ServerUUID: "3e11fa47-71ca-11e1-9e33-c80aa9429562", FileBegan: 1795444100,
		},
		Done: 3, Through: &throughDoc{
			File: "binlog.000042", EventStart: 7433, Row: 2, Half: 1, GTID: "3e11fa47-71ca-11e1-9e33-c80aa9429562:6",
		},
		PrevTx: 180388633600, PrevRec: 4,
		Tables: []tableDoc{
			{
				Schema: "shop", Table: "seat_price", State: StateFullLoad, Rows: 25000,
				After: []string{"_utf8mb4 x'76656e7565'", "17"}, AfterKey: []string{"venue COLLATE utf8mb4_0900_ai_ci", "seat DESC"},
			},
			{
				Schema: "shop", Table: "order", State: StateFullLoad, Rows: 812000, AfterKey: []string{"id"},
				Ranges: []rangeDoc{{To: []string{"91000"}}, {After: []string{"270344"}, To: []string{"300000"}}, {After: []string{"570000"}}},
			},
			{Schema: "shop", Table: "ticket", State: StateCompleted, Rows: 1000000},
			{
				Schema: "shop", Table: "venue", State: StateError, Rows: 12, Error: "a value cannot be read; reload-table shop.venue",
				ErrorIn: "3e11fa47-71ca-11e1-9e33-c80aa9429562:6",
			},
		},
		Started: true, Saved: time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC),
	}
}

func TestReplicateDocumentIsAsSpecified(t *testing.T) {
	const golden = "testdata/replicate.golden.json"
	doc := fullDoc()
	got, err := json.MarshalIndent(&doc, "", "  ")
	must(t, err)
	got = append(got, '\n')
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("the document is\n%s\nspecified is\n%s", got, want)
	}
	var back replicateDoc
	must(t, json.Unmarshal(want, &back))
	if !reflect.DeepEqual(back, doc) {
		t.Errorf("read back as %+v", back)
	}
}

func TestOpenStateTakesAHigherTerm(t *testing.T) {
	store := checkpointtest.NewMemory()
	now := time.Unix(1000, 0)
	first, err := openState(t.Context(), store, "tickets", now)
	must(t, err)
	if !first.fresh || first.doc.Term != 1000 {
		t.Errorf("first start: fresh %v, term %d", first.fresh, first.doc.Term)
	}
	second, err := openState(t.Context(), store, "tickets", now.Add(-time.Hour)) // its clock is behind
	must(t, err)
	if second.fresh || second.doc.Term != 1001 {
		t.Errorf("second start: fresh %v, term %d", second.fresh, second.doc.Term)
	}
	if err := first.save(t.Context()); err == nil {
		t.Error("the first process could save after the second took over")
	}
}

func TestOpenStateRefusesWhatItDoesNotKnow(t *testing.T) {
	for what, doc := range map[string]string{
		"another task":      `{"version":1,"task":"other"}`,
		"a newer version":   `{"version":2,"task":"tickets"}`,
		"no document at al": `[]`,
	} {
		store := checkpointtest.NewMemory()
		_, err := store.Save(t.Context(), replicateDocument, []byte(doc), checkpoint.None)
		must(t, err)
		if _, err := openState(t.Context(), store, "tickets", time.Now()); err == nil {
			t.Errorf("%s was accepted", what)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error has several lines: %v", what, err)
		}
	}
}

func TestSkipRule(t *testing.T) {
	doc := fullDoc()
	at := func(file string, start uint64, row uint32, half uint8) changeAt {
		return changeAt{Place: record.Place{File: file, EventStart: start, Row: row}, Half: half}
	}
	same, err := doc.skip(true)
	must(t, err)
	for _, c := range []struct {
		at   changeAt
		done bool
	}{
		{at("binlog.000042", 7400, 9, 0), true}, {at("binlog.000042", 7433, 2, 0), true}, {at("binlog.000042", 7433, 2, 1), true},
		{at("binlog.000042", 7433, 3, 0), false}, {at("binlog.000043", 4, 0, 0), false},
	} {
		if got := same.done(c.at); got != c.done {
			t.Errorf("%+v: done %v, want %v", c.at, got, c.done)
		}
	}
	same.end("any")
	if same.done(at("binlog.000042", 7400, 0, 0)) {
		t.Error("skips behind the transaction")
	}

	// Another server may have logged other transactions in front of it.
	doc.changeServer(source.Position{GTIDSet: doc.Position.GTIDSet, ServerUUID: "other"})
	if doc.Epoch != doc.Term || doc.Position.File != "" || doc.Through.File != "" {
		t.Errorf("behind a change of server: %+v, %+v", doc, doc.Through)
	}
	for _, sameServer := range []bool{false, true} { // true: the process that was the first to meet it saved, and died
		other, err := doc.skip(sameServer)
		must(t, err)
		for i := range 5 {
			foreign := at("log.000001", 100, uint32(i), 0)
			foreign.GTID = "4e11fa47-71ca-11e1-9e33-c80aa9429562:1"
			if other.done(foreign) {
				t.Error("a change of another transaction is left out")
			}
		}
		other.end("4e11fa47-71ca-11e1-9e33-c80aa9429562:1")
		for i := range 5 {
			own := at("log.000001", 200, uint32(i), 0)
			own.GTID = doc.Through.GTID
			if got := other.done(own); got != (i < 3) {
				t.Errorf("change %d on another server: done %v", i, got)
			}
		}
		if other.end(doc.Through.GTID); other.active {
			t.Error("skips behind the transaction")
		}
	}
}

// What is done of a transaction is not saved as if it were done of another one, which the new server has logged in front.
func TestOvertakenIsSaidOnce(t *testing.T) {
	at := func(gtid string) changeAt { return changeAt{GTID: gtid} }
	other := skipRule{active: true, gtid: "a:6", count: 3}
	if other.overtaken(at("a:6")) || !other.overtaken(at("b:1")) || other.overtaken(at("b:1")) {
		t.Errorf("%+v", other)
	}
	for _, s := range []skipRule{{}, {active: true, count: 3}, {active: true, through: &record.Position{}}} {
		if s.overtaken(at("b:1")) {
			t.Errorf("%+v is overtaken", s)
		}
	}
}

// TestWhatIsDoneCannotBeCountedAcrossASuspension takes over, on another server, in a transaction of which three changes were
// done when one of its tables was suspended: some of the three may be that table's.
func TestWhatIsDoneCannotBeCountedAcrossASuspension(t *testing.T) {
	id := tableID{"shop", "venue"}
	for _, c := range []struct {
		what, suspendedIn string
		sent              int // of four changes of another table behind a row of the suspended one
	}{
		{"suspended in this transaction", "a:6", 4},
		{"suspended before it", "a:5", 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			e := &emitter{
				skip:      skipRule{active: true, gtid: "a:6", count: 3},
				progress:  newProgress([]tableDoc{{Schema: id.Schema, Table: id.Table, State: StateError, ErrorIn: c.suspendedIn}}),
				tracker:   checkpoint.NewTracker[boundary, changeAt](0, boundary{}, foldBoundary(source.MySQL)),
				suspended: map[tableID]bool{id: true}, log: slog.New(slog.DiscardHandler),
				tx: txState{open: true, tx: record.Transaction{GTID: "a:6"}},
			}
			e.tracker.Resume(3, changeAt{GTID: "a:6"})
			must(t, e.Rows(t.Context(), &binlog.Rows{Table: &schema.Table{Schema: id.Schema, Name: id.Table}}))
			sent := 0
			for range 4 {
				if !e.skip.done(changeAt{GTID: "a:6"}) {
					sent++
				}
			}
			if sent != c.sent {
				t.Errorf("%d changes are sent, want %d", sent, c.sent)
			}
			if done := e.tracker.Frontier().Done; (done == 0) != (c.sent == 4) {
				t.Errorf("%d changes count as done", done)
			}
		})
	}
}
