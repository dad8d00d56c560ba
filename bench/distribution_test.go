package main

import (
	"slices"
	"testing"
	"time"
)

func TestDistribution(t *testing.T) {
	var times []time.Duration
	for i := 1000; i >= 1; i-- { // 1 to 1,000 ms, in no order that helps
		times = append(times, time.Duration(i)*time.Millisecond)
	}
	d := distributed(times)
	if d.P50 != 500*time.Millisecond || d.P99 != 990*time.Millisecond || d.P999 != 999*time.Millisecond || d.Max != time.Second {
		t.Errorf("p50 %v, p99 %v, p99.9 %v, max %v", d.P50, d.P99, d.P999, d.Max)
	}
	// Up to 0.25, 0.5, 1, 2, 4 ... ms: a bucket has its upper end.
	want := []int64{0, 0, 1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 488, 0, 0}
	if !slices.Equal(d.Buckets, want[:len(bounds)+1]) {
		t.Errorf("buckets %v, want %v", d.Buckets, want[:len(bounds)+1])
	}
}

func TestDistributionOfFewAndOfLongTimes(t *testing.T) {
	if d := distributed(nil); d.P50 != 0 || len(d.Buckets) != len(bounds)+1 {
		t.Errorf("of nothing: %+v", d)
	}
	d := distributed([]time.Duration{time.Hour})
	if d.P50 != time.Hour || d.P999 != time.Hour || d.Buckets[len(bounds)] != 1 {
		t.Errorf("of an hour: %+v", d)
	}
	d = distributed([]time.Duration{2, 1, 3})
	if d.P50 != 2 || d.P99 != 3 || d.P999 != 3 {
		t.Errorf("of three: %+v", d)
	}
}

func TestCompareCountsFromEachMoment(t *testing.T) {
	const ms = time.Millisecond
	r := &latencyResult{Rows: 2}
	r.compare([]moments{{due: 10 * ms, committing: 15 * ms, returned: 20 * ms}}, []time.Duration{19 * ms, 23 * ms})
	if r.Returned.P50 != 0 || r.Returned.Max != 3*ms { // one was readable before COMMIT had returned
		t.Errorf("from the return: %+v", r.Returned)
	}
	if r.Sent.P50 != 4*ms || r.Sent.Max != 8*ms || r.Due.P50 != 9*ms || r.Due.Max != 13*ms {
		t.Errorf("from the sending: %+v, from when it was due: %+v", r.Sent, r.Due)
	}
}

func TestRowNumber(t *testing.T) {
	for _, c := range []struct {
		record string
		want   int64
		ok     bool
	}{
		{`{"data":{"id":42,"holder":"x"},"metadata":{}}`, 42, true},
		{`{"data": {"id": 7}}`, 7, true},
		{`{"metadata":{"record-type":"control"}}`, 0, false},
	} {
		if got, ok, err := rowNumber([]byte(c.record)); got != c.want || ok != c.ok || err != nil {
			t.Errorf("%s: %d, %v, %v", c.record, got, ok, err)
		}
	}
}
