package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"
)

// rec is one record, from the stream or from an object, with what the checks need of it.
type rec struct {
	Shard string
	Raw   string
	Meta  meta
	Data  map[string]any
}

// meta is read with encoding/json and not with our own parser: the verifier trusts nothing of what it verifies.
type meta struct {
	RecordType string      `json:"record-type"`
	Operation  string      `json:"operation"`
	Schema     string      `json:"schema-name"`
	Table      string      `json:"table-name"`
	TxID       json.Number `json:"transaction-id"`
	RecordID   json.Number `json:"transaction-record-id"`
	Position   string      `json:"stream-position"`
	Term       json.Number `json:"writer-term"`
	Epoch      json.Number `json:"source-epoch"`
	Number     json.Number `json:"writer-sequence"`
}

// document is what a record says.
type document struct {
	Data     map[string]any `json:"data"`
	Metadata meta           `json:"metadata"`
}

// decoder decodes records, those of the same bytes once: what is in the stream is met again in the objects.
type decoder struct{ seen map[string]document }

func (c *decoder) parse(t *testing.T, shard string, raw []byte) rec {
	t.Helper()
	if doc, ok := c.seen[string(raw)]; ok {
		return rec{Shard: shard, Raw: string(raw), Meta: doc.Metadata, Data: doc.Data}
	}
	var doc document
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		t.Fatalf("a record of %s is not JSON: %v: %.300q", shard, err, raw)
	}
	if c.seen == nil {
		c.seen = map[string]document{}
	}
	text := string(raw)
	c.seen[text] = doc
	return rec{Shard: shard, Raw: text, Meta: doc.Metadata, Data: doc.Data}
}

// key names the row that a data record is about.
func (r rec) key() string {
	switch r.Meta.Table {
	case "ticket":
		return fmt.Sprint("ticket/", r.Data["id"])
	case "seat_price":
		return fmt.Sprint("seat_price/", r.Data["venue"], "/", r.Data["seat"])
	}
	return r.Meta.Table
}

func (r rec) version() int64 {
	n, _ := r.Data["version"].(json.Number)
	v, _ := n.Int64()
	return v
}

// identity is the same for every time that a record is sent: of a change its place at the source, of others their number.
func (r rec) identity() string {
	if r.Meta.RecordType == "control" || r.Meta.Operation == "load" {
		return fmt.Sprint(r.Meta.Term, "/", r.Meta.Number)
	}
	return fmt.Sprint(r.Meta.Epoch, " ", r.Meta.Position, " ", r.Meta.Operation)
}

// allNumbered checks that nothing is without the means to tell it from its repetition.
func allNumbered(t *testing.T, records []rec) {
	t.Helper()
	for _, r := range records {
		if (r.Meta.Position == "") == (r.Meta.Number == "") {
			t.Fatalf("a record with the position %q has the number %q: %.300s", r.Meta.Position, r.Meta.Number, r.Raw)
		}
	}
}

// deduplicated is what a reader that follows the rules keeps of the records of a stream: nothing of a term lower than
// one seen before in the shard, and everything once. A shard begins with what its parents have seen. It is written anew
// here, without a bound on the sets.
func deduplicated(stream []rec, parents map[string][]string) []rec {
	type shard struct {
		term int64
		seen map[string]bool
	}
	shards := map[string]*shard{}
	var kept []rec
	for _, r := range stream {
		s := shards[r.Shard]
		if s == nil {
			s = &shard{seen: map[string]bool{}}
			for p := range ancestors(r.Shard, parents) {
				if of := shards[p]; of != nil {
					s.term = max(s.term, of.term)
					maps.Copy(s.seen, of.seen)
				}
			}
			shards[r.Shard] = s
		}
		term, _ := r.Meta.Term.Int64()
		if term < s.term {
			continue
		}
		s.term = term
		id := r.identity()
		if s.seen[id] {
			continue
		}
		s.seen[id] = true
		kept = append(kept, r)
	}
	return kept
}

// ancestors are the shards that a shard goes on behind, near and far: some of them may have no records.
func ancestors(shard string, parents map[string][]string) map[string]bool {
	found := map[string]bool{}
	for next := parents[shard]; len(next) > 0; {
		p := next[0]
		next = next[1:]
		if !found[p] {
			found[p] = true
			next = append(next, parents[p]...)
		}
	}
	return found
}

// sameRecords compares two lists of records as multisets.
func sameRecords(t *testing.T, what string, got, want []rec) {
	t.Helper()
	n := map[string]int{}
	for _, r := range want {
		n[r.Raw]++
	}
	for _, r := range got {
		n[r.Raw]--
	}
	missing, extra := 0, 0
	for raw, d := range n {
		switch {
		case d > 0:
			missing += d
			if missing <= 3 {
				t.Errorf("%s: missing %d×: %s", what, d, brief(raw))
			}
		case d < 0:
			extra -= d
			if extra <= 3 {
				t.Errorf("%s: %d× too many: %s", what, -d, brief(raw))
			}
		}
	}
	if missing+extra > 0 {
		t.Errorf("%s: %d records missing, %d too many, of %d", what, missing, extra, len(want))
	}
}

// brief is a record without its middle: what it is about stands at the beginning, and what it is at the end.
func brief(raw string) string {
	const head, end = 120, 700
	if len(raw) <= head+end {
		return raw
	}
	return raw[:head] + " … " + raw[len(raw)-end:]
}

// nothingTwice checks that no record stands in the objects more than once.
func nothingTwice(t *testing.T, objects []rec) {
	t.Helper()
	seen := map[string]string{}
	doubled := 0
	for _, r := range objects {
		id := r.identity()
		if r.Meta.RecordType == "control" { // every shard gets one
			id += " in " + r.Shard
		}
		if before, ok := seen[id]; ok {
			if doubled++; doubled <= 3 {
				t.Errorf("a record was stored twice:\n%s\n%s", brief(before), brief(r.Raw))
			}
		}
		seen[id] = r.Raw
	}
	if doubled > 0 {
		t.Errorf("%d records were stored twice", doubled)
	}
}

// noKeyBackwards checks that the versions of a key never go down. Load records of a chunk that was sent again may
// repeat a version, never undercut one.
func noKeyBackwards(t *testing.T, what string, records []rec) {
	t.Helper()
	newest := map[string]rec{}
	faults := 0
	for _, r := range records {
		if r.Meta.RecordType != "data" {
			continue
		}
		k := r.key()
		if before, ok := newest[k]; ok && r.version() < before.version() {
			if faults++; faults <= 3 {
				t.Errorf("%s: key %s went backwards:\n%s\nthen\n%s", what, k, brief(before.Raw), brief(r.Raw))
			}
		}
		newest[k] = r
	}
	if faults > 0 {
		t.Errorf("%s: %d times a key went backwards", what, faults)
	}
}

// replay applies records in their order and gives the rows that are left.
func replay(records []rec) map[string]rec {
	rows := map[string]rec{}
	for _, r := range records {
		if r.Meta.RecordType != "data" {
			continue
		}
		if r.Meta.Operation == "delete" {
			delete(rows, r.key())
		} else {
			rows[r.key()] = r
		}
	}
	return rows
}

// column is how the source itself prints a value in the form that a record has it.
type column struct {
	name, expr string
	float      bool // both print a double, each with as many digits as it likes
}

var tableColumns = map[string][]column{
	"ticket": {
		{name: "id", expr: "id"}, {name: "version", expr: "version"}, {name: "holder", expr: "holder"}, {name: "note", expr: "note"}, {name: "price", expr: "price"},
		{name: "weight", expr: "weight + 0e0", float: true}, {name: "seat", expr: "seat"}, {name: "extras", expr: "extras"},
		{name: "sold_at", expr: "DATE_FORMAT(sold_at, '%Y-%m-%dT%H:%i:%s.%fZ')"},
		{name: "changed_at", expr: "CONCAT(LEFT(DATE_FORMAT(changed_at, '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')"},
		{name: "code", expr: "CONCAT('0x', LOWER(HEX(code)))"}, {name: "paid", expr: "IF(paid, 'true', 'false')"}, {name: "details", expr: "details"},
	},
	"seat_price": {{name: "venue", expr: "venue"}, {name: "seat", expr: "seat"}, {name: "version", expr: "version"}, {name: "price", expr: "price"}},
}

// sourceRows are the rows of the source's tables, each value as the source prints it.
func sourceRows(t *testing.T, addr string) (rows []rec) {
	t.Helper()
	c, err := client.Connect(addr, "root", "", schemaName)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, sql := range []string{"SET NAMES utf8mb4", "SET time_zone = '+00:00'"} {
		if _, err := c.Execute(sql); err != nil {
			t.Fatal(err)
		}
	}
	for table, columns := range tableColumns {
		var list []string
		for _, col := range columns {
			list = append(list, col.expr)
		}
		res, err := c.Execute("SELECT " + strings.Join(list, ", ") + " FROM " + table)
		if err != nil {
			t.Fatal(err)
		}
		for i := range res.RowNumber() {
			row := rec{Meta: meta{Table: table}, Data: map[string]any{}}
			for j, col := range columns {
				if null, _ := res.IsNull(i, j); !null {
					s, _ := res.GetString(i, j)
					row.Data[col.name] = strings.Clone(s)
				}
			}
			rows = append(rows, row)
		}
		res.Close()
	}
	return rows
}

// equalsTables compares replayed rows with those of the source's tables, value by value.
func equalsTables(t *testing.T, what string, source []rec, rows map[string]rec) {
	t.Helper()
	faults := 0
	fault := func(format string, args ...any) {
		t.Helper()
		if faults++; faults <= 5 {
			t.Errorf(what+": "+format, args...)
		}
	}
	left := make(map[string]bool, len(rows))
	for k := range rows {
		left[k] = true
	}
	for _, want := range source {
		key := want.key()
		got, ok := rows[key]
		delete(left, key)
		if !ok {
			fault("row %s is missing: %v", key, want.Data)
			continue
		}
		if d := difference(tableColumns[want.Meta.Table], got.Data, want.Data); d != "" {
			fault("row %s differs in %s\nrecord %.600s", key, d, got.Raw)
		}
	}
	for k := range left {
		fault("row %s is not in the table: %.400s", k, rows[k].Raw)
	}
	if faults > 0 {
		t.Errorf("%s: %d faults in %d rows", what, faults, len(source))
	}
	if len(source) == 0 {
		t.Errorf("%s: nothing was compared", what)
	}
}

func difference(columns []column, got, want map[string]any) string {
	for _, col := range columns {
		g, inRecord := got[col.name]
		w, inTable := want[col.name]
		if inRecord != inTable || inRecord && !sameValue(g, w.(string)) && !(col.float && sameFloat(g, w.(string))) {
			return fmt.Sprintf("%s: record has %v, table has %v", col.name, g, w)
		}
	}
	return ""
}

// sameFloat says whether both texts are the same double.
func sameFloat(got any, want string) bool {
	a, err1 := strconv.ParseFloat(fmt.Sprint(got), 64)
	b, err2 := strconv.ParseFloat(want, 64)
	return err1 == nil && err2 == nil && a == b
}

// sameValue compares a JSON value with the text that the source gave for it. Numbers are compared as numbers, exactly.
func sameValue(got any, want string) bool {
	switch g := got.(type) {
	case string:
		return g == want
	case bool:
		return fmt.Sprint(g) == want
	case json.Number:
		if string(g) == want {
			return true
		}
		a, ok1 := new(big.Rat).SetString(string(g))
		b, ok2 := new(big.Rat).SetString(want)
		return ok1 && ok2 && a.Cmp(b) == 0
	}
	return false
}
