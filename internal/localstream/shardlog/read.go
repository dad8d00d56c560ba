package shardlog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// ErrTrimmed is returned when records that were asked for have expired and are gone.
var ErrTrimmed = errors.New("the records are older than the oldest one kept")

// Cursor is a place in a log: the record to be read next, and where it was seen to be. The place is only a hint; a
// zero or wrong one costs time, not correctness.
type Cursor struct {
	Counter uint64
	Segment uint64
	Offset  int64
}

// Bounds are the ends of a log.
type Bounds struct {
	First   uint64 // counter of the oldest record kept, equal to Next if there is none
	Next    uint64 // counter of the next record to come
	Arrival int64  // of the newest record that there ever was, Unix milliseconds
	Sealed  bool
}

// Bounds tells where the log begins and ends now.
func (l *Log) Bounds() Bounds {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := Bounds{First: l.next, Next: l.next, Arrival: l.arrival, Sealed: l.sealed}
	if len(l.segs) > 0 {
		b.First = l.segs[0].first
	}
	return b
}

// Size returns the bytes on disk.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := int64(0)
	for _, s := range l.segs {
		size += s.size
	}
	return size
}

// Read returns records from the one at c on: at most limit of them, and no more than maxBytes of keys and data unless
// the first alone has more. It returns none at the end of the log. The second value is where to go on.
//
// What is appended meanwhile is left for the next call. Reading on to where the log ends by then would, against writers
// that are as fast, end at the limits only, and keep from the caller for seconds what was there when it asked.
func (l *Log) Read(c Cursor, limit, maxBytes int) ([]Record, Cursor, error) {
	return l.readUpTo(l.Bounds().Next, c, limit, maxBytes)
}

// readUpTo is Read of the records in front of the one with the counter end.
func (l *Log) readUpTo(end uint64, c Cursor, limit, maxBytes int) ([]Record, Cursor, error) {
	var out []Record
	bytes := 0
	for len(out) < limit {
		s, following, err := l.segmentOf(c.Counter)
		if err != nil {
			return nil, c, err
		}
		if s.first == 0 {
			return out, c, nil // the end
		}
		full, err := l.readSegment(s, following, &c, func(r frame) bool {
			if r.Counter >= end || len(out) == limit || len(out) > 0 && bytes+len(r.Key)+len(r.Data) > maxBytes {
				return false
			}
			bytes += len(r.Key) + len(r.Data)
			out = append(out, r.Record)
			return true
		})
		if err != nil || full || c.Counter >= end {
			return out, c, err
		}
	}
	return out, c, nil
}

// segmentOf returns the segment that holds the record with the given counter, as it is now, and the counter with
// which the segment after it begins, or the log ends. A zero segment: the record is not there yet.
func (l *Log) segmentOf(counter uint64) (s segment, following uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if counter >= l.next {
		if counter > l.next {
			return segment{}, 0, fmt.Errorf("record %d was asked for where %d is the next to come", counter, l.next)
		}
		return segment{}, 0, nil
	}
	i, exact := slices.BinarySearchFunc(l.segs, counter, func(s segment, c uint64) int { return cmp.Compare(s.first, c) })
	if !exact {
		i--
	}
	if i < 0 || len(l.segs) == 0 {
		return segment{}, 0, ErrTrimmed
	}
	following = l.next
	if i+1 < len(l.segs) {
		following = l.segs[i+1].first
	}
	return l.segs[i], following, nil
}

// readSegment hands the frames of s from c on to take until it says no, and moves c behind what was taken. It reports
// whether take said no. At the end of s, c hints at that end: what comes next may have been appended to s meanwhile, and
// another segment is read from its start anyway.
func (l *Log) readSegment(s segment, following uint64, c *Cursor, take func(frame) bool) (stopped bool, err error) {
	path := l.path(s.first)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && l.Bounds().First > s.first {
		return false, ErrTrimmed // between looking and opening
	}
	if err != nil {
		return false, fmt.Errorf("open segment for reading: %w", err)
	}
	defer f.Close()

	fr, expect := s.open(f, path, *c)
	for {
		at := fr.off
		r, err := fr.next()
		if errors.Is(err, io.EOF) {
			if expect != following {
				return false, fr.corrupt(fmt.Sprintf("the segment ends before record %d where it has to hold up to %d", expect, following-1))
			}
			*c = Cursor{Counter: following, Segment: s.first, Offset: fr.off}
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if r.Counter != expect {
			fr.off = at
			return false, fr.corrupt(fmt.Sprintf("record %d stands where record %d is due", r.Counter, expect))
		}
		expect++
		if r.Counter < c.Counter {
			continue
		}
		if !take(r) {
			*c = Cursor{Counter: r.Counter, Segment: s.first, Offset: at}
			return true, nil
		}
	}
}

// open returns the frames of s from the place that c hints at, if the record that c means is there, else from the
// start, and the counter of the first of them.
func (s segment) open(f io.ReaderAt, name string, c Cursor) (*frames, uint64) {
	if c.Segment == s.first && c.Offset >= int64(headerSize) && c.Offset < s.size {
		fr := &frames{file: f, name: name, salt: s.salt, off: c.Offset, end: s.size}
		if r, err := fr.peek(); err == nil && r.Counter == c.Counter {
			return fr, c.Counter
		}
	}
	return &frames{file: f, name: name, salt: s.salt, off: int64(headerSize), end: s.size}, s.first
}

// SeekTime returns the place of the first record that arrived at or after t (Unix milliseconds), or the end.
func (l *Log) SeekTime(t int64) (Cursor, error) {
	l.mu.Lock()
	end := Cursor{Counter: l.next}
	if len(l.segs) == 0 || l.arrival < t {
		l.mu.Unlock()
		return end, nil
	}
	// The last segment before which all records are older than t holds the place, or ends right before it.
	i, _ := slices.BinarySearchFunc(l.segs, t, func(s segment, t int64) int {
		if s.floor < t {
			return -1
		}
		return 1
	})
	s := l.segs[max(i-1, 0)]
	following := l.next
	if i := max(i-1, 0); i+1 < len(l.segs) {
		following = l.segs[i+1].first
	}
	l.mu.Unlock()

	c := Cursor{Counter: s.first}
	_, err := l.readSegment(s, following, &c, func(r frame) bool { return r.Arrival < t })
	return c, err
}
