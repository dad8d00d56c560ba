package dedupe

import "slices"

// numbers is which writer-sequence numbers of one term a shard has seen: the highest, and of the window numbers up to it
// each one that was there. The lower ones need not be remembered, for a writer sends no number that is a window or more
// above its lowest one that is not acknowledged: whatever lies that far below the highest was stored before it.
type numbers struct {
	window uint64
	high   uint64   // 0: none was seen
	seen   []uint64 // the bit n % window is that of number n; nil: none was ever seen
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
		s.seen = make([]uint64, (s.window+63)/64)
	}
	if n-s.high >= s.window {
		clear(s.seen)
	} else {
		for k := s.high + 1; k <= n; k++ {
			s.seen[k%s.window/64] &^= 1 << (k % s.window % 64)
		}
	}
	s.high = n
}

func (s *numbers) set(n uint64) { s.seen[n%s.window/64] |= 1 << (n % s.window % 64) }

// has says whether n, which must lie in the window, was seen.
func (s *numbers) has(n uint64) bool { return s.seen[n%s.window/64]&(1<<(n%s.window%64)) != 0 }

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
	union := numbers{window: s.window, high: high.high, seen: slices.Clone(high.seen)}
	for back := range low.span() {
		if n := low.high - back; union.high-n < union.window && low.has(n) {
			union.set(n)
		}
	}
	*s = union
}

// bits has a bit for each number of the window, from the highest downwards, up to the last that was seen.
func (s *numbers) bits() []byte {
	bits := make([]byte, (s.span()+7)/8)
	used := 0
	for back := range s.span() {
		if s.has(s.high - back) {
			bits[back/8] |= 1 << (back % 8)
			used = int(back/8) + 1
		}
	}
	return bits[:used]
}

// setBits is bits backwards. It says false for what bits does not make.
func (s *numbers) setBits(high uint64, bits []byte) bool {
	s.forget()
	s.rise(high)
	if len(bits) == 0 || bits[0]&1 == 0 || bits[len(bits)-1] == 0 {
		return false
	}
	for i, b := range bits {
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
