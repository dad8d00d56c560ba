package schema

import (
	"encoding/json"
	"testing"
)

func TestDocuments(t *testing.T) {
	tests := []struct{ doc, want string }{
		{"", "null"},
		{"\x04\x00", "null"}, {"\x04\x01", "true"}, {"\x04\x02", "false"},
		{"\x05\xff\xff", "-1"}, {"\x06\xff\xff", "65535"}, {"\x07\xff\xff\xff\xff", "-1"}, {"\x08\xff\xff\xff\xff", "4294967295"},
		{"\x09\x00\x00\x00\x00\x00\x00\x00\x80", "-9223372036854775808"}, {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"},
		{"\x0b\x00\x00\x00\x00\x00\x00\xf0\x3f", "1.0"},
		{"\x0c\x05\"\\\n\x01/", `"\"\\\n\u0001/"`},
		{"\x00\x00\x00\x04\x00", "{}"}, {"\x02\x00\x00\x04\x00", "[]"},
		{"\x00\x01\x00\x0c\x00\x0b\x00\x01\x00\x05\x07\x00a", `{"a": 7}`},
		{"\x02\x02\x00\x0a\x00\x04\x01\x00\x05\xff\xff", "[true, -1]"},
		{"\x03\x01\x00\x00\x00\x0d\x00\x00\x00\x07\x70\x11\x01\x00", "[70000]"},
		{"\x0f\xf6\x07\x0a\x02\x80\x00\x00\x0c\x32", "12.50"},
		{"\x0f\x0a\x08\x00\x00\x00\x00\x00\xd0\x9f\x19", `"2018-05-08"`},
		{"\x0f\x0b\x08\xe0\x5e\xf8\xfe\xff\xff\xff\xff", `"-00:00:01.500000"`},
		{"\x0f\xfc\x02\x00\xff", `"base64:type252:AP8="`},
	}
	for _, tt := range tests {
		got, err := appendDocument(nil, []byte(tt.doc))
		var text string
		if err != nil || json.Unmarshal(got, &text) != nil || text != tt.want {
			t.Errorf("%x: %s, %v, want %s", tt.doc, got, err, tt.want)
		}
		for end := 1; end < len(tt.doc); end++ {
			if got, err := appendDocument([]byte("x"), []byte(tt.doc[:end])); err == nil || string(got) != "x" {
				t.Errorf("%x, cut to %d bytes: %s, %v", tt.doc, end, got, err)
			}
		}
	}
}

func TestDocumentDepth(t *testing.T) {
	doc := "\x00\x00\x04\x00"
	for range 101 {
		size := len(doc) + 7
		doc = "\x01\x00" + string([]byte{byte(size), byte(size >> 8)}) + "\x02\x07\x00" + doc
	}
	if got, err := appendDocument(nil, []byte("\x02"+doc)); err == nil {
		t.Errorf("nested too deep: %.20s", got)
	}
}
