package checkpoint

// acks is which of the numbers that were given, from 1 upwards and without gaps, are acknowledged. There is room for so
// many above the lowest that is not as it was made for.
type acks struct {
	bits  []uint64 // those that were acknowledged out of turn: number n at n & mask
	mask  uint64
	given uint64 // the last one
	acked uint64 // every one up to this is acknowledged
}

func newAcks(span uint64) acks {
	size := uint64(64)
	for size < span {
		size *= 2
	}
	return acks{bits: make([]uint64, size/64), mask: size - 1}
}

// open is how many numbers there are from the lowest that is not acknowledged to the last one.
func (a *acks) open() uint64 { return a.given - a.acked }

// ack takes an acknowledgement, and says whether everything up to a higher number is acknowledged now. Those of numbers
// that were not given, and repeated ones, do nothing.
func (a *acks) ack(seq uint64) bool {
	if seq <= a.acked || seq > a.given {
		return false
	}
	if seq != a.acked+1 {
		a.bits[seq&a.mask/64] |= 1 << (seq & 63)
		return false
	}
	for a.acked = seq; a.take(a.acked + 1); a.acked++ {
	}
	return true
}

// take says whether seq was acknowledged out of turn, and clears that for the number that will use the bit next.
func (a *acks) take(seq uint64) bool {
	word, bit := &a.bits[seq&a.mask/64], uint64(1)<<(seq&63)
	if *word&bit == 0 {
		return false
	}
	*word &^= bit
	return true
}
