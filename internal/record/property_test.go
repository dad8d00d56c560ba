package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// drawValue draws a column's value as a codec would render it; nil is NULL.
func drawValue(t *rapid.T, name string) []byte {
	switch rapid.IntRange(0, 4).Draw(t, name+" kind") {
	case 0:
		return nil
	case 1:
		return []byte("null")
	case 2:
		return strconv.AppendInt(nil, rapid.Int64().Draw(t, name), 10)
	default:
		return appendString(nil, rapid.String().Draw(t, name))
	}
}

func drawTable(t *rapid.T) *schema.Table {
	name := rapid.StringN(1, 12, -1)
	columns := rapid.SliceOfNDistinct(name, 1, 6, rapid.ID[string]).Draw(t, "columns")
	table := &schema.Table{Schema: name.Draw(t, "schema"), Name: name.Draw(t, "table")}
	for _, c := range columns {
		table.Columns = append(table.Columns, schema.Column{Name: c, Type: rapid.SampledFrom([]schema.Type{schema.Int, schema.VarChar, schema.JSON}).Draw(t, "type")})
	}
	if rapid.Bool().Draw(t, "has key") {
		table.KeyKind = schema.PrimaryKey
		table.Key = rapid.SliceOfNDistinct(rapid.IntRange(0, len(columns)-1), 1, len(columns), rapid.ID[int]).Draw(t, "key")
	}
	return table
}

func drawRow(t *rapid.T, table *schema.Table, label string) [][]byte {
	r := make([][]byte, len(table.Columns))
	for i := range r {
		r[i] = drawValue(t, label)
	}
	for _, k := range table.Key {
		if r[k] == nil {
			r[k] = []byte(`"key"`)
		}
	}
	return r
}

func drawOptions(t *rapid.T, table *schema.Table) Options {
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	return Options{
		Format: rapid.SampledFrom([]Format{JSON, JSONUnformatted}).Draw(t, "format"), TaskID: "TASK",
		IncludeTransactionDetails: flag("details"), IncludeGTID: flag("gtid"), IncludePartitionValue: flag("partition value"),
		PartitionIncludeSchemaTable: flag("schema table"), IncludeNullAndEmpty: flag("nulls"), IncludeControlDetails: flag("control"),
		PartitionKeyType:     KeyType(rapid.IntRange(int(KeyPrimaryKey), int(KeyAttributeName)).Draw(t, "key type")),
		PartitionKeyConstant: "constant", PartitionKeyName: table.Columns[0].Name,
		BeforeImage: BeforeImage{Enabled: flag("before-image"), FieldName: "before \"image\"", ColumnFilter: ColumnFilter(rapid.IntRange(0, 3).Draw(t, "filter"))},
	}
}

func drawTime(t *rapid.T, label string) time.Time {
	return time.Unix(rapid.Int64Range(0, 253402300799).Draw(t, label), rapid.Int64Range(0, 999999999).Draw(t, label+" ns"))
}

func drawStamp(t *rapid.T) *Stamp {
	n := rapid.Uint64()
	file := rapid.SampledFrom([]string{"bin.", "mysql-bin-changelog.", "a:b\"\\.", "é\t."}).Draw(t, "file")
	s := &Stamp{
		Time:     drawTime(t, "time"),
		Tx:       &Transaction{ID: n.Draw(t, "tx"), GTID: rapid.SampledFrom([]string{"", "3e11fa47-71ca-11e1-9e33-c80aa9429562:23", "0-1-7"}).Draw(t, "gtid"), CommitTime: drawTime(t, "commit")},
		RecordID: n.Draw(t, "record"), PrevTxID: n.Draw(t, "prev"), PrevTxRecordID: n.Draw(t, "prev record"),
		Place: Place{File: fmt.Sprintf("%s%06d", file, rapid.Uint32().Draw(t, "file number")), TableMapStart: n.Draw(t, "map"), EventStart: n.Draw(t, "start"),
			EventEnd: n.Draw(t, "end"), Row: rapid.Uint32().Draw(t, "row")},
		Term: n.Draw(t, "term"), Epoch: n.Draw(t, "epoch"), Sequence: n.Draw(t, "sequence"),
	}
	if s.Term == 0 {
		s.Epoch, s.Sequence = 0, 0
	}
	return s
}

// TestAnyRecord: whatever the table, its row, the options and the stamp, the record is JSON that holds what it should,
// and Parse reads back what the stamp says.
func TestAnyRecord(t *testing.T) {
	memo := &Memo{}
	var buf []byte
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t)
		o := drawOptions(t, table)
		p, err := NewPlan(table, jsonCodec{}, o)
		if err != nil {
			t.Fatal(err)
		}
		op := Operation(rapid.IntRange(int(Load), int(Delete)).Draw(t, "operation"))
		r, before := drawRow(t, table, "value"), drawRow(t, table, "old value")
		s := drawStamp(t)
		if buf, err = p.Append(buf[:0], op, r, before, s); err != nil {
			t.Fatal(err)
		}
		withMemo := *s
		withMemo.Memo = memo
		for range 2 {
			if again, err := p.Append(nil, op, r, before, &withMemo); err != nil || !bytes.Equal(again, buf) {
				t.Fatalf("with a memo %s, %v\nwithout %s", again, err, buf)
			}
		}
		checkLayout(t, o.Format, buf)
		checkObjects(t, p, op, r, before, buf)
		checkHeader(t, p, op, r, s, buf)
	})
}

// checkLayout: an unformatted record is one line, a formatted one the same JSON with cJSON's spacing.
func checkLayout(t *rapid.T, f Format, b []byte) {
	if !json.Valid(b) {
		t.Fatalf("not JSON: %q", b)
	}
	if f == JSONUnformatted {
		var compact bytes.Buffer
		_ = json.Compact(&compact, b)
		if compact.String()+"\n" != string(b) {
			t.Fatalf("not one compact line: %q", b)
		}
		return
	}
	if !bytes.HasPrefix(b, []byte("{\n\t\"data\":\t{\n\t")) || !bytes.HasSuffix(b, []byte("\n\t}\n}")) {
		t.Fatalf("not DMS's layout: %q", b)
	}
}

// checkObjects compares data and before-image with the rows.
func checkObjects(t *rapid.T, p *Plan, op Operation, r, before [][]byte, b []byte) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(b, &top); err != nil {
		t.Fatal(err)
	}
	compare := func(key string, r [][]byte, shown func(int) bool) {
		want := map[string]any{}
		for i, v := range r {
			isNull := v == nil || string(v) == "null"
			if !shown(i) || isNull && !p.opts.IncludeNullAndEmpty {
				continue
			}
			var value any
			if !isNull {
				if err := json.Unmarshal(v, &value); err != nil {
					t.Fatal(err)
				}
			}
			want[validText(p.table.Columns[i].Name)] = value
		}
		var got map[string]any
		if err := json.Unmarshal(top[key], &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s is %v, want %v (%v)", key, got, want, err)
		}
	}
	compare("data", r, func(int) bool { return true })
	members := 2
	if op == Update && p.opts.BeforeImage.Enabled {
		compare(p.opts.beforeImageName(), before, p.inBeforeImage)
		members = 3
	}
	if len(top) != members {
		t.Fatalf("the record has %d members: %s", len(top), b)
	}
}

// validText is a name as JSON can hold it.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// checkHeader compares what Parse reads with the stamp.
func checkHeader(t *rapid.T, p *Plan, op Operation, r [][]byte, s *Stamp, b []byte) {
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	keyStamp := *s
	if op == Load {
		keyStamp.Tx = nil
	}
	key, err := p.AppendPartitionKey(nil, r, &keyStamp)
	if err != nil {
		t.Fatal(err)
	}
	if units := len(utf16.Encode([]rune(string(key)))); units < 1 || units > 256 || !utf8.Valid(key) {
		t.Fatalf("partition key %q", key)
	}
	want := Header{
		RecordType: "data", Operation: op.String(), PartitionKeyType: p.keyKind(op).String(), Schema: validText(p.table.Schema), Table: validText(p.table.Name),
		Timestamp: s.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), Term: s.Term, Epoch: s.Epoch,
	}
	if p.opts.IncludePartitionValue && p.keyKind(op) != KeySchemaTable {
		want.PartitionKeyValue = string(key)
	}
	if op == Load {
		want.Sequence = s.Sequence
	} else {
		want.TxID = s.Tx.ID
		if p.opts.IncludeGTID {
			want.GTID = s.Tx.GTID
		}
	}
	if details := op != Load && p.opts.IncludeTransactionDetails; details {
		want.RecordID = s.RecordID
		if s.PrevTxID != 0 {
			want.PrevTxID, want.PrevTxRecordID = s.PrevTxID, s.PrevTxRecordID
		}
		want.CommitTimestamp = s.Tx.CommitTime.UTC().Format("2006-01-02T15:04:05.000000Z")
		want.StreamPosition = string(AppendStreamPosition(nil, s.Place, s.Tx.ID))
		place, tx, err := ParseStreamPosition(got.StreamPosition)
		if err != nil || place != s.Place || tx != s.Tx.ID {
			t.Fatalf("stream-position %q: %+v, %d, %v", got.StreamPosition, place, tx, err)
		}
		position, err := got.Position()
		if wantPosition, _ := s.Place.Position(op); err != nil || position != wantPosition {
			t.Fatalf("position %+v, want %+v, %v", position, wantPosition, err)
		}
	}
	mark, markErr := ParseMark(b)
	checkMark(t, &got, nil, mark, markErr)
	if got != want {
		t.Fatalf("header %+v\nwant   %+v\nof %s", got, want, b)
	}
}

// TestAnyText: a text survives being escaped, and encoding/json agrees.
func TestAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		quoted := appendString(nil, in)
		var out string
		if err := json.Unmarshal(quoted, &out); err != nil || out != strings.ToValidUTF8(in, "\uFFFD") && utf8.ValidString(in) {
			t.Fatalf("%q became %s, %q, %v", in, quoted, out, err)
		}
		if string(unquote(bytes.Clone(quoted), 0)) != out {
			t.Fatalf("unquote(%s) is not %q", quoted, out)
		}
		encoded, _ := json.Marshal(in)
		var theirs string
		_ = json.Unmarshal(encoded, &theirs)
		if got := string(unquote(encoded, 0)); got != theirs {
			t.Fatalf("unquote(%s) = %q, want %q", encoded, got, theirs)
		}
	})
}
