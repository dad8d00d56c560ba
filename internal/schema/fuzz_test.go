package schema

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// fuzzColumns is one column of every form that a row image has.
var fuzzColumns = []imageType{
	{"tinyint", 1, 0}, {"smallint unsigned", 2, 0}, {"mediumint", 9, 0}, {"int", 3, 0}, {"bigint unsigned", 8, 0},
	{"decimal(20,10)", 246, 20<<8 | 10}, {"decimal(65,30)", 246, 65<<8 | 30}, {"float", 4, 4}, {"double", 5, 8}, {"bit(1)", 16, 1}, {"bit(12)", 16, 1<<8 | 4},
	{"date", 10, 0}, {"datetime(6)", 18, 6}, {"timestamp(3)", 17, 3}, {"time(2)", 19, 2}, {"time", 19, 0}, {"year(4)", 13, 0},
	{"datetime", 12, 0}, {"timestamp", 7, 0}, {"time", 11, 0},
	{"char(3)", 254, 0xfe0c}, {"varchar(3)", 15, 12}, {"varchar(300)", 15, 1200}, {"tinytext", 252, 1}, {"mediumtext", 252, 3},
	{"binary(3)", 254, 0xfe03}, {"varbinary(3)", 15, 3}, {"blob", 252, 2}, {"longblob", 252, 4}, {"geometry", 255, 4},
	{"enum('a','b')", 254, 0xf701}, {"set('a','b','c','d','e','f','g','h','i')", 254, 0xf802}, {"json", 245, 4},
	{"vector(3)", 242, 4}, {"vector(3)", 15, 12}, {"uuid", 254, 0xfe10}, {"inet4", 254, 0xfe04}, {"inet6", 254, 0xfe10},
	{"varchar(20) /*M!100301 COMPRESSED*/", 141, 81}, {"varbinary(300) /*M!100301 COMPRESSED*/", 141, 301},
	{"tinytext /*M!100301 COMPRESSED*/", 140, 1}, {"blob /*M!100301 COMPRESSED*/", 140, 2}, {"longblob /*M!100301 COMPRESSED*/", 140, 4},
}

// FuzzImage splits any bytes with a layout that the first byte chooses and renders what comes out: nothing panics,
// nothing is read twice or from beyond the image, and what is rendered is JSON.
func FuzzImage(f *testing.F) {
	all := imageLayout(f, Options{}, fuzzColumns...)
	present := bytes.Repeat([]byte{0xff}, (len(fuzzColumns)+7)/8)
	f.Add(byte(0), slices.Concat(make([]byte, len(present)), make([]byte, 200)))
	f.Add(byte(1), []byte("\x00\x80"))
	f.Add(byte(33), []byte("\x00\x0d\x00\x00\x00\x02\x02\x00\x0c\x00\x05\x01\x00\x05\x02\x00"))
	f.Add(byte(41), []byte("\x00\x0f\x00\x8a\x01\xf4\x2b\x49\xad\x28\x51\x28\x19\x25\x46\x12\x01\x00"))
	f.Add(byte(40), []byte("\x00\x08\x00\x89\xc8\xab\xac\x1c\x1e\x00\x00"))
	f.Add(byte(36), []byte("\x00\x03\x20\x01\x0d"))
	f.Fuzz(func(t *testing.T, which byte, image []byte) {
		layout, bitmap := all, present
		if i := int(which); i > 0 && i <= len(fuzzColumns) {
			layout, bitmap = imageLayout(t, Options{}, fuzzColumns[i-1]), []byte{1}
		}
		before := bytes.Clone(image)
		image = image[:len(image):len(image)]
		row, n, err := layout.Split(nil, image, bitmap)
		if err != nil {
			return
		}
		if n > len(image) || len(row) != len(layout.columns) {
			t.Fatalf("%d of %d bytes read, %d values", n, len(image), len(row))
		}
		total := (len(row) + 7) / 8
		for i, v := range row {
			if v == nil {
				continue
			}
			total += int(layout.columns[i].width.prefix) + len(v)
			got, err := layout.AppendJSON([]byte("["), i, v)
			if err != nil {
				if string(got) != "[" {
					t.Errorf("column %d: an error left %q in the buffer", i, got)
				}
				continue
			}
			if !json.Valid(append(got, ']')) {
				t.Errorf("column %d: %x is no JSON: %s", i, v, got[1:])
			}
		}
		if total != n {
			t.Errorf("%d bytes read, %d bytes of values", n, total)
		}
		if !bytes.Equal(before, image) {
			t.Error("the image was changed")
		}
	})
}

// FuzzDocument renders any bytes as a binary JSON document, in time and space that the number of bytes bounds.
func FuzzDocument(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x0d\x00\x0b\x00\x01\x00\x05\x01\x00a"))
	f.Add([]byte("\x02\x02\x00\x0a\x00\x04\x01\x00\x05\xff\xff"))
	f.Add([]byte("\x0f\xf6\x04\x05\x02\x80\x01\x32"))
	f.Add([]byte("\x0f\x0c\x08\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x0b\x00\x00\x00\x00\x00\x00\xf0\x3f"))
	f.Add([]byte("\x0c\x02a\""))
	f.Fuzz(func(t *testing.T, v []byte) {
		got, err := appendDocument(nil, v)
		if err != nil {
			return
		}
		if len(got) > 400*len(v)+8 {
			t.Errorf("%d bytes became %d", len(v), len(got))
		}
		var text string
		if err := json.Unmarshal(got, &text); err != nil {
			t.Fatalf("%x is no JSON string: %s: %v", v, got, err)
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%x does not hold JSON: %s", v, text)
		}
	})
}

// FuzzText renders any bytes as a value of every type in the text form.
func FuzzText(f *testing.F) {
	table := tableOf()
	for _, c := range fuzzColumns {
		table.Columns = append(table.Columns, columnOf(f, c.columnType))
	}
	for name := range charsets {
		c := columnOf(f, "text")
		c.Charset = name
		table.Columns = append(table.Columns, c)
	}
	layout, err := NewTextLayout(table, Options{})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "-1", "0.50", "1e5", "2018-05-08 00:00:00.123456", "-12:34:56.78", "a,b", "\x8f\xa1\xa1", "\x81\x30\x81\x30", "\xd8\x00\xdc\x00", "{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		for i := range table.Columns {
			got, err := layout.AppendJSON([]byte("["), i, v)
			if err == nil && !json.Valid(append(got, ']')) {
				t.Errorf("%s %s: %x is no JSON: %s", table.Columns[i].ColumnType, table.Columns[i].Charset, v, got[1:])
			}
		}
	})
}
