package main

import (
	"testing"
	"time"
)

// half is a measurement of so many µs CPU a change at so many changes a second.
func half(us float64, perSecond float64) measurement {
	const items = 1_000_000
	return measurement{Items: items, CPU: time.Duration(us * 1e3 * items), Wall: time.Duration(items / perSecond * 1e9)}
}

func TestCarries(t *testing.T) {
	fast := half(5, 1e9)
	if got := carries(1, wholeThread, fast); got != 100_000 {
		t.Errorf("a vCPU carries %v, want half a second's 200,000", got)
	}
	if got := carries(0.25, halfThread, fast, half(5, 1e9)); got != 6250 {
		t.Errorf("a quarter of half a thread carries %v through both halves, want 6250", got)
	}
	if got := carries(2, wholeThread, half(5, 50_000)); got != 25_000 {
		t.Errorf("a half of 50,000 a second carries %v, want half of that", got)
	}
}

func TestPrices(t *testing.T) {
	if got := taskFor(6_000, half(10, 1e9)); got.vcpu != 0.25 {
		t.Errorf("6,000 a second at 10 µs: %v vCPU, want 0.25", got)
	}
	if got := taskFor(20_000, half(10, 1e9)); got.vcpu != 1 {
		t.Errorf("20,000 a second at 10 µs: %v vCPU, want 1", got)
	}
	if got := number((task{vcpu: 0.25, least: 0.5}).monthly()); got != "9.01" {
		t.Errorf("the smallest task costs %s, want 9.01", got)
	}
	if got := grouped(int64(firehoseBilled(200, 700))); got != "2,506" {
		t.Errorf("200 records of 700 bytes a second are billed as %s GB, want 2,506", got)
	}
	if a, b := firehoseBilled(1, 5121), firehoseBilled(1, 5120); a != 2*b {
		t.Errorf("5,121 bytes are billed as %v, 5,120 as %v", a, b)
	}
	if got := shardsFor(2_000, 700); got != 2 {
		t.Errorf("2,000 records of 700 bytes need %d shards, want 2", got)
	}
	if got := shardsFor(1_000, 4096); got != 4 {
		t.Errorf("1,000 records of 4 KiB need %d shards, want 4", got)
	}
}
