package binlog

import (
	"io"

	"github.com/binlogstreamer/binlogstreamer/internal/heap"
)

// scratch is memory for one event at a time, used again for the next.
type scratch struct{ buf []byte }

const (
	scratchKeep = 4 << 20 // a larger one is given back at the end of the transaction
	believed    = 1 << 20 // how much of a length is believed before any of its bytes have come
)

// get gives n bytes and forgets what was there.
func (s *scratch) get(n int) []byte {
	if n > cap(s.buf) {
		s.buf = nil
		s.buf = allocate(n)
	}
	s.buf = s.buf[:n]
	return s.buf
}

// allocate makes n bytes: exactly as many where it matters, more where it saves the next one.
func allocate(n int) []byte {
	size := n
	heap.Room(n)
	if n < believed {
		for size = 4 << 10; size < n; {
			size *= 2
		}
	}
	return make([]byte, n, size)
}

// read reads n bytes behind head. That there are so many is believed when the first of them have come, so that a length
// that lies does not take memory by itself.
func (s *scratch) read(r io.Reader, head []byte, n int) ([]byte, error) {
	first := min(n, believed)
	b := s.get(len(head) + first)
	copy(b, head)
	if _, err := io.ReadFull(r, b[len(head):]); err != nil {
		return nil, err
	}
	if first == n {
		return b, nil
	}
	if total := len(head) + n; total <= cap(b) {
		s.buf = b[:total]
	} else {
		s.buf = append(allocate(total)[:0], b...)[:total]
	}
	_, err := io.ReadFull(r, s.buf[len(b):])
	return s.buf, err
}

// release gives large memory back.
func (s *scratch) release() {
	if cap(s.buf) > scratchKeep {
		s.buf = nil
	}
}
