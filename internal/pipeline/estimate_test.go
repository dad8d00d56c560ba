package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

func TestLoadProgress(t *testing.T) {
	now := time.Now()
	number := func(f float64) *float64 { return &f }
	for _, c := range []struct {
		what string
		pace loadPace
		doc  tableDoc
		want *status.Load
	}{
		{"nothing is loaded", loadPace{}, tableDoc{State: StateCompleted}, nil},
		{"half of it in ten seconds", loadPace{began: now.Add(-10 * time.Second), rows: 1000}, tableDoc{State: StateFullLoad, Rows: 500},
			&status.Load{Rows: 500, Estimate: 1000, Share: number(0.5), Remaining: number(10)}},
		{"most of it was loaded by a former process", loadPace{began: now.Add(-10 * time.Second), before: 800, rows: 1000}, tableDoc{State: StateReloading, Rows: 900},
			&status.Load{Rows: 900, Estimate: 1000, Share: number(0.9), Remaining: number(10)}},
		{"more than the source has counted", loadPace{began: now.Add(-10 * time.Second), rows: 1000}, tableDoc{State: StateFullLoad, Rows: 1500},
			&status.Load{Rows: 1500, Estimate: 1000, Share: number(0.99)}},
		{"the source counts nothing", loadPace{began: now.Add(-10 * time.Second)}, tableDoc{State: StateFullLoad, Rows: 1500}, &status.Load{Rows: 1500}},
		{"nothing is acknowledged yet", loadPace{began: now.Add(-10 * time.Second), rows: 1000}, tableDoc{State: StateFullLoad},
			&status.Load{Estimate: 1000, Share: number(0)}},
		{"complete", loadPace{began: now.Add(-10 * time.Second), rows: 1000}, tableDoc{State: StateCompleted, Rows: 900},
			&status.Load{Rows: 900, Estimate: 1000, Share: number(1)}},
		{"complete before this process", loadPace{}, tableDoc{State: StateCompleted, Rows: 900}, &status.Load{Rows: 900, Share: number(1)}},
	} {
		if diff := cmp.Diff(c.want, c.pace.load(&c.doc, now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}
