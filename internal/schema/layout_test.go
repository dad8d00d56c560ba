package schema

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// columnOf is a nullable column v of a type, utf8mb4 if it has characters.
func columnOf(t testing.TB, columnType string) Column {
	t.Helper()
	c, err := ParseColumnType(columnType)
	if err != nil {
		t.Fatal(err)
	}
	c.Name, c.Nullable = "v", true
	switch c.Type {
	case Char, VarChar, Text, Enum, Set:
		c.Charset = "utf8mb4"
	}
	return c
}

func tableOf(columns ...Column) *Table { return &Table{Schema: "shop", Name: "t", Columns: columns} }

// imageType is a column type with how a table map describes it.
type imageType struct {
	columnType string
	typ        byte
	meta       uint16
}

func imageLayout(t testing.TB, o Options, columns ...imageType) *ImageLayout {
	t.Helper()
	table := tableOf()
	var types []byte
	var metas []uint16
	for _, c := range columns {
		table.Columns = append(table.Columns, columnOf(t, c.columnType))
		types, metas = append(types, c.typ), append(metas, c.meta)
	}
	l, err := NewImageLayout(table, types, metas, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestImageValues(t *testing.T) {
	tests := []struct {
		column imageType
		image  string // behind the NULL bitmap
		want   string
	}{
		{imageType{"tinyint", 1, 0}, "\x80", `-128`},
		{imageType{"tinyint unsigned", 1, 0}, "\x80", `128`},
		{imageType{"mediumint", 9, 0}, "\x00\x00\x80", `-8388608`},
		{imageType{"mediumint unsigned", 9, 0}, "\xff\xff\xff", `16777215`},
		{imageType{"bigint", 8, 0}, "\xff\xff\xff\xff\xff\xff\xff\x7f", `9223372036854775807`},
		{imageType{"bigint unsigned", 8, 0}, strings.Repeat("\xff", 8), `18446744073709551615`},
		{imageType{"float", 4, 4}, "\x5c\x8f\xe2\x3f", `1.7699999809265137`},
		{imageType{"double", 5, 8}, "\x00\x00\x00\x00\x00\x00\x00\x80", `-0`},
		{imageType{"decimal(10,2)", 246, 10<<8 | 2}, "\x80\x00\x00\x2e\x32", `46.5`},
		{imageType{"decimal(10,2)", 246, 10<<8 | 2}, "\x7f\xff\xff\xd1\xff", `-46`},
		{imageType{"decimal(10,2)", 246, 10<<8 | 2}, "\x7f\xff\xff\xff\xff", `0`}, // a negative zero
		{imageType{"decimal(5,5)", 246, 5<<8 | 5}, "\x80\x00\x01", `0.00001`},
		{imageType{"bit(1)", 16, 1}, "\x01", `true`},
		{imageType{"bit(12)", 16, 1<<8 | 4}, "\x0a\xbc", `"0x0abc"`},
		{imageType{"year(4)", 13, 0}, "\x00", `0`},
		{imageType{"year(4)", 13, 0}, "\xff", `2155`},
		{imageType{"year(2)", 13, 0}, "\x76", `18`},
		{imageType{"date", 10, 0}, "\xa8\xc4\x0f", `"2018-05-08"`},
		{imageType{"date", 10, 0}, "\x00\x00\x00", `null`},
		{imageType{"datetime", 12, 0}, "\x40\xa1\x04\xa4\x5a\x12\x00\x00", `"2018-05-08T12:34:56Z"`},
		{imageType{"datetime", 12, 0}, "\x00\x00\x00\x00\x00\x00\x00\x00", `null`},
		{imageType{"timestamp", 7, 0}, "\x18\x4c\xf1\x5a", `"2018-05-08T07:04:56Z"`},
		{imageType{"timestamp", 7, 0}, "\x00\x00\x00\x00", `null`},
		{imageType{"time", 11, 0}, "\x40\xe2\x01", `"12:34:56"`},
		{imageType{"time", 11, 0}, "\xff\xff\xff", `"-00:00:01"`},
		{imageType{"time", 11, 0}, "\x59\x0a\x80", `"-838:59:59"`},
		{imageType{"time(2)", 19, 2}, "\x7f\xff\xff\xff", `"-00:00:00.01"`},
		{imageType{"char(3)", 254, 0xfe0c}, "\x02\"\x01", `"\"\u0001"`},
		{imageType{"char(255)", 254, 0xcefc}, "\x01\x00x", `"x"`}, // 1020 bytes, two bits of them in the type
		{imageType{"varchar(63)", 15, 252}, "\x01x", `"x"`},
		{imageType{"varchar(64)", 15, 256}, "\x01\x00x", `"x"`},
		{imageType{"binary(3)", 254, 0xfe03}, "\x01\xAB", `"0xab0000"`},
		{imageType{"mediumtext", 252, 3}, "\x02\x00\x00/\x7f", "\"/\x7f\""},
		{imageType{"longblob", 252, 4}, "\x00\x00\x00\x00", `"0x"`},
		{imageType{"enum('a','b\"')", 254, 0xf701}, "\x02", `"b\""`},
		{imageType{"enum('a')", 247, 0x01}, "\x00", `""`},
		{imageType{"set('a','b','c')", 254, 0xf801}, "\x05", `"a,c"`},
		{imageType{"json", 245, 4}, "\x00\x00\x00\x00", `"null"`},
		{imageType{"vector(1)", 242, 4}, "\x04\x00\x00\x00abcd", `"0x61626364"`},
		{imageType{"vector(1)", 15, 4}, "\x04abcd", `"0x61626364"`}, // MariaDB
		{imageType{"uuid", 254, 0xfe10}, "\x10\x6c\xcd\x78\x0c\xba\xba\x10\x26\x95\x64\x5b\x8c\x65\x60\x24\xdb", `"6ccd780c-baba-1026-9564-5b8c656024db"`},
		{imageType{"uuid", 254, 0xfe10}, "\x01\x01", `"01000000-0000-0000-0000-000000000000"`},
		{imageType{"inet4", 254, 0xfe04}, "\x03\xff\xff\xff", `"255.255.255.0"`},
		{imageType{"inet6", 254, 0xfe10}, "\x00", `"::"`},
		{imageType{"varchar(20) /*M!100301 COMPRESSED*/", 141, 81}, "\x03\x00\xc3\xa4", `"ä"`},
		{imageType{"varchar(20) /*M!100301 COMPRESSED*/", 141, 81}, "\x00", `""`},
		{imageType{"varbinary(300) /*M!100301 COMPRESSED*/", 141, 301}, "\x08\x00\x89\xc8\xab\xac\x1c\x1e\x00\x00", `"0x` + strings.Repeat("79", 200) + `"`},
		{imageType{"text /*M!100301 COMPRESSED*/", 140, 2}, "\x0f\x00\x8a\x01\xf4\x2b\x49\xad\x28\x51\x28\x19\x25\x46\x12\x01\x00", `"` + strings.Repeat("text ", 100) + `"`},
		{imageType{"blob /*M!100301 COMPRESSED*/", 140, 2}, "\x02\x00\x00x", `"0x78"`},
	}
	for _, tt := range tests {
		l := imageLayout(t, Options{}, tt.column)
		row, n, err := l.Split(nil, []byte("\x00"+tt.image+"rest"), []byte{1})
		if err != nil || n != 1+len(tt.image) {
			t.Errorf("%s %x: %d bytes read, %v", tt.column.columnType, tt.image, n, err)
			continue
		}
		got, err := l.AppendJSON([]byte("x"), 0, row[0])
		if err != nil || string(got) != "x"+tt.want {
			t.Errorf("%s %x: %s, %v, want %s", tt.column.columnType, tt.image, got, err, tt.want)
		}
	}
}

func TestTextValues(t *testing.T) {
	tests := []struct{ columnType, text, want string }{
		{"int(8) unsigned zerofill", "00000042", `42`},
		{"int", "-7", `-7`},
		{"bigint unsigned", "18446744073709551615", `18446744073709551615`},
		{"decimal(10,2) unsigned zerofill", "00000046.50", `46.5`},
		{"decimal(10,2)", "-0.00", `0`},
		{"decimal(10,2)", "-12.00", `-12`},
		{"float", "1.7699999809265137", `1.7699999809265137`},
		{"double", "1e20", `1e+20`},
		{"double", "1e-7", `1e-07`},
		{"double", "-0", `-0`},
		{"bit(1)", "\x00", `false`},
		{"bit(9)", "\x01\x00", `"0x0100"`},
		{"year(4)", "0000", `0`},
		{"date", "0000-00-00", `null`},
		{"date", "2018-00-00", `"2018-00-00"`},
		{"datetime(3)", "2018-05-08 01:02:03.450", `"2018-05-08T01:02:03.450Z"`},
		{"datetime(3)", "0000-00-00 00:00:00.000", `null`},
		{"time(1)", "-838:59:58.9", `"-838:59:58.9"`},
		{"varchar(9)", "a\"\\\b\f\n\r\t\x1f\x7f/é\U0001F600", `"a\"\\\b\f\n\r\t\u001f` + "\x7f/é\U0001F600\""},
		{"binary(3)", "\x01\xab\x00", `"0x01ab00"`},
		{"blob", "", `"0x"`},
		{"enum('a','b''\"')", "b'\"", `"b'\""`},
		{"enum('a')", "", `""`},
		{"set('a','b')", "a,b", `"a,b"`},
		{"set('a','b')", "", `""`},
		{"set('','b')", ",b", `",b"`},
		{"set('b','')", "b,", `"b,"`},
		{"json", `{"a": "\"é"}`, `"{\"a\": \"\\\"é\"}"`},
	}
	for _, tt := range tests {
		l, err := NewTextLayout(tableOf(columnOf(t, tt.columnType)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.AppendJSON([]byte("x"), 0, []byte(tt.text))
		if err != nil || string(got) != "x"+tt.want {
			t.Errorf("%s %q: %s, %v, want %s", tt.columnType, tt.text, got, err, tt.want)
		}
	}
}

func TestTextRefusesWhatTheTypeCannotHold(t *testing.T) {
	tests := []struct{ columnType, text string }{
		{"int", ""}, {"int", "-"}, {"int", "1.5"}, {"int", "1e3"},
		{"decimal(5,2)", ""}, {"decimal(5,2)", "."}, {"decimal(5,2)", "1."}, {"decimal(5,2)", ".5"}, {"decimal(5,2)", "1.2.3"}, {"decimal(5,2)", "-"}, {"decimal(5,2)", "1e5"},
		{"double", "nan"}, {"double", "inf"}, {"double", "x"}, {"double", "1e999"},
		{"bit(1)", "\x02"}, {"bit(1)", ""}, {"bit(9)", "\x01"},
		{"date", "2018-5-8"}, {"date", "2018-05-08 00:00:00"},
		{"datetime", "2018-05-08"}, {"datetime(3)", "2018-05-08 00:00:00"}, {"datetime", "2018-05-08T00:00:00"},
		{"time", "1:02:03"}, {"time", "01:02"}, {"time(2)", "01:02:03"}, {"time", "01:02:03.5"}, {"time", "0001:02:03"},
		{"varchar(9)", "\xff"}, {"varchar(9)", "abcdefgh\xc3"}, {"varchar(9)", "\xed\xa0\x80"},
		{"binary(2)", "abc"}, {"enum('a')", "b"}, {"set('a')", "a,b"}, {"json", "\"\xff\""},
	}
	for _, tt := range tests {
		l, err := NewTextLayout(tableOf(columnOf(t, tt.columnType)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.AppendJSON([]byte("x"), 0, []byte(tt.text))
		if err == nil {
			t.Errorf("%s %q: %s", tt.columnType, tt.text, got)
			continue
		}
		if string(got) != "x" {
			t.Errorf("%s %q: left %q in the buffer", tt.columnType, tt.text, got)
		}
		if !strings.HasPrefix(err.Error(), "table shop.t, column v: ") {
			t.Errorf("%s %q: the error doesn't name table and column: %v", tt.columnType, tt.text, err)
		}
	}
}

func TestNoHexPrefix(t *testing.T) {
	l, err := NewTextLayout(tableOf(columnOf(t, "blob")), Options{NoHexPrefix: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.AppendJSON(nil, 0, []byte{0xAB}); err != nil || string(got) != `"ab"` {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestSelectList(t *testing.T) {
	table := tableOf(columnOf(t, "int"), columnOf(t, "float"), columnOf(t, "double"), columnOf(t, "double(10,2)"),
		columnOf(t, "varchar(5)"), columnOf(t, "text"), columnOf(t, "blob"))
	table.Columns[0].Name = "a`b"
	table.Columns[5].Charset = "latin1"
	l, err := NewTextLayout(table, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"`a``b`", "`v`*1e0", "`v`", "`v`*1e0", "`v`", "CONVERT(`v` USING binary)", "`v`"}
	if diff := cmp.Diff(want, l.SelectList()); diff != "" {
		t.Error(diff)
	}
}

func TestSplitNulls(t *testing.T) {
	columns := make([]imageType, 10)
	for i := range columns {
		columns[i] = imageType{"tinyint", 1, 0}
	}
	l := imageLayout(t, Options{}, columns...)
	image := []byte{0b0000_0101, 0b10, 1, 3, 4, 5, 6, 7, 8}
	row, n, err := l.Split(make([][]byte, 3), image, []byte{0xff, 0x03})
	if err != nil || n != len(image) {
		t.Fatal(n, err)
	}
	want := [][]byte{nil, {1}, nil, {3}, {4}, {5}, {6}, {7}, {8}, nil}
	if diff := cmp.Diff(want, row); diff != "" {
		t.Error(diff)
	}
	for short := range image {
		if _, _, err := l.Split(row, image[:short], []byte{0xff, 0x03}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes of the image: %v", short, err)
		}
	}
}

func TestSplitPartialImage(t *testing.T) {
	tiny := imageType{"tinyint", 1, 0}
	l := imageLayout(t, Options{}, tiny, tiny, tiny)
	_, _, err := l.Split(nil, []byte{0, 1, 2}, []byte{0b101})
	var column *ColumnError
	if !errors.Is(err, ErrPartialImage) || !errors.As(err, &column) || column.Table != "shop.t" || column.Column != "v" {
		t.Errorf("got %v", err)
	}
	l.table.Columns[1].Unlogged = true
	row, n, err := l.Split(nil, []byte{0b10, 1}, []byte{0b101})
	if diff := cmp.Diff([][]byte{{1}, nil, nil}, row); err != nil || n != 2 || diff != "" {
		t.Errorf("%d bytes, %v, %s", n, err, diff)
	}
	if _, _, err := l.Split(nil, []byte{0, 1, 2}, nil); !errors.Is(err, ErrPartialImage) {
		t.Errorf("no bitmap: %v", err)
	}
}

func TestImageMismatch(t *testing.T) {
	tests := []struct {
		columnType string
		typ        byte
		meta       uint16
	}{
		{"int", 8, 0}, {"bigint", 3, 0}, {"tinyint", 15, 40}, {"float", 5, 8},
		{"decimal(10,2)", 246, 10<<8 | 3}, {"bit(3)", 16, 4},
		{"datetime(3)", 18, 6}, {"datetime", 17, 0}, {"time", 18, 0},
		{"varchar(10)", 15, 44}, {"varchar(10)", 252, 2}, {"char(10)", 254, 0xfe0a}, {"char(1)", 254, 0xf701},
		{"varbinary(10)", 15, 40}, {"binary(3)", 254, 0xfe04}, {"text", 252, 3}, {"blob", 245, 2}, {"json", 252, 4}, {"geometry", 252, 4},
		{"vector(2)", 15, 4}, {"vector(2)", 252, 4}, {"uuid", 254, 0xfe04}, {"inet4", 254, 0xfe10}, {"uuid", 15, 16}, {"binary(16)", 254, 0xf710},
		{"varchar(10)", 141, 41}, {"text", 140, 2}, {"varchar(10) /*M!100301 COMPRESSED*/", 15, 40}, {"varchar(10) /*M!100301 COMPRESSED*/", 141, 40},
		{"text /*M!100301 COMPRESSED*/", 252, 2}, {"text /*M!100301 COMPRESSED*/", 140, 3}, {"varchar(10) /*M!100301 COMPRESSED*/", 141, 0},
		{"enum('a')", 254, 0xf801}, {"enum('a')", 254, 0xf702}, {"set('a')", 254, 0xf802},
	}
	for _, tt := range tests {
		_, err := NewImageLayout(tableOf(columnOf(t, tt.columnType)), []byte{tt.typ}, []uint16{tt.meta}, Options{})
		var mismatch *MismatchError
		if !errors.As(err, &mismatch) || mismatch.Table != "shop.t" || mismatch.Column != "v" {
			t.Errorf("%s as %d/%x: %v", tt.columnType, tt.typ, tt.meta, err)
		}
	}
	_, err := NewImageLayout(tableOf(columnOf(t, "int")), []byte{3, 3}, []uint16{0, 0}, Options{})
	var mismatch *MismatchError
	if !errors.As(err, &mismatch) || mismatch.Column != "" {
		t.Errorf("two columns instead of one: %v", err)
	}
}

func TestUnsupportedForms(t *testing.T) {
	tests := []struct {
		columnType string
		typ        byte
		meta       uint16
		want       string
	}{
		{"datetime(3)", 12, 0, "mysql56_temporal_format=ON"},
	}
	for _, tt := range tests {
		_, err := NewImageLayout(tableOf(columnOf(t, tt.columnType)), []byte{tt.typ}, []uint16{tt.meta}, Options{})
		var mismatch *MismatchError
		if err == nil || errors.As(err, &mismatch) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.columnType, err)
		}
	}
	c := columnOf(t, "text")
	c.Charset = "klingon"
	if _, err := NewTextLayout(tableOf(c), Options{}); err == nil || !strings.Contains(err.Error(), `table shop.t, column v: there is no decoder for character set "klingon"`) {
		t.Errorf("unknown character set: %v", err)
	}
}
