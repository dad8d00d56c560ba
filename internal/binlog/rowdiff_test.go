package binlog

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// diffColumn is a column as a table map describes it, and a maker of random values as a row image has them.
type diffColumn struct {
	columnType string
	typ        byte
	meta       []byte
	random     func(r *rand.Rand) []byte
}

func anyBytes(n int) func(*rand.Rand) []byte {
	return func(r *rand.Rand) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = []byte{0, 0xff, 0x80, 0x7f, byte(r.Uint32())}[r.IntN(5)]
		}
		return b
	}
}

// lengthed puts a length of so many bytes in front of text.
func lengthed(prefix, most int) func(*rand.Rand) []byte {
	return func(r *rand.Rand) []byte {
		var text []byte
		for n := r.IntN(most); len(text) < n; {
			text = append(text, []string{"a", "\"", "\\", "\n", "\x00", " ", "é", "日", "\U0001F600", "/", "\x7f"}[r.IntN(11)]...)
		}
		for len(text) > most {
			text = nil
		}
		return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))[:prefix], text...)
	}
}

// decimalBytes packs random digits: groups of nine in four bytes, fewer in fewer, those in front of the point first.
func decimalBytes(precision, scale int) func(*rand.Rand) []byte {
	sizes := []int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}
	return func(r *rand.Rand) []byte {
		var b []byte
		group := func(digits int) {
			most := uint64(math.Pow10(digits))
			v := []uint64{0, most - 1, r.Uint64N(most)}[r.IntN(3)]
			b = append(b, binary.BigEndian.AppendUint64(nil, v)[8-sizes[digits]:]...)
		}
		whole := precision - scale
		if whole%9 > 0 {
			group(whole % 9)
		}
		for range whole / 9 {
			group(9)
		}
		for range scale / 9 {
			group(9)
		}
		if scale%9 > 0 {
			group(scale % 9)
		}
		if r.IntN(2) == 0 {
			for i := range b {
				b[i] ^= 0xff
			}
		}
		b[0] ^= 0x80
		return b
	}
}

// diffColumns has a column of every type that the client library decodes, but JSON, which it prints in its own way.
var diffColumns = []diffColumn{
	{"tinyint", 1, nil, anyBytes(1)}, {"tinyint unsigned", 1, nil, anyBytes(1)}, {"smallint", 2, nil, anyBytes(2)}, {"smallint unsigned", 2, nil, anyBytes(2)},
	{"mediumint", 9, nil, anyBytes(3)}, {"mediumint unsigned", 9, nil, anyBytes(3)}, {"int", 3, nil, anyBytes(4)}, {"int unsigned", 3, nil, anyBytes(4)},
	{"bigint", 8, nil, anyBytes(8)}, {"bigint unsigned", 8, nil, anyBytes(8)},
	{"decimal(10,2)", 246, []byte{10, 2}, decimalBytes(10, 2)}, {"decimal(65,30)", 246, []byte{65, 30}, decimalBytes(65, 30)}, {"decimal(5,5)", 246, []byte{5, 5}, decimalBytes(5, 5)},
	{"decimal(18,0)", 246, []byte{18, 0}, decimalBytes(18, 0)}, {"decimal(27,9)", 246, []byte{27, 9}, decimalBytes(27, 9)},
	{"float", 4, []byte{4}, func(r *rand.Rand) []byte {
		return binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(r.NormFloat64()*math.Pow10(r.IntN(60)-30))))
	}},
	{"double", 5, []byte{8}, func(r *rand.Rand) []byte {
		return binary.LittleEndian.AppendUint64(nil, math.Float64bits(r.NormFloat64()*math.Pow10(r.IntN(500)-250)))
	}},
	{"bit(1)", 16, []byte{1, 0}, func(r *rand.Rand) []byte { return []byte{byte(r.IntN(2))} }},
	{"bit(12)", 16, []byte{4, 1}, func(r *rand.Rand) []byte { return []byte{byte(r.IntN(16)), byte(r.Uint32())} }},
	{"bit(64)", 16, []byte{0, 8}, anyBytes(8)},
	{"date", 10, nil, func(r *rand.Rand) []byte {
		return binary.LittleEndian.AppendUint32(nil, uint32(r.IntN(10000)<<9|r.IntN(13)<<5|r.IntN(32)))[:3]
	}},
	{"datetime", 18, []byte{0}, dateTimeBytes(0)}, {"datetime(3)", 18, []byte{3}, dateTimeBytes(3)}, {"datetime(6)", 18, []byte{6}, dateTimeBytes(6)},
	{"timestamp", 17, []byte{0}, anyBytes(4)}, {"timestamp(2)", 17, []byte{2}, fractioned(anyBytes(4), 2)}, {"timestamp(6)", 17, []byte{6}, fractioned(anyBytes(4), 6)},
	{"time", 19, []byte{0}, timeBytes(0)}, {"time(2)", 19, []byte{2}, timeBytes(2)}, {"time(4)", 19, []byte{4}, timeBytes(4)}, {"time(6)", 19, []byte{6}, timeBytes(6)},
	{"year", 13, nil, anyBytes(1)},
	{"char(5)", 254, []byte{254, 20}, lengthed(1, 20)}, {"char(100)", 254, []byte{0xee, 0x90}, lengthed(2, 400)},
	{"varchar(63)", 15, []byte{252, 0}, lengthed(1, 252)}, {"varchar(64)", 15, []byte{0, 1}, lengthed(2, 256)},
	{"tinytext", 252, []byte{1}, lengthed(1, 255)}, {"text", 252, []byte{2}, lengthed(2, 300)}, {"mediumtext", 252, []byte{3}, lengthed(3, 300)}, {"longtext", 252, []byte{4}, lengthed(4, 300)},
	{"binary(8)", 254, []byte{254, 8}, lengthed(1, 8)}, {"varbinary(300)", 15, []byte{0x2c, 1}, lengthed(2, 300)}, {"blob", 252, []byte{2}, lengthed(2, 300)}, {"geometry", 255, []byte{4}, lengthed(4, 60)},
	{"vector(3)", 242, []byte{4}, lengthed(4, 12)},
	{"enum('a','b','c')", 254, []byte{247, 1}, func(r *rand.Rand) []byte { return []byte{byte(r.IntN(4))} }},
	{"set('a','b','c')", 254, []byte{248, 1}, func(r *rand.Rand) []byte { return []byte{byte(r.IntN(8))} }},
}

// fractioned puts a random fraction behind a value.
func fractioned(whole func(*rand.Rand) []byte, digits int) func(*rand.Rand) []byte {
	return func(r *rand.Rand) []byte { return append(whole(r), fraction(r, digits)...) }
}

func fraction(r *rand.Rand, digits int) []byte {
	size := (digits + 1) / 2
	n := []uint64{0, 1, r.Uint64N(uint64(math.Pow10(digits)))}[r.IntN(3)]
	if digits%2 == 1 {
		n = n / 10 * 10 // the last digit of the last byte is not the column's
	}
	return binary.BigEndian.AppendUint64(nil, n)[8-size:]
}

func dateTimeBytes(digits int) func(*rand.Rand) []byte {
	return fractioned(func(r *rand.Rand) []byte {
		ymd := uint64(r.IntN(10000)*13+r.IntN(13))<<5 | uint64(r.IntN(32))
		hms := uint64(r.IntN(24))<<12 | uint64(r.IntN(60))<<6 | uint64(r.IntN(60))
		return binary.BigEndian.AppendUint64(nil, ymd<<17|hms|1<<39)[3:]
	}, digits)
}

// timeBytes packs a time with its fraction behind it as one number, offset so that negative ones sort first.
func timeBytes(digits int) func(*rand.Rand) []byte {
	size := (digits + 1) / 2
	return func(r *rand.Rand) []byte {
		n := int64(r.IntN(839)<<12|r.IntN(60)<<6|r.IntN(60)) << (8 * size)
		if size > 0 {
			n |= int64(binary.BigEndian.Uint64(append(make([]byte, 8-size), fraction(r, digits)...)))
		}
		if r.IntN(2) == 0 {
			n = -n
		}
		return binary.BigEndian.AppendUint64(nil, uint64(n+0x800000<<(8*size)))[8-3-size:]
	}
}

// diffEvent is an event that inserts random rows, with the table that it is of and its table map.
type diffEvent struct {
	table    *schema.Table
	tableMap []byte
	body     []byte
	image    int // where in body the rows begin
}

func randomEvent(t testing.TB, r *rand.Rand, rows int) diffEvent {
	t.Helper()
	table := &schema.Table{Schema: "d", Name: "t"}
	var types, meta, signs, image []byte
	numeric := 0
	for i, c := range diffColumns {
		column, err := schema.ParseColumnType(c.columnType)
		if err != nil {
			t.Fatal(err)
		}
		column.Name = fmt.Sprint("c", i)
		if column.Type >= schema.Char && column.Type <= schema.Text || column.Type == schema.Enum || column.Type == schema.Set {
			column.Charset = "utf8mb4"
		}
		table.Columns = append(table.Columns, column)
		types, meta = append(types, c.typ), append(meta, c.meta...)
		if isNumber(column.Type) || column.Type == schema.Year {
			if numeric%8 == 0 {
				signs = append(signs, 0)
			}
			if column.Unsigned {
				signs[numeric/8] |= 0x80 >> (numeric % 8)
			}
			numeric++
		}
	}
	width := (len(types) + 7) / 8
	for range rows {
		nulls := make([]byte, width)
		row := []byte{}
		for i, c := range diffColumns {
			if r.IntN(10) == 0 {
				nulls[i/8] |= 1 << (i % 8)
				continue
			}
			row = append(row, c.random(r)...)
		}
		image = append(append(image, nulls...), row...)
	}
	present := []byte(strings.Repeat("\xff", width))
	tableMap := append([]byte{7, 0, 0, 0, 0, 0, 1, 0, 1, 'd', 0, 1, 't', 0, byte(len(types))}, types...)
	tableMap = append(append(tableMap, byte(len(meta))), meta...)
	tableMap = append(append(tableMap, present...), replication.TABLE_MAP_OPT_META_SIGNEDNESS, byte(len(signs)))
	tableMap = append(tableMap, signs...)
	body := append([]byte{7, 0, 0, 0, 0, 0, 1, 0, 2, 0, byte(len(types))}, present...)
	return diffEvent{table, tableMap, append(body, image...), len(body)}
}

// theirs are the event's rows as the client library decodes them. It panics where it finds something that it cannot.
func (e *diffEvent) theirs(t testing.TB, d *tableMapDecoder) (rows [][]any, err error) {
	t.Helper()
	d.parser.SetTimestampStringLocation(time.UTC)
	if _, err := d.parser.Parse(withHeader(replication.TABLE_MAP_EVENT, e.tableMap)); err != nil {
		t.Fatal(err)
	}
	defer rescue(&err)
	parsed, err := d.parser.Parse(withHeader(replication.WRITE_ROWS_EVENTv2, e.body))
	if err != nil {
		return nil, err
	}
	return parsed.Event.(*replication.RowsEvent).Rows, nil
}

// ours are the event's rows as the product renders them, as many as it can read: the JSON of each value, and an error for
// each that it refuses.
func (e *diffEvent) ours(t testing.TB, d *tableMapDecoder) (rows [][]diffValue, err error) {
	t.Helper()
	m, err := d.decode(e.tableMap[6:])
	if err != nil {
		t.Fatal(err)
	}
	layout, err := schema.NewImageLayout(e.table, m.ColumnType, m.ColumnMeta, schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseRows(replication.WRITE_ROWS_EVENTv2, e.body, &inflater{limit: defaultLimits.event})
	if err != nil || h.columns != len(e.table.Columns) {
		return nil, cmp.Or(err, ErrCorrupt)
	}
	r := &Rows{Table: e.table, Layout: layout, Op: h.op, image: h.image, present: h.present}
	for r.Next() {
		row := make([]diffValue, len(r.After))
		for i, v := range r.After {
			row[i].json = "null"
			if v != nil {
				out, err := layout.AppendJSON(nil, i, v)
				row[i] = diffValue{string(out), err}
			}
		}
		rows = append(rows, row)
	}
	return rows, r.Err()
}

type diffValue struct {
	json string
	err  error
}

// TestRowsAgainstClientLibrary decodes random rows with the client library's decoder and with ours.
func TestRowsAgainstClientLibrary(t *testing.T) {
	const rows = 400
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	e := randomEvent(t, rand.New(rand.NewPCG(seed, 1)), rows)
	d, err := newTableMapDecoder(readRowEvents(t)[0].format)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := e.ours(t, d)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := e.theirs(t, d)
	if err != nil {
		t.Fatal(err)
	}
	if len(theirs) != rows || len(ours) != rows {
		t.Fatalf("%d and %d rows", len(theirs), len(ours))
	}
	for i := range rows {
		for j, v := range ours[i] {
			if v.err != nil {
				t.Errorf("row %d, %s: %v", i, diffColumns[j].columnType, v.err)
				continue
			}
			if want := expected(&e.table.Columns[j], theirs[i][j]); !sameJSON(v.json, want) {
				t.Errorf("row %d, %s: %s, the library has %v, which is %s", i, diffColumns[j].columnType, v.json, theirs[i][j], want)
			}
		}
	}
}

// sameAsTheirs holds the values of an event's rows, as far as both decoders take them, against each other. It says how many
// rows that were, and how many of their values ours refused: the library takes values that no server writes.
func (e *diffEvent) sameAsTheirs(t testing.TB, d *tableMapDecoder) (rows, refused int) {
	t.Helper()
	ours, _ := e.ours(t, d)
	theirs, err := e.theirs(t, d)
	if err != nil {
		return 0, 0
	}
	rows = min(len(ours), len(theirs))
	for i := range rows {
		for j, v := range ours[i] {
			if v.err != nil {
				refused++
				continue
			}
			if want := expected(&e.table.Columns[j], theirs[i][j]); !sameJSON(v.json, want) {
				t.Errorf("row %d, %s: %s, the library has %v, which is %s", i, diffColumns[j].columnType, v.json, theirs[i][j], want)
			}
		}
	}
	return rows, refused
}

// TestDamagedRowsAgainstClientLibrary changes some bits of such events: what both decoders take, they must take for the
// same values.
func TestDamagedRowsAgainstClientLibrary(t *testing.T) {
	const events, rowsEach = 400, 3
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	d, err := newTableMapDecoder(readRowEvents(t)[0].format)
	if err != nil {
		t.Fatal(err)
	}
	rows, refused := 0, 0
	for range events {
		e := randomEvent(t, r, rowsEach)
		for range 1 + r.IntN(3) {
			e.body[e.image+r.IntN(len(e.body)-e.image)] ^= 1 << r.IntN(8)
		}
		n, bad := e.sameAsTheirs(t, d)
		rows, refused = rows+n, refused+bad
	}
	if rows < events*rowsEach/2 || refused == 0 {
		t.Errorf("only %d rows were compared, %d values of them refused: this test sees nothing", rows, refused)
	}
}

// FuzzRowsAgainstClientLibrary damages such events in any way.
func FuzzRowsAgainstClientLibrary(f *testing.F) {
	format := readRowEvents(f)[0].format
	for seed := range uint64(4) {
		f.Add(seed, []byte{})
		f.Add(seed, []byte{byte(40 * seed), 0, 1, 200, byte(seed), 0x80, 3, 1, 0xff})
	}
	f.Fuzz(func(t *testing.T, seed uint64, damage []byte) {
		e := randomEvent(t, rand.New(rand.NewPCG(seed, 1)), 3)
		rows := e.body[e.image:]
		for ; len(damage) >= 3; damage = damage[3:] { // an offset, and what is done to the byte there
			rows[int(binary.LittleEndian.Uint16(damage))%len(rows)] ^= damage[2]
		}
		d, err := newTableMapDecoder(format)
		if err != nil {
			t.Fatal(err)
		}
		e.sameAsTheirs(t, d)
	})
}

// sameJSON compares numbers by value and everything else by its bytes.
func sameJSON(a, b string) bool {
	if a == b {
		return true
	}
	x, err := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err == nil && err2 == nil && x == y && strings.ContainsAny(a+b, "eE.")
}

// expected is the JSON of a value as the client library gives it.
func expected(c *schema.Column, v any) string {
	text := func(s string) string {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(s)
		return strings.TrimSuffix(b.String(), "\n")
	}
	if v == nil {
		return "null"
	}
	s := fmt.Sprint(v)
	switch c.Type {
	case schema.Decimal:
		if strings.Contains(s, ".") {
			s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
		}
		if s == "-0" {
			s = "0"
		}
		return s
	case schema.Float:
		return strconv.FormatFloat(float64(v.(float32)), 'g', -1, 64)
	case schema.Double:
		return strconv.FormatFloat(v.(float64), 'g', -1, 64)
	case schema.Bit:
		if c.Length == 1 {
			return map[string]string{"0": "false", "1": "true"}[s]
		}
		return fmt.Sprintf(`"0x%0*x"`, int(c.Length+7)/8*2, uint64(v.(int64)))
	case schema.Date, schema.DateTime, schema.Timestamp:
		if strings.Trim(s, "0-: .") == "" {
			return "null"
		}
		if c.Type == schema.Date {
			return text(s)
		}
		if c.Type == schema.Timestamp { // it takes the first second, which MariaDB has, for the zero date
			s = strings.Replace(s, "0000-00-00", "1970-01-01", 1)
		}
		return text(strings.Replace(s, " ", "T", 1) + "Z")
	case schema.Enum:
		return text([]string{"", "a", "b", "c"}[v.(int64)])
	case schema.Set:
		var labels []string
		for i, l := range c.Labels {
			if v.(int64)>>i&1 == 1 {
				labels = append(labels, l)
			}
		}
		return text(strings.Join(labels, ","))
	case schema.Binary:
		return fmt.Sprintf(`"0x%x%s"`, s, strings.Repeat("00", int(c.Length)-len(s)))
	case schema.VarBinary, schema.Blob, schema.Geometry, schema.Vector:
		return fmt.Sprintf(`"0x%x"`, v)
	case schema.Char, schema.VarChar:
		return text(s)
	case schema.Text:
		return text(string(v.([]byte)))
	case schema.Time:
		if c.FSP > 0 && !strings.Contains(s, ".") { // it leaves a fraction of zero out
			s += "." + strings.Repeat("0", int(c.FSP))
		}
		return text(s)
	}
	return s
}
