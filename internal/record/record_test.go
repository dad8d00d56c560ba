package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

var update = flag.Bool("update", false, "write the golden files anew")

// jsonCodec is a codec for rows whose values are JSON already.
type jsonCodec struct{}

func (jsonCodec) AppendJSON(dst []byte, _ int, v []byte) ([]byte, error) {
	if string(v) == "broken" {
		return append(dst, "half"...), errBroken
	}
	return append(dst, v...), nil
}

var errBroken = errors.New("the value is broken")

// row is a row of JSON values; "" is NULL.
func row(values ...string) [][]byte {
	r := make([][]byte, len(values))
	for i, v := range values {
		if v != "" {
			r[i] = []byte(v)
		}
	}
	return r
}

// players is a table with a composite key that is not its first columns, odd names, and a LOB.
func players() *schema.Table {
	return &schema.Table{
		Schema: "dms_sample", Name: "player",
		Columns: []schema.Column{
			{Name: "name", Type: schema.VarChar, ColumnType: "varchar(30)", Length: 30, Nullable: true, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"},
			{Name: "id", Type: schema.BigInt, ColumnType: "bigint unsigned", Unsigned: true},
			{Name: "team \"A\"\t/é", Type: schema.VarChar, ColumnType: "varchar(10)", Length: 10, Charset: "utf8mb4", Collation: "utf8mb4_bin"},
			{Name: "pay", Type: schema.Decimal, ColumnType: "decimal(10,2)", Precision: 10, Scale: 2, Nullable: true},
			{Name: "metadata", Type: schema.JSON, ColumnType: "json", Nullable: true},
		},
		Key: []int{2, 1}, KeyKind: schema.PrimaryKey, Collation: "utf8mb4_0900_ai_ci",
	}
}

var (
	builtAt     = time.Date(2019, 10, 31, 22, 53, 59, 721201999, time.UTC)
	committedAt = time.Date(2019, 10, 31, 23, 53, 55, 0, time.FixedZone("CET", 3600))
)

// stamp is the stamp of the documentation's sample record, with our own keys.
func stamp() *Stamp {
	return &Stamp{
		Time: builtAt, Tx: &Transaction{ID: 9324410911751, GTID: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23", CommitTime: committedAt},
		RecordID: 1, PrevTxID: 9324410910341, PrevTxRecordID: 10,
		Place: Place{File: "mysql-bin-changelog.002171", TableMapStart: 36912209, EventStart: 36912271, EventEnd: 36912333},
		Term:  1572562000, Epoch: 1572000000, Sequence: 42,
	}
}

// dms is the stamp as DMS would know it.
func dms() *Stamp {
	s := stamp()
	s.Tx.GTID, s.Term, s.Epoch, s.Sequence = "", 0, 0, 0
	return s
}

func plan(t testing.TB, table *schema.Table, change ...func(*Options)) *Plan {
	t.Helper()
	o := DefaultOptions("TASK")
	for _, c := range change {
		c(&o)
	}
	p, err := NewPlan(table, jsonCodec{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func pretty(o *Options) { o.Format = JSON }

func appendRecord(t testing.TB, p *Plan, op Operation, r, before [][]byte, s *Stamp) []byte {
	t.Helper()
	b, err := p.Append(nil, op, r, before, s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// golden compares got with a file under testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if !json.Valid(got) {
		t.Errorf("not JSON: %s", got)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", path, got, want)
	}
}

// TestPublishedRecords rebuilds records that others have published, byte for byte.
func TestPublishedRecords(t *testing.T) {
	employees := &schema.Table{Schema: "employees", Name: "employees", KeyKind: schema.PrimaryKey, Key: []int{0}}
	for _, name := range []string{"emp_no", "birth_date", "first_name", "last_name", "gender", "hire_date"} {
		employees.Columns = append(employees.Columns, schema.Column{Name: name})
	}
	load := appendRecord(t, plan(t, employees, pretty), Load,
		row("67147", `"1959-04-05"`, `"Yucai"`, `"Krider"`, `"F"`, `"1990-12-07"`), nil,
		&Stamp{Time: time.Date(2019, 10, 9, 12, 4, 0, 209212000, time.UTC)})
	published, err := os.ReadFile(filepath.Join("testdata", "published-load.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(load, published) {
		t.Errorf("got  %q\nwant %q", load, published)
	}

	sbtest := &schema.Table{Schema: "sbtest", Name: "sbtest_x", KeyKind: schema.PrimaryKey, Key: []int{0},
		Columns: []schema.Column{{Name: "id"}, {Name: "fname"}, {Name: "lname"}, {Name: "REGION"}}}
	insert := appendRecord(t, plan(t, sbtest, func(o *Options) { o.IncludePartitionValue, o.PartitionIncludeSchemaTable = true, true }),
		Insert, row("100000161", `"val61s"`, `"val61s"`, `"val61s"`), nil, dms())
	const want = `{"data":{"id":100000161,"fname":"val61s","lname":"val61s","REGION":"val61s"},` +
		`"metadata":{"timestamp":"2019-10-31T22:53:59.721201Z","record-type":"data","operation":"insert",` +
		`"partition-key-type":"primary-key","partition-key-value":"sbtest.sbtest_x.100000161","schema-name":"sbtest","table-name":"sbtest_x",` +
		`"transaction-id":9324410911751,"transaction-record-id":1,"prev-transaction-id":9324410910341,"prev-transaction-record-id":10,` +
		`"commit-timestamp":"2019-10-31T22:53:55.000000Z",` +
		`"stream-position":"mysql-bin-changelog.002171:36912271:0:36912333:9324410911751:mysql-bin-changelog.002171:36912209"}}` + "\n"
	if string(insert) != want {
		t.Errorf("got  %s\nwant %s", insert, want)
	}

	o := Options{Format: JSONUnformatted, PartitionKeyType: KeyPrimaryKey, TaskID: "TASK"}
	control := AppendControl(nil, Control{Operation: CreateTable, Table: "awsdms_apply_exceptions",
		Time: time.Date(2021, 2, 18, 23, 9, 9, 509179000, time.UTC)}, o)
	const wantControl = `{"metadata":{"timestamp":"2021-02-18T23:09:09.509179Z","record-type":"control","operation":"create-table",` +
		`"partition-key-type":"task-id","schema-name":"","table-name":"awsdms_apply_exceptions"}}` + "\n"
	if string(control) != wantControl {
		t.Errorf("got  %s\nwant %s", control, wantControl)
	}
}

func TestGoldenData(t *testing.T) {
	full := row(`"Ann \"Wheels\" \/ O'Neil"`, "7", `""`, "46.5", `"{\"metadata\": {\"timestamp\": 1}}"`)
	sparse := row("", "7", `"x"`, "", "")
	everything := func(o *Options) {
		o.IncludePartitionValue, o.PartitionIncludeSchemaTable, o.IncludeNullAndEmpty = true, true, true
		o.BeforeImage = BeforeImage{Enabled: true, FieldName: "before-image", ColumnFilter: FilterAll}
	}
	bare := func(o *Options) { o.IncludeTransactionDetails, o.IncludeGTID = false, false }
	for _, form := range []struct {
		name   string
		change func(*Options)
		stamp  *Stamp
	}{{"default", func(*Options) {}, stamp()}, {"everything", everything, stamp()}, {"bare", bare, dms()}} {
		for _, format := range []Format{JSON, JSONUnformatted} {
			p := plan(t, players(), form.change, func(o *Options) { o.Format = format })
			for _, c := range []struct {
				op     Operation
				row    [][]byte
				before [][]byte
			}{{Load, full, nil}, {Insert, full, nil}, {Update, sparse, full}, {Delete, sparse, nil}} {
				name := fmt.Sprintf("%s-%s-%s.json", form.name, format, c.op)
				golden(t, name, appendRecord(t, p, c.op, c.row, c.before, form.stamp))
			}
		}
	}
	nothing := &schema.Table{Schema: "s", Name: "t", Columns: []schema.Column{{Name: "a"}}}
	beforeNothing := func(o *Options) { o.BeforeImage = BeforeImage{Enabled: true} }
	golden(t, "empty-objects.json", appendRecord(t, plan(t, nothing, pretty, beforeNothing), Update, row(""), row("1"), dms()))
}

// TestNullAndEmpty says which columns are left out: NULL ones, those that show as null; never empty strings.
func TestNullAndEmpty(t *testing.T) {
	table := &schema.Table{Schema: "s", Name: "t", Columns: []schema.Column{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}, {Name: "e"}}}
	r := row("", "null", `""`, "", "0")
	data := func(b []byte) string {
		_, rest, _ := bytes.Cut(b, []byte(`"data":`))
		d, _, _ := bytes.Cut(rest, []byte(`,"metadata"`))
		return string(d)
	}
	if got := data(appendRecord(t, plan(t, table), Load, r, nil, stamp())); got != `{"c":"","e":0}` {
		t.Errorf("data = %s", got)
	}
	with := plan(t, table, func(o *Options) { o.IncludeNullAndEmpty = true })
	if got := data(appendRecord(t, with, Load, r, nil, stamp())); got != `{"a":null,"b":null,"c":"","d":null,"e":0}` {
		t.Errorf("data with nulls = %s", got)
	}
}

func TestBeforeImageColumns(t *testing.T) {
	table := players()
	table.Columns = append(table.Columns,
		schema.Column{Name: "note", Type: schema.Text, Length: 65535}, schema.Column{Name: "essay", Type: schema.Text, Length: 1<<24 - 1},
		schema.Column{Name: "thumb", Type: schema.Blob, Length: 255}, schema.Column{Name: "photo", Type: schema.Blob, Length: 1<<32 - 1},
		schema.Column{Name: "home", Type: schema.Geometry})
	r := row("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	for filter, want := range map[ColumnFilter]string{
		0:            `{"id":1,"team \"A\"\t/é":2}`,
		FilterPKOnly: `{"id":1,"team \"A\"\t/é":2}`,
		FilterNonLOB: `{"name":0,"id":1,"team \"A\"\t/é":2,"pay":3,"note":5,"thumb":7}`,
		FilterAll:    `{"name":0,"id":1,"team \"A\"\t/é":2,"pay":3,"metadata":4,"note":5,"essay":6,"thumb":7,"photo":8,"home":9}`,
	} {
		p := plan(t, table, func(o *Options) { o.BeforeImage = BeforeImage{Enabled: true, FieldName: "was", ColumnFilter: filter} })
		got := appendRecord(t, p, Update, r, r, stamp())
		if want := `},"was":` + want + `,"metadata":`; !bytes.Contains(got, []byte(want)) {
			t.Errorf("filter %v: %s does not contain %s", filter, got, want)
		}
		if b := appendRecord(t, p, Delete, r, r, stamp()); bytes.Contains(b, []byte(`"was"`)) {
			t.Errorf("a delete has a before-image: %s", b)
		}
	}
}

func TestAppendErrors(t *testing.T) {
	with := func(o *Options) { o.BeforeImage.Enabled = true }
	good := row("1", "2", "3", "4", "5")
	for _, c := range []struct {
		name        string
		op          Operation
		row, before [][]byte
		stamp       *Stamp
		want        string
	}{
		{"no operation", 0, good, nil, stamp(), "no such operation"},
		{"no transaction", Insert, good, nil, &Stamp{}, "no transaction"},
		{"short row", Insert, good[:4], nil, stamp(), "has 4 columns, its table definition has 5"},
		{"no before-image", Update, good, nil, stamp(), "before-image: row of dms_sample.player has 0 columns"},
		{"codec", Insert, row("broken", "2", "3", "", ""), nil, stamp(), "build insert record of dms_sample.player: the value is broken"},
		{"codec in the before-image", Update, good, row("", "2", "broken", "", ""), stamp(), "before-image: the value is broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := plan(t, players(), with).Append([]byte("kept"), c.op, c.row, c.before, c.stamp)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q", err, c.want)
			}
			if string(got) != "kept" {
				t.Errorf("dst = %q", got)
			}
		})
	}
}

func TestOptionsFaults(t *testing.T) {
	o := Options{PartitionKeyType: KeyConstant, BeforeImage: BeforeImage{Enabled: true, FieldName: "data", ColumnFilter: 9}}
	err := o.Validate()
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{"message format", "constant", `"data" is taken`, "column filter 9", "task id"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %q", err, want)
		}
	}
	if _, err := NewPlan(players(), jsonCodec{}, o); err == nil {
		t.Error("a plan was made of faulty options")
	}
	good := DefaultOptions("T")
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	attribute := DefaultOptions("T")
	attribute.PartitionKeyType, attribute.PartitionKeyName = KeyAttributeName, "colour"
	if _, err := NewPlan(players(), jsonCodec{}, attribute); err == nil || !strings.Contains(err.Error(), `no column "colour"`) {
		t.Errorf("a plan with a key column that is not there: %v", err)
	}
}

func TestSpellings(t *testing.T) {
	for s, want := range map[string]Format{"json": JSON, "JSON": JSON, "json-unformatted": JSONUnformatted, "JSON_UNFORMATTED": JSONUnformatted, "Json_Unformatted": JSONUnformatted} {
		if got, err := ParseFormat(s); err != nil || got != want {
			t.Errorf("ParseFormat(%s) = %v, %v", s, got, err)
		}
	}
	for k := KeyPrimaryKey; k <= KeyAttributeName; k++ {
		if got, err := ParseKeyType(k.String()); err != nil || got != k {
			t.Errorf("ParseKeyType(%v) = %v, %v", k, got, err)
		}
	}
	for f := FilterPKOnly; f <= FilterAll; f++ {
		if got, err := ParseColumnFilter(f.String()); err != nil || got != f {
			t.Errorf("ParseColumnFilter(%v) = %v, %v", f, got, err)
		}
	}
	for _, parse := range []func(string) error{
		func(s string) error { _, err := ParseFormat(s); return err },
		func(s string) error { _, err := ParseKeyType(s); return err },
		func(s string) error { _, err := ParseColumnFilter(s); return err },
	} {
		if err := parse("xml"); err == nil || !strings.Contains(err.Error(), `"xml" is unknown: use`) {
			t.Errorf("error = %v", err)
		}
	}
}

func TestAllocations(t *testing.T) {
	r := row(`"Ann"`, "7", `"a\nb"`, "46.5", `"{}"`)
	s := stamp()
	buf := make([]byte, 0, 1<<16)
	for _, c := range []struct {
		name   string
		change func(*Options)
		op     Operation
	}{
		{"insert", func(*Options) {}, Insert},
		{"load", pretty, Load},
		{"update with everything", func(o *Options) {
			o.IncludePartitionValue, o.PartitionIncludeSchemaTable, o.IncludeNullAndEmpty = true, true, true
			o.BeforeImage = BeforeImage{Enabled: true, ColumnFilter: FilterAll}
		}, Update},
	} {
		p := plan(t, players(), c.change)
		n := testing.AllocsPerRun(100, func() {
			s.Place.Row++
			b, err := p.Append(buf[:0], c.op, r, r, s)
			if err == nil {
				b, err = p.AppendPartitionKey(b, r, s)
			}
			if err == nil {
				_, err = p.AppendRowKey(b, r)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations per record", c.name, n)
		}
	}
	long := row(`"Ann"`, "7", `"`+strings.Repeat("k", 300)+`"`, "", "")
	p := plan(t, players())
	if n := testing.AllocsPerRun(100, func() { _, _ = p.AppendPartitionKey(buf[:0], long, s) }); n != 0 {
		t.Errorf("long key: %v allocations", n)
	}
	rec := appendRecord(t, p, Insert, r, nil, s)
	if n := testing.AllocsPerRun(100, func() {
		h, err := Parse(rec)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Position(); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("Parse: %v allocations per record", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	p := plan(b, players())
	r := row(`"Ann"`, "7", `"abc"`, "46.5", "")
	for name, memo := range map[string]*Memo{"plain": nil, "memo": {}} {
		b.Run(name, func(b *testing.B) {
			s := stamp()
			s.Memo = memo
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				s.RecordID++
				s.Place.Row++
				buf, _ = p.Append(buf[:0], Insert, r, nil, s)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkParse(b *testing.B) {
	rec := appendRecord(b, plan(b, players()), Insert, row(`"Ann"`, "7", `"abc"`, "46.5", ""), nil, stamp())
	b.ReportAllocs()
	b.SetBytes(int64(len(rec)))
	for b.Loop() {
		if _, err := Parse(rec); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseMark(b *testing.B) {
	rec := appendRecord(b, plan(b, players()), Insert, row(`"Ann"`, "7", `"abc"`, "46.5", ""), nil, stamp())
	b.ReportAllocs()
	b.SetBytes(int64(len(rec)))
	for b.Loop() {
		if _, err := ParseMark(rec); err != nil {
			b.Fatal(err)
		}
	}
}

// TestUnloggedColumns: a column that the log does not always have is in no record, whatever a row holds.
func TestUnloggedColumns(t *testing.T) {
	table := &schema.Table{Schema: "s", Name: "t", Columns: []schema.Column{
		{Name: "g", Type: schema.Int, Unlogged: true}, {Name: "id", Type: schema.Int}, {Name: "h", Type: schema.Int, Unlogged: true},
	}}
	p := plan(t, table, func(o *Options) {
		o.IncludeNullAndEmpty = true
		o.BeforeImage = BeforeImage{Enabled: true, ColumnFilter: FilterAll}
	})
	with, without := [][]byte{[]byte("1"), []byte("2"), []byte("3")}, [][]byte{nil, []byte("2"), nil}
	a, b := appendRecord(t, p, Update, with, with, stamp()), appendRecord(t, p, Update, without, without, stamp())
	if !bytes.Equal(a, b) || !bytes.HasPrefix(a, []byte(`{"data":{"id":2},"before-image":{"id":2},`)) {
		t.Errorf("got\n%s and\n%s", a, b)
	}
	x, err := p.AppendRowKey(nil, with)
	if y, err2 := p.AppendRowKey(nil, without); err != nil || err2 != nil || !bytes.Equal(x, y) {
		t.Errorf("row keys %s and %s, %v, %v", x, y, err, err2)
	}
	o := DefaultOptions("TASK")
	o.PartitionKeyType, o.PartitionKeyName = KeyAttributeName, "g"
	if _, err := NewPlan(table, jsonCodec{}, o); err == nil {
		t.Error("the partition key can be taken from it")
	}
}
