package kinesisin

import (
	"bytes"
	"crypto/md5"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// aggregate builds a record as the producer library does.
func aggregate(keys []string, records ...aggregated) []byte {
	var body []byte
	for _, k := range keys {
		body = protowire.AppendString(protowire.AppendTag(body, fieldKey, protowire.BytesType), k)
	}
	for _, r := range records {
		var rec []byte
		rec = protowire.AppendVarint(protowire.AppendTag(rec, fieldKeyIndex, protowire.VarintType), r.key)
		if r.hash > 0 {
			rec = protowire.AppendVarint(protowire.AppendTag(rec, fieldHashIndex, protowire.VarintType), r.hash-1)
		}
		rec = protowire.AppendBytes(protowire.AppendTag(rec, fieldData, protowire.BytesType), r.data)
		tag := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "tag")
		rec = protowire.AppendBytes(protowire.AppendTag(rec, 4, protowire.BytesType), tag)
		body = protowire.AppendBytes(protowire.AppendTag(body, fieldRecord, protowire.BytesType), rec)
	}
	return seal(body)
}

func seal(body []byte) []byte {
	sum := md5.Sum(body)
	return slices.Concat([]byte(aggregateMagic), body, sum[:])
}

func TestDeaggregate(t *testing.T) {
	good := aggregate([]string{"a", "b"}, aggregated{data: []byte("one")}, aggregated{data: []byte("two"), key: 1}, aggregated{data: nil, key: 1})
	wrongSum := bytes.Clone(good)
	wrongSum[len(wrongSum)-1] ^= 1
	for name, tc := range map[string]struct {
		data []byte
		want []string
	}{
		"aggregate":                {good, []string{"one", "two", ""}},
		"plain":                    {[]byte(`{"a":1}`), nil},
		"empty":                    {[]byte{}, nil},
		"magic only":               {[]byte(aggregateMagic), nil},
		"wrong checksum":           {wrongSum, nil},
		"cut off":                  {good[:len(good)-3], nil},
		"not protobuf":             {seal([]byte("\xff\xff\xff\xff")), nil},
		"key index without a key":  {aggregate([]string{"a"}, aggregated{data: []byte("x"), key: 1}), nil},
		"hash index without a key": {aggregate([]string{"a"}, aggregated{data: []byte("x"), hash: 1}), nil},
		"record without data":      {seal(protowire.AppendBytes(protowire.AppendTag(nil, fieldRecord, protowire.BytesType), nil)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := Deaggregate(tc.data)
			if tc.want == nil {
				tc.want = []string{string(tc.data)}
			}
			if len(got) != len(tc.want) {
				t.Fatalf("%d records, want %d", len(got), len(tc.want))
			}
			for i := range got {
				if string(got[i]) != tc.want[i] {
					t.Errorf("record %d is %q, want %q", i, got[i], tc.want[i])
				}
			}
		})
	}
}

func FuzzDeaggregate(f *testing.F) {
	f.Add(aggregate([]string{"a"}, aggregated{data: []byte("one")}), true)
	f.Add([]byte("\x1a\x05\x08\x00\x1a\x01x"), true)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			data = seal(data)
		}
		total := 0
		for _, r := range Deaggregate(data) {
			total += len(r)
		}
		if total > len(data) {
			t.Errorf("%d bytes became %d", len(data), total)
		}
	})
}
