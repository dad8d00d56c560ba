package record

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// letters is a table of LOBs of every kind, one of them in its key.
func letters() *schema.Table {
	lob := func(name string, kind schema.Type, columnType, charset string) schema.Column {
		return schema.Column{Name: name, Type: kind, ColumnType: columnType, Length: 1<<24 - 1, Charset: charset, Nullable: true}
	}
	return &schema.Table{
		Schema: "post", Name: "letter", KeyKind: schema.PrimaryKey, Key: []int{0, 1},
		Columns: []schema.Column{
			{Name: "id", Type: schema.Int, ColumnType: "int"},
			lob("slug", schema.Text, "mediumtext", "utf8mb4"),
			lob("body", schema.Text, "mediumtext", "utf8mb4"),
			lob("old", schema.Text, "mediumtext", "latin1"),
			lob("wide", schema.Text, "mediumtext", "utf16"),
			lob("scan", schema.Blob, "mediumblob", ""),
			lob("extra", schema.JSON, "json", ""),
			{Name: "note", Type: schema.Text, ColumnType: "text", Length: 1<<16 - 1, Charset: "utf8mb4"},
		},
	}
}

func textPlan(t testing.TB, table *schema.Table, rendered schema.Options, change ...func(*Options)) *Plan {
	t.Helper()
	codec, err := schema.NewTextLayout(table, rendered)
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions("TASK")
	for _, c := range change {
		c(&o)
	}
	p, err := NewPlan(table, codec, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func letterRow(slug, body, old, wide, scan, extra, note string) [][]byte {
	latin1, utf16be := []byte{}, []byte{} // nil is NULL
	for _, r := range old {
		latin1 = append(latin1, byte(r))
	}
	for _, u := range utf16.Encode([]rune(wide)) {
		utf16be = append(utf16be, byte(u>>8), byte(u))
	}
	return [][]byte{[]byte("7"), []byte(slug), []byte(body), latin1, utf16be, []byte(scan), []byte(extra), []byte(note)}
}

func cutData(t testing.TB, p *Plan, r [][]byte, lobBytes int) map[string]any {
	t.Helper()
	b, err := p.AppendCut([]byte("kept"), Load, r, nil, stamp(), lobBytes)
	if err != nil {
		t.Fatal(err)
	}
	var rec struct{ Data map[string]any }
	if err := json.Unmarshal(b[4:], &rec); err != nil || string(b[:4]) != "kept" {
		t.Fatalf("%v: %s", err, b)
	}
	return rec.Data
}

func TestCut(t *testing.T) {
	r := letterRow("a slug that is long", "ab\"\\cdefgh", "äöüäöü", "日本語日本語", "\x00\x01\x02\xff", `{"a": "b\n"}`, "a note that is long")
	for _, c := range []struct {
		bytes                        int
		body, old, wide, scan, extra string
	}{
		{1, "a", "", "", "0x00", "{"},
		{3, `ab"`, "ä", "日", "0x000102", `{"a`},
		{4, `ab"\`, "äö", "日", "0x000102ff", `{"a"`},
		{9, `ab"\cdefg`, "äöüä", "日本語", "0x000102ff", `{"a": "b\`},
		{100, `ab"\cdefgh`, "äöüäöü", "日本語日本語", "0x000102ff", `{"a": "b\n"}`},
	} {
		for _, bare := range []bool{false, true} {
			data := cutData(t, textPlan(t, letters(), schema.Options{NoHexPrefix: bare}), r, c.bytes)
			if bare {
				c.scan = strings.TrimPrefix(c.scan, "0x")
			}
			for name, want := range map[string]string{
				"body": c.body, "old": c.old, "wide": c.wide, "scan": c.scan, "extra": c.extra,
				"slug": "a slug that is long", "note": "a note that is long", // no LOB, or part of the key
			} {
				if data[name] != want {
					t.Errorf("cut to %d bytes %s is %q, want %q", c.bytes, name, data[name], want)
				}
			}
		}
	}
}

// Whatever the text, what is left is valid, a beginning of the whole, and as long as it may be.
func TestCutProperty(t *testing.T) {
	p := textPlan(t, letters(), schema.Options{})
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune{'a', '"', '\\', '\n', 0, 0x1f, 'é', '日', '😀'}), 0, 80, -1).Draw(rt, "text")
		scan := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(rt, "scan")
		most := rapid.IntRange(1, 40).Draw(rt, "most")
		data := cutData(t, p, letterRow("s", text, "x", text, string(scan), "1", "n"), most)
		for _, name := range []string{"body", "wide"} {
			got := data[name].(string)
			next, size := utf8.DecodeRuneInString(text[min(len(got), len(text)):])
			if !strings.HasPrefix(text, got) || len(got) > most || next != utf8.RuneError && len(got)+size <= most {
				rt.Fatalf("%s of %q cut to %d bytes is %q", name, text, most, got)
			}
		}
		if got := data["scan"].(string); len(got) != 2+2*min(len(scan), most) {
			rt.Fatalf("binary data of %d bytes cut to %d are %s", len(scan), most, got)
		}
	})
}

// A cut record costs no memory for what is cut off.
func TestCutOfAGiant(t *testing.T) {
	p := textPlan(t, letters(), schema.Options{}, func(o *Options) { o.BeforeImage = BeforeImage{Enabled: true, ColumnFilter: FilterAll} })
	giant := strings.Repeat("é", 8<<20)
	r := letterRow("s", giant, "o", "w", giant, "{}", "n")
	least, likely := p.CutBounds(Update, r, r, 32<<10)
	if least < 4*32<<10 || likely > 1<<20 {
		t.Errorf("bounds are %d and %d", least, likely)
	}
	got, err := p.AppendCut(nil, Update, r, r, stamp(), 32<<10)
	if err != nil || !json.Valid(got) || len(got) < least || cap(got) > 1<<20 {
		t.Errorf("%d bytes in a buffer of %d, at least %d were said, %v", len(got), cap(got), least, err)
	}
}

func TestSpilledRecord(t *testing.T) {
	at := Spilled{Location: "s3://bucket/oversized/tickets/post/letter/" + strings.Repeat("ab", 32) + ".json", Bytes: 4_000_000, SHA256: strings.Repeat("ab", 32)}
	r := letterRow("a slug", "body", "old", "", "scan", "{}", "note")
	keyless := letters()
	keyless.Key, keyless.KeyKind = nil, schema.NoKey
	for name, c := range map[string]struct {
		op    Operation
		table *schema.Table
		stamp *Stamp
	}{
		"update": {Update, letters(), stamp()}, "delete": {Delete, letters(), stamp()}, "keyless": {Insert, keyless, stamp()},
		"load": {Load, letters(), &Stamp{Time: builtAt, Term: 5, Epoch: 4, Sequence: 3}},
	} {
		for _, format := range []Format{JSON, JSONUnformatted} {
			p := textPlan(t, c.table, schema.Options{}, func(o *Options) {
				o.Format, o.IncludePartitionValue, o.BeforeImage = format, true, BeforeImage{Enabled: true, ColumnFilter: FilterAll}
			})
			got, err := p.AppendSpilled([]byte("kept"), c.op, r, c.stamp, at)
			if err != nil || string(got[:4]) != "kept" {
				t.Fatal(err)
			}
			golden(t, "spilled-"+format.String()+"-"+name+".json", got[4:])
			back, ok := ParseSpilled(got[4:])
			if !ok || back != at {
				t.Errorf("%s reads back as %+v, %t", name, back, ok)
			}
			var before [][]byte
			if c.op == Update {
				before = r
			}
			whole, err := p.Append(nil, c.op, r, before, c.stamp)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := mustParse(t, got[4:]), mustParse(t, whole); a != b {
				t.Errorf("%s says %+v, the whole record %+v", name, a, b)
			}
			mark, err := ParseMark(got[4:])
			wholeMark, _ := ParseMark(whole)
			if err != nil || mark.Position != wholeMark.Position || mark.Term != wholeMark.Term || mark.Sequence != wholeMark.Sequence || !bytes.Equal(mark.GTID, wholeMark.GTID) {
				t.Errorf("%s is marked %+v, the whole record %+v, %v", name, mark, wholeMark, err)
			}
			if _, ok := ParseSpilled(whole); ok {
				t.Error("a whole record refers to another one")
			}
		}
	}
}

func mustParse(t *testing.T, data []byte) Header {
	t.Helper()
	h, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Data that is cut afterwards is the data of a record that was cut when it was made, in either format, however often.
func TestCutData(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune{'a', '"', '\\', '\n', 0, 0x1f, 'é', '日', '😀'}), 0, 80, -1)
		most := rapid.IntRange(1, 40).Draw(rt, "most")
		p := textPlan(t, letters(), schema.Options{NoHexPrefix: rapid.Bool().Draw(rt, "bare")}, func(o *Options) {
			o.Format = rapid.SampledFrom([]Format{JSON, JSONUnformatted}).Draw(rt, "format")
		})
		r := letterRow(text.Draw(rt, "slug"), text.Draw(rt, "body"), "äöü", text.Draw(rt, "wide"), string(rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(rt, "scan")), `{"a": "b\n"}`, text.Draw(rt, "note"))
		data := func(record []byte, err error) []byte {
			if err != nil {
				rt.Fatal(err)
			}
			parts, err := Split(record)
			if err != nil {
				rt.Fatal(err)
			}
			return parts.Data
		}
		want := data(p.AppendCut(nil, Load, r, nil, stamp(), most))
		got, err := p.CutData(nil, data(p.Append(nil, Load, r, nil, stamp())), most)
		if err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("cut to %d bytes: %s, %v, want %s", most, got, err, want)
		}
		if again, err := p.CutData(nil, got, most); err != nil || !bytes.Equal(again, want) {
			rt.Fatalf("cut again: %s, %v, want %s", again, err, want)
		}
	})
}
