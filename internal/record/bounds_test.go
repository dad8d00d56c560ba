package record

import (
	"bytes"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// What Bounds says a record has at least, it has: whatever characters a text is made of, in any character set.
func TestBoundsOfTexts(t *testing.T) {
	for charset, sequences := range map[string][][]byte{
		"utf8mb4": {[]byte("a"), []byte("ä"), []byte("中"), []byte("😀"), []byte("\x00"), []byte(`"`)},
		"latin1":  everySequence(nil, 1), "ascii": {[]byte("a")}, "koi8r": everySequence(nil, 1),
		"ucs2": everySequence(nil, 2), "utf16": everySequence(nil, 2), "utf16le": everySequence(nil, 2),
		"utf32": everySequence([]byte{0, 0}, 2), "gbk": everySequence(nil, 2), "big5": everySequence(nil, 2), "sjis": everySequence(nil, 2),
		"euckr": everySequence(nil, 2), "ujis": everySequence([]byte{0x8f}, 2), "eucjpms": everySequence([]byte{0x8f}, 2),
		"gb18030": append(everySequence([]byte{0x81, 0x30}, 2), everySequence([]byte{0x84, 0x31}, 2)...),
	} {
		table := &schema.Table{Schema: "s", Name: "t", Columns: []schema.Column{
			{Name: "v", Type: schema.Text, ColumnType: "longtext", Charset: charset, Collation: charset + "_bin", Length: 1<<32 - 1},
		}}
		codec, err := schema.NewTextLayout(table, schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := NewPlan(table, codec, DefaultOptions("task"))
		if err != nil {
			t.Fatal(err)
		}
		valid := 0
		for _, s := range sequences {
			row := [][]byte{bytes.Repeat(s, 16)} // so that the rest of the record does not hide it
			value, err := codec.AppendJSON(nil, 0, row[0])
			if err != nil {
				continue // no character
			}
			valid++
			if least, _ := plan.Bounds(Insert, row, nil); least > len(value) {
				t.Fatalf("%s: %x is written with %d bytes, at least %d were said", charset, s, len(value)/16, least/16)
			}
		}
		if valid == 0 {
			t.Errorf("%s: no sequence is a character", charset)
		}
	}
}

// everySequence is all sequences of n bytes behind a beginning.
func everySequence(begin []byte, n int) (out [][]byte) {
	for i := range 1 << (8 * n) {
		s := bytes.Clone(begin)
		for k := n - 1; k >= 0; k-- {
			s = append(s, byte(i>>(8*k)))
		}
		out = append(out, s)
	}
	return out
}

func TestBounds(t *testing.T) {
	table := &schema.Table{Schema: "s", Name: "t", Key: []int{0}, KeyKind: schema.PrimaryKey, Columns: []schema.Column{
		{Name: "id", Type: schema.Int, ColumnType: "int"},
		{Name: "a", Type: schema.Text, ColumnType: "mediumtext", Charset: "utf8mb4", Length: 1<<24 - 1},
		{Name: "b", Type: schema.Blob, ColumnType: "longblob", Length: 1<<32 - 1},
		{Name: "c", Type: schema.JSON, ColumnType: "json"},
	}}
	codec, err := schema.NewTextLayout(table, schema.Options{NoHexPrefix: true})
	if err != nil {
		t.Fatal(err)
	}
	text, blob, doc := bytes.Repeat([]byte("x"), 100_000), bytes.Repeat([]byte{1}, 50_000), bytes.Repeat([]byte("1"), 3_000)
	row, before := [][]byte{[]byte("1"), text, blob, doc}, [][]byte{[]byte("1"), text, nil, doc}
	for what, c := range map[string]struct {
		op           Operation
		images       BeforeImage
		before       [][]byte
		least, extra int
	}{
		"insert":                       {Insert, BeforeImage{}, nil, 200_000, 3_000},
		"update":                       {Update, BeforeImage{}, before, 200_000, 3_000},
		"update with the whole before": {Update, BeforeImage{Enabled: true, FieldName: "before-image", ColumnFilter: FilterAll}, before, 300_000, 6_000},
		"update with the key before":   {Update, BeforeImage{Enabled: true, FieldName: "before-image", ColumnFilter: FilterPKOnly}, before, 200_000, 3_000},
	} {
		o := DefaultOptions("task")
		o.BeforeImage = c.images
		plan, err := NewPlan(table, codec, o)
		if err != nil {
			t.Fatal(err)
		}
		least, likely := plan.Bounds(c.op, row, c.before)
		data, err := plan.Append(nil, c.op, row, c.before, &Stamp{Tx: &Transaction{}})
		if err != nil {
			t.Fatal(err)
		}
		if least != c.least || len(data) < least || len(data) > likely || likely > 2*len(data) {
			t.Errorf("%s: at least %d and likely %d, but it has %d", what, least, likely, len(data))
		}
	}
}
