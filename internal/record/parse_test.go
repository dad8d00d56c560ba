package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
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
		`{"metadata":{"writer-term":1.5}}`, `{"metadata":{"source-epoch":18446744073709551616}}`, `{"metadata":{"source-epoch":-1,"x":{}}}`,
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
