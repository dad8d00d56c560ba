package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseForeignRecords(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want Header
	}{
		"a DMS insert without details": {
			`{"data":{"id":1,"metadata":"x"},"metadata":{"timestamp":"2021-02-18T23:09:09.509179Z","record-type":"data","operation":"insert","partition-key-type":"schema-table","schema-name":"s","table-name":"t","transaction-id":87978110091475}}`,
			Header{RecordType: "data", Operation: "insert", PartitionKeyType: "schema-table", Schema: "s", Table: "t", Timestamp: "2021-02-18T23:09:09.509179Z", TxID: 87978110091475},
		},
		"keys in another order, metadata first, another metadata in data": {
			` {"metadata": {"table-name": "t", "extra": [1, {"metadata":{}}, "]}"], "schema-name": "a\"b\u00e9\\", "operation": "load", "record-type": "data"}, "data": {"metadata":{"table-name":"wrong"}}} `,
			Header{RecordType: "data", Operation: "load", Schema: "a\"bé\\", Table: "t"},
		},
		"a key that ends like ours": {
			`{"data":{"x\"metadata":{"table-name":"wrong"}},"metadata":{"table-name":"t"}}`, Header{Table: "t"},
		},
		"only a key that ends like ours behind it": {
			`{"metadata":{"table-name":"t"},"x\"metadata":{"table-name":"wrong"}}`, Header{Table: "t"},
		},
		"text that looks like ours": {
			`{"metadata":{"table-name":"t"},"data":{"a":"\"metadata\":{\"table-name\":\"wrong\"}}"}}`, Header{Table: "t"},
		},
		"an escaped key": {`{"met\u0061data":{"table-name":"t"}}`, Header{Table: "t"}},
		"a metadata that is no object, then one that is": {`{"metadata":7,"metadata":{"table-name":"t"}}`, Header{Table: "t"}},
		"numbers in DMS's older form, and texts where numbers belong": {
			`{"metadata":{"transaction-id":1.2e+17,"transaction-record-id":-1,"stream-position":5,"writer-term":"7","gtid":null}}`, Header{}},
		"empty metadata": {`{"metadata":{}}`, Header{}},
	} {
		t.Run(name, func(t *testing.T) {
			if !json.Valid([]byte(c.in)) {
				t.Fatal("the test's own record is not JSON")
			}
			for _, in := range []string{c.in, indent(t, c.in)} {
				got, err := Parse([]byte(in))
				if err != nil || got != c.want {
					t.Errorf("Parse(%s) = %+v, %v\nwant %+v", in, got, err, c.want)
				}
			}
		})
	}
}

func indent(t *testing.T, in string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(in), "", "\t"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestParseErrors(t *testing.T) {
	for _, in := range []string{"", " ", "x", "[]", "null", `"metadata":{}`, `"metadata":{}}`, "{}", `{"data":{}}`, `{"metadata":7}`, `{"metadata":{}`, `{"metadata":{}}}`,
		`{"metadata":{}} x`, `{"metadata":{"table-name":"t}}`, `{"metadata":{"table-name":"t",}}`, `{"metadata":{"table-name"}}`, `{"metadata":{"a":}}`,
		`{"metadata":{"writer-term":1.5}}`, `{"metadata":{"source-epoch":18446744073709551616}}`, `{"metadata":{"source-epoch":-1,"x":{}}}`, `{"metadata":{"writer-sequence":1e3}}`,
		`{"data":{"metadata":{"table-name":"t"}}}`, `{"data":{"a":"\"metadata\":{}}`, strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<18)} {
		if h, err := Parse([]byte(in)); !errors.Is(err, ErrNoEnvelope) || h != (Header{}) {
			t.Errorf("Parse(%.60s) = %+v, %v", in, h, err)
		}
	}
}

// TestParseSmuggledMetadata: whatever a row holds, its own metadata is not taken for the record's.
func TestParseSmuggledMetadata(t *testing.T) {
	table := players()
	for _, value := range []string{`{"metadata":{"table-name":"wrong"}}`, `"\"metadata\":{\"table-name\":\"wrong\"}}"`, `{"table-name":"wrong"}`} {
		for _, format := range []Format{JSON, JSONUnformatted} {
			p := plan(t, table, func(o *Options) { o.Format = format })
			h, err := Parse(appendRecord(t, p, Insert, row("1", "2", "3", "4", value), nil, stamp()))
			if err != nil || h.Table != "player" {
				t.Errorf("table of a record with %s is %q, %v", value, h.Table, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no golden records", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		h, err := Parse(data)
		if !bytes.Equal(before, data) {
			t.Fatal("Parse changed its input")
		}
		if err != nil && (!errors.Is(err, ErrNoEnvelope) || h != Header{}) {
			t.Fatalf("Parse = %+v, %v", h, err)
		}
		h.Op()
		_, _ = h.Position()
		mark, markErr := ParseMark(data)
		checkMark(t, &h, err, mark, markErr)
		want, ok := reference(data)
		if !ok {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		for key, got := range map[string]string{"schema-name": h.Schema, "table-name": h.Table, "operation": h.Operation, "gtid": h.GTID} {
			text, _ := want[key].(string)
			if got != text {
				t.Errorf("%s is %q, encoding/json says %q", key, got, text)
			}
		}
	})
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkMark compares what ParseMark says of a record with what Parse says.
func checkMark(t fataler, h *Header, err error, mark Mark, markErr error) {
	t.Helper()
	want := Mark{Term: h.Term, Epoch: h.Epoch, RecordID: h.RecordID, Sequence: h.Sequence, Op: h.Op(), GTID: []byte(h.GTID)}
	if change := h.Op() == Insert || h.Op() == Update || h.Op() == Delete; change && h.Term != 0 && err == nil {
		want.Placed = true
		want.Position, err = h.Position()
	}
	if (err == nil) != (markErr == nil) {
		t.Fatalf("Parse: %v, ParseMark: %v", err, markErr)
	}
	if err != nil {
		return
	}
	if !bytes.Equal(mark.GTID, want.GTID) {
		t.Fatalf("GTID %q, want %q", mark.GTID, want.GTID)
	}
	mark.GTID, want.GTID = nil, nil
	if !reflect.DeepEqual(mark, want) {
		t.Fatalf("mark %+v, want %+v", mark, want)
	}
}

func TestParseMark(t *testing.T) {
	p := plan(t, players())
	for op := Load; op <= Delete; op++ {
		b := appendRecord(t, p, op, row("1", "2", "3", "4", "5"), nil, stamp())
		h, err := Parse(b)
		mark, markErr := ParseMark(b)
		checkMark(t, &h, err, mark, markErr)
		if mark.Term == 0 || mark.Placed != (op != Load) || mark.Placed == (mark.Sequence == 42) || op != Load && (mark.Position.EventStart != 36912271 || len(mark.GTID) == 0) {
			t.Errorf("%v: %+v", op, mark)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = ParseMark(b) }); n != 0 {
			t.Errorf("%v: %v allocations", op, n)
		}
	}
	for _, position := range []string{"", "00000001/2A", "bin:1:2:3:4:bin:5"} {
		in := `{"metadata":{"record-type":"data","operation":"update","stream-position":"` + position + `"`
		if mark, err := ParseMark([]byte(in + `}}`)); err != nil || mark.Placed {
			t.Errorf("a foreign record with position %q: %+v, %v", position, mark, err)
		}
		if mark, err := ParseMark([]byte(in + `,"writer-term":1}}`)); !errors.Is(err, ErrNoEnvelope) {
			t.Errorf("a record of ours with position %q: %+v, %v", position, mark, err)
		}
	}
}

// reference is the metadata as encoding/json sees it, of a record about which there can be no two opinions: its keys
// are not repeated, its text is UTF-8 without halves of surrogate pairs, and its writer has a term that is a number.
func reference(data []byte) (map[string]any, bool) {
	if !json.Valid(data) || !utf8.Valid(data) || bytes.Contains(data, []byte(`\u`)) || bytes.Contains(data, []byte("writer")) || bytes.Contains(data, []byte("epoch")) {
		return nil, false
	}
	for _, key := range []string{`"metadata"`, `"schema-name"`, `"table-name"`, `"operation"`, `"gtid"`} {
		if bytes.Count(data, []byte(key)) > 1 {
			return nil, false
		}
	}
	var top map[string]any
	if json.Unmarshal(data, &top) != nil {
		return nil, false
	}
	meta, ok := top["metadata"].(map[string]any)
	return meta, ok
}
