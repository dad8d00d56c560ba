package dedupe

import (
	"cmp"
	"slices"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// position is a record.Position in 16 bytes, in the same order. There are tens of thousands per shard.
type position struct {
	hi uint64 // file number, upper half of the event's start
	lo uint64 // lower half of the event's start, row, half
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.hi, q.hi), cmp.Compare(p.lo, q.lo))
}

// pack gives a change's position. A record without one, or with one that no binlog can have, has none.
func pack(m *record.Mark) (position, bool) {
	p := m.Position
	if !m.Placed || p.FileNumber >= 1<<32 || p.Row >= 1<<31 {
		return position{}, false
	}
	return position{
		hi: p.FileNumber<<32 | p.EventStart>>32,
		lo: p.EventStart<<32 | uint64(p.Row)<<1 | uint64(p.Half&1),
	}, true
}

// member is a change in the window: where it stands, and which it is.
type member struct {
	at position
	id pair
}

func (m member) compare(p position) int { return m.at.compare(p) }

// members is the set of the changes with the highest positions, at most limit of them, in ascending order. Changes
// arrive nearly in order, so that an insertion moves little, and the lowest are cut off at the front without moving
// anything.
type members struct {
	limit int
	list  []member
	whole []member // the memory that list is a part of, if add made it
}

func (s *members) find(p position) (int, bool) {
	n := len(s.list)
	if n == 0 || s.list[n-1].compare(p) < 0 {
		return n, false
	}
	return slices.BinarySearchFunc(s.list, p, member.compare)
}

func (s *members) has(p position) bool {
	_, ok := s.find(p)
	return ok
}

// below reports whether the set is full and p is lower than all of it.
func (s *members) below(p position) bool {
	return len(s.list) >= s.limit && s.list[0].compare(p) > 0
}

// add puts m into the set, which does not hold its position, and drops the lowest member if there are too many.
func (s *members) add(m member) {
	if len(s.list) == cap(s.list) {
		s.makeRoom()
	}
	i, _ := s.find(m.at)
	s.list = slices.Insert(s.list, i, m)
	if len(s.list) > s.limit {
		s.list = s.list[1:]
	}
}

// makeRoom moves the list to the front again, over what was cut off there, or into memory that has room for a quarter
// more than the limit in the end.
func (s *members) makeRoom() {
	if n := len(s.list); n < len(s.whole) && &s.whole[len(s.whole)-1] == &s.list[n-1] {
		s.list = s.whole[:copy(s.whole, s.list)]
		return
	}
	size := min(max(64, 2*len(s.list)), s.limit+s.limit/4+2)
	s.whole = make([]member, size)
	s.list = s.whole[:copy(s.whole, s.list)]
}

// merge adds the members of another set, with translated names, and keeps the highest of both.
func (s *members) merge(other *members, moved func([]pair) []pair) {
	all := slices.Clone(s.list)
	for _, m := range other.list {
		all = append(all, member{m.at, moved([]pair{m.id})[0]})
	}
	slices.SortFunc(all, func(a, b member) int { return a.at.compare(b.at) })
	all = slices.CompactFunc(all, func(a, b member) bool { return a.at == b.at })
	s.list = slices.Clone(all[max(0, len(all)-s.limit):])
}

// pairs is the changes of the set that have a GTID, sorted.
func (s *members) pairs() []pair {
	list := make([]pair, 0, len(s.list))
	for _, m := range s.list {
		if m.id != (pair{}) {
			list = append(list, m.id)
		}
	}
	return sortedPairs(list)
}
