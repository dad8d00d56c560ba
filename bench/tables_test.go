package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestNumber(t *testing.T) {
	for f, want := range map[float64]string{0.333: "0.33", 9.99: "9.99", 12.34: "12.3", 123.4: "123", 1234.5: "1,235", 1234567: "1,234,567", 0: "0.00"} {
		if got := number(f); got != want {
			t.Errorf("%v: %q, want %q", f, got, want)
		}
	}
}

func TestReportIsPrinted(t *testing.T) {
	r := newReport(settings{})
	r.cheaper("1", "decoding", "µs", 0.5, 15, 25)
	r.memory("replicate, a backlog", measurement{RSS: 64 << 20})
	r.median(measurement{Step: "binlog ours", Items: 1_000_000, Bytes: 700e6, Wall: 500 * time.Millisecond, CPU: time.Second,
		Garbage: garbage{Bytes: 3e6, Objects: 1e6, Cycles: 5, CPU: 100 * time.Millisecond}})
	r.latency(latencyResult{Name: "idle", Wanted: 10, Returned: distributed([]time.Duration{3 * time.Millisecond})})
	var out bytes.Buffer
	r.print(&out, &report{Lines: []line{{What: "decoding", Ratio: 29}}})
	for _, want := range []string{
		"1  decoding                                                         0.50 µs   15.0 µs  30.0   ≥ 25.0  reached  29.0",
		"5  peak resident memory: replicate, a backlog                       64.0 MiB  256 MiB  0.25   ≤ 1.00  reached",
		"6  idle: from the return of COMMIT to readable, p99, against 100 ms  3.00 ms",
		"binlog ours  1,000,000  1,400  1.00    2,000,000  0.00      3.00             1.00     5          10.0",
		"4 ms     1",
	} {
		if !strings.Contains(squeezed(out.String()), squeezed(want)) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}

// squeezed has one space for several.
func squeezed(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestMainLinesHaveTheHighestPeak(t *testing.T) {
	r := newReport(settings{})
	r.memory("replicate, a", measurement{RSS: 100 << 20})
	r.memory("deliver, b", measurement{RSS: 200 << 20})
	r.cheaper("1", "workload: c, CPU per change", "µs", 1, 2, 0)
	g := r.mainLines()
	if len(g.rows) != 1 || g.rows[0][1] != "highest peak of all, deliver, b" || g.rows[0][2] != "200 MiB" {
		t.Errorf("%v", g.rows)
	}
}

func TestProcessTime(t *testing.T) {
	got, err := parseProcessTime("17 (my (sql) d) S 1 17 17 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 5 6 7")
	if err != nil || got != 3*time.Second {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseProcessTime("17 (mysqld) S 1"); err == nil {
		t.Error("a line that is cut off is read")
	}
}
