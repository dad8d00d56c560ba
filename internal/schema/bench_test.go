package schema

import (
	"encoding/binary"
	"testing"
)

// purchase is a row of five small columns: id, ticket, seller, time, price.
func purchase(t testing.TB) (*ImageLayout, []byte) {
	l := imageLayout(t, Options{},
		imageType{"bigint", 8, 0}, imageType{"int", 3, 0}, imageType{"varchar(20)", 15, 80}, imageType{"datetime", 18, 0}, imageType{"decimal(8,2)", 246, 8<<8 | 2})
	image := []byte{0}
	image = binary.LittleEndian.AppendUint64(image, 123456789)
	image = binary.LittleEndian.AppendUint32(image, 4711)
	image = append(image, "\x0bJohn Seller"...)
	image = append(image, 0x99, 0x9f, 0xd0, 0xc8, 0xb8)
	return l, append(image, 0x80, 0x01, 0x2e, 0x32)
}

// fiveJSON renders a whole row into dst, the values side by side.
func fiveJSON(t testing.TB, l Codec, dst []byte, row [][]byte) []byte {
	for i, v := range row {
		var err error
		if dst, err = l.AppendJSON(dst, i, v); err != nil {
			t.Fatal(err)
		}
		dst = append(dst, ',')
	}
	return dst
}

func TestImageRowAllocatesNothing(t *testing.T) {
	l, image := purchase(t)
	row, dst := make([][]byte, 5), make([]byte, 0, 256)
	if got := testing.AllocsPerRun(100, func() {
		out, _, err := l.Split(row, image, []byte{0x1f})
		if err != nil {
			t.Fatal(err)
		}
		fiveJSON(t, l, dst, out)
	}); got != 0 {
		t.Errorf("%v allocations per row", got)
	}
	out, _, _ := l.Split(row, image, []byte{0x1f})
	if got, want := string(fiveJSON(t, l, nil, out)), `123456789,4711,"John Seller","2018-05-08T12:34:56Z",302.5,`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestNoValueAllocates renders a value of each form that TestImageRowAllocatesNothing lacks.
func TestNoValueAllocates(t *testing.T) {
	dst := make([]byte, 0, 1024)
	for _, c := range fuzzColumns {
		l := imageLayout(t, Options{}, c)
		image := append(make([]byte, 64), 0)
		switch c.columnType {
		case "json":
			image = []byte("\x00\x17\x00\x00\x00\x00\x01\x00\x16\x00\x0b\x00\x01\x00\x0b\x0c\x00aabcdefgh\xf0\x3f")
		case "year(4)":
			image[1] = 100
		case "datetime(6)":
			image[1] = 0x80
		}
		row, _, err := l.Split(nil, image, []byte{1})
		if err != nil {
			t.Fatalf("%s: %v", c.columnType, err)
		}
		if _, err := l.AppendJSON(dst, 0, row[0]); err != nil {
			continue // zeros are no value of every type; the real ones are in TestTextForm
		}
		if got := testing.AllocsPerRun(100, func() { _, _ = l.AppendJSON(dst, 0, row[0]) }); got != 0 {
			t.Errorf("%s: %v allocations per value", c.columnType, got)
		}
	}
	for _, text := range []struct{ columnType, charset, value string }{
		{"double", "", "1.2345678901234567e-300"}, {"float", "", "0.10000000149011612"}, {"decimal(10,2)", "", "12.50"},
		{"text", "gbk", "\xd6\xd0\xce\xc4 abc"}, {"text", "latin1", "\xe4bc\x80"}, {"text", "utf16", "\x00a\xd8\x3d\xde\x00"},
		{"enum('a','b')", "utf8mb4", "b"}, {"set('a','b')", "utf8mb4", "a,b"}, {"json", "", `{"a": "b"}`},
	} {
		c := columnOf(t, text.columnType)
		c.Charset = text.charset
		l, err := NewTextLayout(tableOf(c), Options{})
		if err != nil {
			t.Fatal(err)
		}
		v := []byte(text.value)
		if _, err := l.AppendJSON(dst, 0, v); err != nil {
			t.Fatal(err)
		}
		if got := testing.AllocsPerRun(100, func() { _, _ = l.AppendJSON(dst, 0, v) }); got != 0 {
			t.Errorf("%s %s: %v allocations per value", text.columnType, text.charset, got)
		}
	}
}

func BenchmarkImageRowFiveColumns(b *testing.B) {
	l, image := purchase(b)
	row, dst := make([][]byte, 5), make([]byte, 0, 256)
	present := []byte{0x1f}
	b.ReportAllocs()
	for b.Loop() {
		out, _, err := l.Split(row, image, present)
		if err != nil {
			b.Fatal(err)
		}
		fiveJSON(b, l, dst, out)
	}
}

func BenchmarkTextRowFiveColumns(b *testing.B) {
	layout, _ := purchase(b)
	l, err := NewTextLayout(layout.table, Options{})
	if err != nil {
		b.Fatal(err)
	}
	row := [][]byte{[]byte("123456789"), []byte("4711"), []byte("John Seller"), []byte("2018-05-08 12:34:56"), []byte("302.50")}
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		fiveJSON(b, l, dst, row)
	}
}

func BenchmarkSplit(b *testing.B) {
	l, image := purchase(b)
	row, present := make([][]byte, 5), []byte{0x1f}
	for b.Loop() {
		if _, _, err := l.Split(row, image, present); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkString(b *testing.B) {
	for name, s := range map[string]string{
		"short":  "John Seller",
		"long":   "The quick brown fox jumps over the lazy dog and does it once again, until all characters are there.",
		"quotes": `He said "no", and then "yes", and then a line` + "\n" + "was broken",
		"high":   "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich, 東京と大阪",
	} {
		v, dst := []byte(s), make([]byte, 0, 512)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				appendString(dst, v)
			}
		})
	}
}

func BenchmarkDouble(b *testing.B) {
	dst := make([]byte, 0, 64)
	for b.Loop() {
		if _, err := appendDouble(dst, 1234.5678); err != nil {
			b.Fatal(err)
		}
	}
}
