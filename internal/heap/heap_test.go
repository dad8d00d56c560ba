package heap

import (
	"runtime"
	"testing"
)

// TestRoom lets go of a large buffer and of a small one: only for a large one to come is the former collected at once.
func TestRoom(t *testing.T) {
	sink := make([]byte, large)
	collections := func(room func()) uint32 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		room()
		runtime.ReadMemStats(&after)
		return after.NumForcedGC - before.NumForcedGC
	}
	if n := collections(func() { Room(large - 1) }); n != 0 {
		t.Errorf("%d collections before a small allocation", n)
	}
	sink[0] = 1
	sink = nil
	var m runtime.MemStats
	if n := collections(func() { Room(large) }); n != 1 {
		t.Errorf("%d collections before a large allocation, want 1", n)
	}
	if runtime.ReadMemStats(&m); m.HeapAlloc >= large {
		t.Errorf("%d bytes are in the heap though nobody refers to them", m.HeapAlloc)
	}
	_ = sink
}

// TestGrow appends to a buffer in pieces: its bytes stay, and a collection comes only with a large allocation.
func TestGrow(t *testing.T) {
	b := []byte("abc")
	for range 3 {
		b = append(Grow(b, large/2), make([]byte, large/2)...)
	}
	if len(b) != 3+3*(large/2) || string(b[:4]) != "abc\x00" {
		t.Errorf("%d bytes, beginning with %q", len(b), b[:4])
	}
	if got := Grow(b[:3], large); &got[0] != &b[0] || len(got) != 3 {
		t.Error("a buffer with room enough was copied")
	}
}
