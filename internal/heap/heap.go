// Package heap keeps single large allocations from taking the process past its memory limit.
//
// Go's collector finds garbage beside the program, in cycles. A program that lets go of 60 MB and allocates 60 MB next has
// both until a cycle has ended, whatever limit the collector was told, and on a busy machine that takes long enough for a
// third one. Who is about to make a large allocation, and has let go of what it takes the place of, says so here first.
//
// It promises that what nobody refers to any more is neither in the heap nor resident when such an allocation is made, and
// that small allocations cost nothing extra.
package heap

import (
	"runtime/debug"
	"slices"
)

// large is an allocation in bytes that can take the heap past the collector's limit in one step. What Room costs then,
// some milliseconds, is little beside filling it.
const large = 32 << 20

// Room is called before n bytes are allocated at once. If that is much, it collects garbage and gives it back to the system.
func Room(n int) {
	if n >= large {
		debug.FreeOSMemory()
	}
}

// Grow makes room in b for n more bytes. Where there is room already it is one comparison in its caller.
func Grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return grow(b, n)
}

func grow(b []byte, n int) []byte {
	Room(len(b) + n)
	return slices.Grow(b, n)
}
