package main

import (
	"slices"
	"time"
)

// bounds are the upper ends of a histogram's buckets; a last one has what is above.
var bounds = func() (all []time.Duration) {
	for d := 250 * time.Microsecond; d <= 4*time.Second; d *= 2 {
		all = append(all, d)
	}
	return all
}()

// distribution is how times are spread: exact percentiles, and a histogram with a bucket for each of bounds and one
// above them.
type distribution struct {
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	P999    time.Duration `json:"p999_ns"`
	Max     time.Duration `json:"max_ns"`
	Buckets []int64       `json:"buckets"`
}

// distributed sorts the times.
func distributed(times []time.Duration) distribution {
	d := distribution{Buckets: make([]int64, len(bounds)+1)}
	if len(times) == 0 {
		return d
	}
	slices.Sort(times)
	for _, t := range times {
		i, _ := slices.BinarySearch(bounds, t)
		d.Buckets[i]++
	}
	d.P50, d.P99, d.P999, d.Max = percentile(times, 500), percentile(times, 990), percentile(times, 999), times[len(times)-1]
	return d
}

// percentile is the least of the sorted times that so many of a thousand do not exceed.
func percentile(sorted []time.Duration, perMille int) time.Duration {
	rank := (len(sorted)*perMille + 999) / 1000
	return sorted[max(rank, 1)-1]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
