package schema

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestCharsets(t *testing.T) {
	tests := []struct{ charset, in, want string }{
		{"latin1", "\xe4\x80\x81\x8d\x8f\x90\x9d\"", "ä€\u0081\u008d\u008f\u0090\u009d\""},
		{"ascii", "a\n", "a\n"},
		{"swe7", "[\\]{|}", "ÄÖÅäöå"},
		{"cp1251", "\xcf\xf0\xe8", "При"},
		{"sjis", "\x83\x5c\x5c\xb1", "ソ\\ｱ"},
		{"gbk", "\xd6\xd0a", "中a"},
		{"big5", "\xa5\x5c", "功"},
		{"euckr", "\xc7\xd1", "한"},
		{"ujis", "\x8f\xb0\xa1\x8e\xb1", "丂ｱ"},
		{"gb18030", "\x81\x39\xee\x39\x94\x39\xfc\x36", "㐀\U0001F600"},
		{"ucs2", "\x00\"\x20\xac", "\"€"},
		{"utf16", "\xd8\x3d\xde\x00\x00a", "\U0001F600a"},
		{"utf16le", "\x3d\xd8\x00\xdea\x00", "\U0001F600a"},
		{"utf32", "\x00\x01\xf6\x00", "\U0001F600"},
		{"utf8mb3", "€", "€"},
	}
	for _, tt := range tests {
		c := columnOf(t, "text")
		c.Charset = tt.charset
		l, err := NewTextLayout(tableOf(c), Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.AppendJSON(nil, 0, []byte(tt.in))
		var text string
		if err != nil || json.Unmarshal(got, &text) != nil || text != tt.want {
			t.Errorf("%s %x: %s, %v, want %s", tt.charset, tt.in, got, err, tt.want)
		}
	}
}

func TestBytesOutsideTheCharset(t *testing.T) {
	for charset, in := range map[string]string{
		"ascii": "a\x80", "cp1250": "\x81", "sjis": "\x83", "gbk": "\xd6\x00", "big5": "\x80", "gb18030": "\x81\x30\x81", "ujis": "\x8f\xa1",
		"ucs2": "\x00", "utf16": "\xd8\x3d", "utf16le": "\x00\xdc\x00\x00", "utf32": "\x00\x11\x00\x00", "utf8mb4": "\xf8", "utf8mb3": "\xc0\x80",
	} {
		c := columnOf(t, "varchar(9)")
		c.Charset = charset
		l, err := NewTextLayout(tableOf(c), Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.AppendJSON(nil, 0, []byte(in))
		var bad *CharsetError
		if !errors.As(err, &bad) || bad.Charset != charset || len(bad.Value) == 0 {
			t.Errorf("%s %x: %s, %v", charset, in, got, err)
			continue
		}
		for _, part := range []string{"table shop.t, column v: ", charset, "correct the row"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is not in %q", charset, part, err)
			}
		}
	}
}

// TestEveryCharsetLoads reads all of the embedded file.
func TestEveryCharsetLoads(t *testing.T) {
	for _, names := range tableCharsets {
		for _, name := range names {
			table, err := loadTable(name)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !table.ascii && name != "swe7" && name != "sjis" {
				t.Errorf("%s does not hold ASCII", name)
			}
		}
	}
}
