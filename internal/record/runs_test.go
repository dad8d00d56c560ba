package record

import (
	"testing"
	"unsafe"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// TestPlansShareRuns makes the plans of two tables: what names neither of them is there once, and the rest of a plan's text
// is one piece of memory.
func TestPlansShareRuns(t *testing.T) {
	plan := func(name string) *Plan {
		table := &schema.Table{Schema: "shop", Name: name, Key: []int{0}, Columns: []schema.Column{
			{Name: name + "_id", Type: schema.Int}, {Name: name + "_text", Type: schema.VarChar, Charset: "utf8mb4", Length: 20}}}
		p, err := NewPlan(table, nil, Options{Format: JSON, PartitionKeyType: KeyPrimaryKey, TaskID: "task", IncludeTransactionDetails: true, IncludePartitionValue: true})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b := plan("customer"), plan("order")
	if a.form != b.form {
		t.Error("each plan has a form of its own")
	}
	same := func(what string, x, y []byte) {
		if unsafe.SliceData(x) != unsafe.SliceData(y) {
			t.Errorf("%s is there twice: %q, %q", what, x, y)
		}
	}
	same("dataOpen", a.dataOpen, b.dataOpen)
	same("objectEnd", a.objectEnd, b.objectEnd)
	for op := Load; op <= Delete; op++ {
		same("toTime", a.meta[op].toTime, b.meta[op].toTime)
		same("toKey", a.meta[op].toKey, b.meta[op].toKey)
	}
	texts := [][]byte{a.columns[0].name, a.columns[1].name}
	for op := Load; op <= Delete; op++ {
		texts = append(texts, a.meta[op].toID)
	}
	for i := 1; i < len(texts); i++ {
		if end := unsafe.Add(unsafe.Pointer(unsafe.SliceData(texts[i-1])), len(texts[i-1])); end != unsafe.Pointer(unsafe.SliceData(texts[i])) {
			t.Errorf("%q does not stand behind %q", texts[i], texts[i-1])
		}
	}
}
