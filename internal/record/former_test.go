package record

import (
	"fmt"
	"strings"
	"testing"
)

// TestMarksForgetNothing: Marks reads each record as ParseMark does, whatever record came before it.
func TestMarksForgetNothing(t *testing.T) {
	make := func(id, op, table, position, gtid string) string {
		return fmt.Sprintf(`{"data":{"id":%s},"metadata":{"timestamp":"2026-01-01T00:00:00Z","record-type":"data","operation":"%s",`+
			`"schema-name":"s","table-name":"%s","transaction-id":7,"transaction-record-id":1,"stream-position":"%s"%s,"writer-term":1,"source-epoch":1}}`,
			id, op, table, position, gtid)
	}
	const gtid = `,"gtid":"g:1"`
	var records []string
	for _, id := range []string{"1000000", "1"} {
		for _, table := range []string{"players", "pläyers", `a\"b`} {
			for _, op := range []string{"insert", "delete", "load", `\u0069nsert`} {
				records = append(records, make(id, op, table, "bin.000001:4:0:9:7:bin.000001:3", gtid), make(id, op, table, "bin.000001:4:0:9:7:bin.000001:3", ""))
			}
		}
	}
	for _, file := range []string{"bin.000001", "bin.000002", "bin:1.000001", "bin:1:2.000001", "bin"} {
		for _, place := range []string{"4:0:9", "4:1:9", "4:17:9", "40:1:9", "41:1:9", "4:01:9", "4:4294967295:9", "4:4294967296:9", "4::9", "4:x:9", "1:2:9"} {
			records = append(records, make("1", "insert", "players", file+":"+place+":7:"+file+":3", gtid))
		}
		for _, tail := range []string{":7:other:3", ":7:" + file[:len(file)-1] + "x:3", ":7:" + file + ":", ":7:" + file + ":3x", "::" + file + ":3"} {
			records = append(records, make("1", "insert", "players", file+":4:1:9"+tail, gtid))
		}
	}
	for _, n := range []string{"1", "2", "18446744073709551615", "18446744073709551616", "01", "x", ""} {
		records = append(records,
			`{"data":{"id":1},"metadata":{"record-type":"data","operation":"load","schema-name":"s","table-name":"t","writer-term":1,"source-epoch":1,"writer-sequence":`+n+`}}`,
			`{"data":{"id":1},"metadata":{"record-type":"data","operation":"insert","schema-name":"s","table-name":"t","transaction-id":7,"transaction-record-id":`+n+
				`,"stream-position":"bin.000001:4:0:9:7:bin.000001:3","writer-term":1,"source-epoch":1}}`)
	}
	first := records[0]
	for _, change := range [][2]string{
		{`"transaction-record-id"`, ` "transaction-record-id"`}, {`"transaction-record-id":1,`, ""}, {`"transaction-id":7,`, ""}, {`{"data":{"id":1},`, "{"},
		{`"metadata":`, `"metadata": `}, {"}}", "}}x"}, {"}}", "}"}, {`"writer-term":1`, `"writer-term":"1"`}, {`"data","op`, `"control","op`},
		{`"operation"`, `"operatiox"`}, {`"record-type"`, `"record-typx"`}, {`{"data"`, `["data"`}, {`"metadata"`, `\"metadata"`}, {`{"data":{"id":1000000},`, ""},
		{`"source-epoch":1`, `"source-epoch":1,"oversized-record":{"location":"s3://b/k","bytes":7,"sha256":"` + strings.Repeat("ab", 32) + `"}`},
	} {
		records = append(records, strings.Replace(first, change[0], change[1], 1))
	}
	records = append(records, first[:len(first)/2], `{"metadata":{}}`, `{"metadata":{"timestamp":"2026-01-01T00:00:00Z"}}`, "")
	var m Marks
	for _, before := range records {
		for _, rec := range records {
			_, _ = m.Parse([]byte(before)) // tried in its turn
			want, wantErr := ParseMark([]byte(rec))
			got, err := m.Parse([]byte(rec))
			if fmt.Sprint(want, wantErr) != fmt.Sprint(got, err) {
				t.Fatalf("behind\n%s\nthe record\n%s\nis read as %+v, %v\nwant %+v, %v", before, rec, got, err, want, wantErr)
			}
			if _, spilled := ParseSpilled([]byte(rec)); spilled && m.Whole() {
				t.Fatalf("behind\n%s\nthe record is taken for a whole one:\n%s", before, rec)
			}
		}
	}
}

// TestMarksKnowTheFormerRecord: the rows of an event, and those of a load, are only compared with the record before them,
// and what the compared record's memory holds later does not matter.
func TestMarksKnowTheFormerRecord(t *testing.T) {
	row := func(id, row int) []byte {
		return fmt.Appendf(nil, `{"data":{"id":%d},"metadata":{"timestamp":"2026-01-01T00:00:00Z","record-type":"data","operation":"insert",`+
			`"transaction-id":7,"transaction-record-id":%d,"stream-position":"bin.000001:4:%d:9:7:bin.000001:3","gtid":"g:1","writer-term":1,"source-epoch":1}}`, id, id, row)
	}
	load := func(_, n int) []byte {
		return fmt.Appendf(nil, `{"data":{"id":%d},"metadata":{"record-type":"data","operation":"load","writer-term":1,"source-epoch":1,"writer-sequence":%d}}`, n, n)
	}
	for name, make := range map[string]func(int, int) []byte{"changes": row, "load": load} {
		var m Marks
		first := make(9, 99)
		if _, err := m.Parse(first); err != nil {
			t.Fatal(err)
		}
		clear(first)
		for i := range 120 {
			rec := make(i, i)
			got, ok := m.former.next(rec)
			if !ok {
				t.Fatalf("%s: not known as one like the former:\n%s", name, rec)
			}
			if want, err := ParseMark(rec); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s: %+v, want %+v, %v", name, got, want, err)
			}
			if _, err := m.Parse(rec); err != nil || !m.Whole() {
				t.Fatalf("%s: %v, whole: %v", name, err, m.Whole())
			}
		}
		rec := make(1, 1)
		if n := testing.AllocsPerRun(100, func() { _, _ = m.Parse(rec) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
