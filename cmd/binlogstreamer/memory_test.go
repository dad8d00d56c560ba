package main

import "testing"

func TestHeapCeiling(t *testing.T) {
	const MiB = 1 << 20
	for _, tc := range []struct{ limit, program, want int64 }{
		{256 * MiB, 0, 224 * MiB},
		{256 * MiB, 40 * MiB, 208 * MiB},
		{1024 * MiB, 40 * MiB, 896 * MiB},
		{64 * MiB, 40 * MiB, 32 * MiB}, // what is left must be worth working in
	} {
		if got := heapCeiling(tc.limit, tc.program); got != tc.want {
			t.Errorf("of %d MiB, with a program of %d: %d MiB, want %d", tc.limit/MiB, tc.program/MiB, got/MiB, tc.want/MiB)
		}
	}
	if got := programPages(); got < 1*MiB || got > 1024*MiB {
		t.Errorf("this program has %d bytes in memory", got)
	}
}
