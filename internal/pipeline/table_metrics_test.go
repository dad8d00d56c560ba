package pipeline

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// TestMetricsForgetTables: a table that was dropped is told of for an hour, and then nothing is left of it in the metrics.
// One that was made again stays, and counting goes on.
func TestMetricsForgetTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m := newReplicateMetrics(reg)
		docs := []tableDoc{
			{Schema: "a", Table: "stays", State: StateCompleted}, {Schema: "a", Table: "dropped", State: StateGone},
			{Schema: "a", Table: "again", State: StateCompleted}, {Schema: "a", Table: "longgone", State: StateGone},
		}
		m.tables = func() []tableDoc { return docs }
		tables := map[string]*schema.Table{}
		for _, name := range []string{"stays", "dropped", "again"} {
			tables[name] = &schema.Table{Schema: "a", Name: name}
			m.changed(tables[name], record.Insert)
			m.loaded(tables[name], 1)
		}
		m.dropped(tableID{"a", "dropped"})
		m.dropped(tableID{"a", "again"})
		expect := func(what string, want map[string]bool) {
			t.Helper()
			told := map[string]bool{}
			for range 2 { // what the first look forgets is gone at the second
				clear(told)
				families, err := reg.Gather()
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range families {
					for _, sample := range f.GetMetric() {
						for _, l := range sample.GetLabel() {
							if l.GetName() == "table" {
								told[strings.TrimPrefix(f.GetName(), "binlogstreamer_")+" "+l.GetValue()] = true
							}
						}
					}
				}
			}
			for series, there := range want {
				if told[series] != there {
					t.Errorf("%s: %s is told of: %v", what, series, told[series])
				}
			}
		}
		expect("at once", map[string]bool{"table_state dropped": true, "changes_total dropped": true, "table_state longgone": false, "changes_total stays": true})
		time.Sleep(showGone + time.Second)
		expect("after an hour", map[string]bool{
			"table_state dropped": false, "changes_total dropped": false, "full_load_rows_total dropped": false,
			"table_state again": true, "changes_total again": true, "table_state stays": true, "changes_total stays": true,
		})
		docs[1].State = StateCompleted // it was made again, late
		m.changed(tables["dropped"], record.Insert)
		expect("made again", map[string]bool{"table_state dropped": true, "changes_total dropped": true})
	})
}
