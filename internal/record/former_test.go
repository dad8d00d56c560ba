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
	first := records[0]
	for _, change := range [][2]string{
		{`"transaction-record-id"`, ` "transaction-record-id"`}, {`"transaction-record-id":1,`, ""}, {`"transaction-id":7,`, ""}, {`{"data":{"id":1},`, "{"},
		{`"metadata":`, `"metadata": `}, {"}}", "}}x"}, {"}}", "}"}, {`"writer-term":1`, `"writer-term":"1"`}, {`"data","op`, `"control","op`},
		{`"operation"`, `"operatiox"`}, {`"record-type"`, `"record-typx"`},
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
		}
	}
}
