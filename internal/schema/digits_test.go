package schema

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestDigits holds the digits of numbers against the standard library's, at every border and at random.
func TestDigits(t *testing.T) {
	numbers := []uint64{0, 1, math.MaxUint64, math.MaxUint64 - 1, math.MaxInt64, math.MaxInt64 + 1}
	for n := uint64(1); n <= math.MaxUint64/10; n *= 10 {
		numbers = append(numbers, 10*n-1, 10*n, 10*n+1)
	}
	for bit := range 64 {
		numbers = append(numbers, 1<<bit-1, 1<<bit, 1<<bit+1)
	}
	for range 100_000 {
		numbers = append(numbers, rand.Uint64()>>rand.IntN(64))
	}
	// Buffers with room and without, so that digits that grow the buffer are as right.
	for _, room := range []int{0, 3, 64} {
		for _, n := range numbers {
			dst := append(make([]byte, 0, 2+room), "x:"...)
			if got, want := string(AppendUint(dst, n)), "x:"+strconv.FormatUint(n, 10); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
			if got, want := string(AppendInt(dst, int64(n))), "x:"+strconv.FormatInt(int64(n), 10); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
	}
}

func BenchmarkAppendUint(b *testing.B) {
	dst := make([]byte, 0, 64)
	for _, n := range []uint64{7, 42, 4711, 123456789, math.MaxUint64} {
		b.Run(strconv.FormatUint(n, 10), func(b *testing.B) {
			b.Run("own", func(b *testing.B) {
				for b.Loop() {
					AppendUint(dst, n)
				}
			})
			b.Run("strconv", func(b *testing.B) {
				for b.Loop() {
					strconv.AppendUint(dst, n, 10)
				}
			})
		})
	}
}
