package record

import (
	"strings"
	"testing"
)

func TestParseSpilled(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	const reference = `{"location":"s3://b/k","bytes":7,"sha256":"SUM"}`
	for name, tc := range map[string]struct {
		record string
		want   bool
	}{
		"last in metadata":         {`{"data":{"id":1},"metadata":{"record-type":"data","oversized-record":` + reference + `}}`, true},
		"not last":                 {`{"data":{},"metadata":{"oversized-record":` + reference + `,"later":[1]}}` + "\n", true},
		"formatted":                {"{\n\t\"data\":\t{},\n\t\"metadata\":\t{\n\t\t\"oversized-record\":\t" + reference + "\n\t}\n}", true},
		"a column of that name":    {`{"data":{"oversized-record":` + reference + `},"metadata":{"record-type":"data"}}`, false},
		"a column named metadata":  {`{"data":{"metadata":{"oversized-record":` + reference + `}},"metadata":{"record-type":"data"}}`, false},
		"another object behind it": {`{"data":{},"metadata":{"oversized-record":` + reference + `,"later":{"a":1}}}`, true},
		"an object in front of it": {`{"data":{},"metadata":{"former":{"a":1},"oversized-record":` + reference + `}}`, true},
		"a text like metadata":     {`{"data":{},"metadata":{"oversized-record":` + reference + `,"later":"\"metadata\":{"}}`, true},
		"metadata first":           {`{"metadata":{"oversized-record":` + reference + `},"data":{}}`, true},
		"a text":                   {`{"data":{},"metadata":{"oversized-record":"x"}}`, false},
		"short sum":                {`{"data":{},"metadata":{"oversized-record":{"location":"s3://b/k","bytes":7,"sha256":"ab"}}}`, false},
		"no record":                {`"oversized-record"`, false},
		"nothing":                  {``, false},
	} {
		s, ok := ParseSpilled([]byte(strings.Replace(tc.record, "SUM", sum, 1)))
		if ok != tc.want || ok && s != (Spilled{Location: "s3://b/k", Bytes: 7, SHA256: sum}) {
			t.Errorf("%s: %+v, %v", name, s, ok)
		}
		if ok {
			if _, err := ParseMark([]byte(strings.Replace(tc.record, "SUM", sum, 1))); err != nil {
				t.Errorf("%s: de-duplication cannot read it: %v", name, err)
			}
		}
	}
}
