package verify

import (
	"context"
	"strings"
	"testing"
)

// TestSuspendedMeanwhile: differences of a table are none if it turns out that nothing of it was sent any more, and a
// difference that was found stays one as long as that is not so.
func TestSuspendedMeanwhile(t *testing.T) {
	a := &table{id: 1, schema: "a", name: "t", keyNames: []string{"id"}}
	saved := Saved{States: map[string]string{"a.t": StateCompleted}}
	v := &verification{cfg: Config{Loads: true, Saved: func(context.Context) (Saved, error) { return saved, nil }}.withDefaults(), tables: []*table{a}, replay: &replay{}}
	var err error
	if v.db, err = openDB(t.TempDir(), 8<<20); err != nil {
		t.Fatal(err)
	}
	defer v.db.close()
	p := v.compare.of(a)
	p.Begun, p.Through, p.Rows, p.Different = true, true, 5, 1
	look := func() {
		t.Helper()
		if err := v.loaded(t.Context()); err != nil {
			t.Fatal(err)
		}
		if open, err := v.openTables(1); err != nil || len(open) != 0 {
			t.Fatal(open, err)
		}
	}
	look()
	if p.Different != 1 || p.NotCompared != "" {
		t.Errorf("before: %+v", p.TableReport)
	}
	saved.Suspended = map[string]string{"a.t": "no full images"}
	look()
	if p.Different != 0 || !strings.Contains(p.NotCompared, "no full images") {
		t.Errorf("suspended meanwhile: %+v", p.TableReport)
	}
	saved.Suspended = nil
	if err := v.loaded(t.Context()); err != nil || p.NotCompared != "" {
		t.Errorf("reloaded: %+v, %v", p.TableReport, err)
	}
}
