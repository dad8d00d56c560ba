package record

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestBoth: a record and its partition key made together are those that are made one by one.
func TestBoth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t)
		p, err := NewPlan(table, jsonCodec{}, drawOptions(t, table))
		if err != nil {
			t.Fatal(err)
		}
		op := Operation(rapid.IntRange(int(Load), int(Delete)).Draw(t, "operation"))
		r, before := drawRow(t, table, "value"), drawRow(t, table, "old value")
		s := drawStamp(t)
		if op == Load {
			s.Tx = nil
		}
		wantData, err := p.Append([]byte("before "), op, r, before, s)
		if err != nil {
			t.Fatal(err)
		}
		wantKey, err := p.AppendPartitionKey([]byte("here: "), r, s)
		if err != nil {
			t.Fatal(err)
		}
		data, key, err := p.AppendBoth([]byte("before "), []byte("here: "), op, r, before, s)
		if err != nil || !bytes.Equal(data, wantData) || !bytes.Equal(key, wantKey) {
			t.Fatalf("together %s %s, %v\none by one %s %s", key, data, err, wantKey, wantData)
		}
	})
}

// TestBothFail: after an error both buffers are as they were.
func TestBothFail(t *testing.T) {
	p := plan(t, players())
	for name, r := range map[string][][]byte{
		"too few columns": row(`"Ann"`),
		"no key":          row("", "", "", "", ""),
	} {
		data, key, err := p.AppendBoth([]byte("data"), []byte("key"), Insert, r, nil, stamp())
		if err == nil || string(data) != "data" || string(key) != "key" {
			t.Errorf("%s: %q, %q, %v", name, data, key, err)
		}
	}
}
