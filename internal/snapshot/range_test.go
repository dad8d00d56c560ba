package snapshot

import (
	"testing"
	"time"
)

// TestChunksFollowTheSizeOfRowsAndTheTimeTheyTake asks for what fits into a chunk, for less where the server is slow, and never
// for much more than the last time.
func TestChunksFollowTheSizeOfRowsAndTheTimeTheyTake(t *testing.T) {
	l := New(Config{ChunkBytes: 64 << 10})
	for _, c := range []struct {
		what       string
		rows, size int
		limit      int
		took       time.Duration
		least      int
		most       int
	}{
		{"rows of the usual size", 500, 100, 500, time.Millisecond, 300, 700},
		{"tiny rows", 500, 1, 500, time.Millisecond, 2000, 2000},
		{"large rows", 10, 20_000, 500, time.Millisecond, 1, 4},
		{"a row larger than a chunk", 1, 200_000, 1, time.Millisecond, 1, 1},
		{"a slow server", 500, 100, 500, 5 * time.Second, 100, 100},
		{"an empty chunk", 0, 0, 77, 5 * time.Second, 77, 77},
	} {
		r := &rangeLoad{t: &tableLoad{l: l}, limit: c.limit, took: c.took}
		chunk := &Chunk{}
		for range c.rows {
			chunk.Add([][]byte{make([]byte, c.size)})
		}
		r.adapt(chunk)
		if r.limit < c.least || r.limit > c.most {
			t.Errorf("%s: asks for %d rows, want from %d to %d", c.what, r.limit, c.least, c.most)
		}
	}
}
