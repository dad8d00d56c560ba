package dedupe

import (
	"math/bits"
	"slices"
)

// numbers is which writer-sequence numbers of one term a shard has seen: the highest, and of the window numbers up to it
// each one that was there. The lower ones need not be remembered, for a writer sends no number that is a window or more
// above its lowest one that is not acknowledged: whatever lies that far below the highest was stored before it.
type numbers struct {
	window uint64
	high   uint64   // 0: none was seen
	seen   []uint64 // the bit n & mask is that of number n; nil: none was ever seen
	mask   uint64   // covers the window, and is a power of two less 1
}

// check judges a number and takes it into account.
func (s *numbers) check(n uint64) Verdict {
	switch {
	case n > s.high:
		s.rise(n)
	case s.high-n >= s.window:
		return BelowWindow
	case s.has(n):
		return Repeated
	}
	s.set(n)
	return Keep
}

// rise makes n the highest number. Those between it and the last one were not seen.
func (s *numbers) rise(n uint64) {
	if s.seen == nil {
		s.mask = max(64, uint64(1)<<bits.Len64(s.window-1)) - 1
		s.seen = make([]uint64, (s.mask+1)/64)
	}
	if n-s.high >= s.window {
		clear(s.seen)
		s.high = n
	}
	for s.high < n {
		s.high++
		if s.high%64 == 0 && n-s.high >= 63 { // a whole word
			s.seen[s.high&s.mask/64] = 0
			s.high += 63
			continue
		}
		s.seen[s.high&s.mask/64] &^= 1 << (s.high % 64)
	}
}

func (s *numbers) set(n uint64) { s.seen[n&s.mask/64] |= 1 << (n % 64) }

// has says whether n, which must lie in the window, was seen.
func (s *numbers) has(n uint64) bool { return s.seen[n&s.mask/64]&(1<<(n%64)) != 0 }

// span is how many numbers lie in the window.
func (s *numbers) span() uint64 { return min(s.high, s.window) }

// forget begins a new term.
func (s *numbers) forget() {
	s.high = 0
	clear(s.seen)
}

// merge adds what another one has seen.
func (s *numbers) merge(other *numbers) {
	low, high := s, other
	if s.high > other.high {
		low, high = other, s
	}
	union := numbers{window: s.window, high: high.high, seen: slices.Clone(high.seen), mask: high.mask}
	for back := range low.span() {
		if n := low.high - back; union.high-n < union.window && low.has(n) {
			union.set(n)
		}
	}
	*s = union
}

// bits has a bit for each number of the window, from the highest downwards, up to the last that was seen.
func (s *numbers) bits() []byte {
	all := make([]byte, (s.span()+7)/8)
	used := 0
	for back := range s.span() {
		if s.has(s.high - back) {
			all[back/8] |= 1 << (back % 8)
			used = int(back/8) + 1
		}
	}
	return all[:used]
}

// setBits is bits backwards. It says false for what bits does not make.
func (s *numbers) setBits(high uint64, all []byte) bool {
	s.forget()
	s.rise(high)
	if len(all) == 0 || all[0]&1 == 0 || all[len(all)-1] == 0 {
		return false
	}
	for i, b := range all {
		for bit := range 8 {
			back := uint64(8*i + bit)
			switch {
			case b&(1<<bit) == 0:
			case back >= s.span():
				return false
			default:
				s.set(high - back)
			}
		}
	}
	return true
}
