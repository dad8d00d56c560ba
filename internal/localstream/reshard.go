package localstream

import "slices"

// The functions here change the shards in a streamMeta by the rules of Kinesis: a shard never changes its range, it
// is closed and its children take over. They are given the time and leave End of what they close to the caller, who
// seals the logs.

// addShard appends an open shard.
func (m *streamMeta) addShard(first, last hashKey, now int64, parents ...int) {
	s := shardMeta{Number: m.NextShard, First: first, Last: last, Created: now}
	if len(parents) > 0 {
		s.Parent = &parents[0]
	}
	if len(parents) > 1 {
		s.Adjacent = &parents[1]
	}
	m.NextShard++
	m.Shards = append(m.Shards, s)
}

func (m *streamMeta) find(number int) *shardMeta {
	for i := range m.Shards {
		if m.Shards[i].Number == number {
			return &m.Shards[i]
		}
	}
	return nil
}

// split closes the open shard with the given number in favour of two: one up to before at, one from at on.
func (m *streamMeta) split(number int, at hashKey, now int64) error {
	s := m.find(number)
	if s == nil || !s.open() {
		return invalidArgument("Shard %s in stream %s is not open and can't be split.", shardID(number), m.Name)
	}
	if !s.First.less(at) || s.Last.less(at) {
		return invalidArgument("NewStartingHashKey %s has to be above the start %s and not above the end %s of shard %s.",
			at, s.First, s.Last, shardID(number))
	}
	first, last := s.First, s.Last
	s.Closed = now
	m.addShard(first, at.prev(), now, number)
	m.addShard(at, last, now, number)
	return nil
}

// merge closes two open neighbours in favour of one.
func (m *streamMeta) merge(number, adjacent int, now int64) error {
	a, b := m.find(number), m.find(adjacent)
	if a == nil || b == nil || !a.open() || !b.open() {
		return invalidArgument("Shards %s and %s in stream %s are not both open and can't be merged.",
			shardID(number), shardID(adjacent), m.Name)
	}
	lower, upper := a, b
	if upper.First.less(lower.First) {
		lower, upper = upper, lower
	}
	if number == adjacent || lower.Last == maxHash || lower.Last.next() != upper.First {
		return invalidArgument("Shards %s and %s in stream %s are not adjacent.", shardID(number), shardID(adjacent), m.Name)
	}
	first, last := lower.First, upper.Last
	a.Closed, b.Closed = now, now
	m.addShard(first, last, now, number, adjacent)
	return nil
}

// scale divides the hash space evenly among n shards by splits and merges, so that a reader who follows from parents
// to children keeps the order of every key.
func (m *streamMeta) scale(n int, now int64) error {
	starts := evenStarts(n)
	for _, at := range starts[1:] {
		if s := m.openAt(at); s.First != at {
			if err := m.split(s.Number, at, now); err != nil {
				return err
			}
		}
	}
	for i, at := range starts {
		last := maxHash
		if i+1 < n {
			last = starts[i+1].prev()
		}
		for s := m.openAt(at); s.Last != last; s = m.openAt(at) {
			if err := m.merge(s.Number, m.openAt(s.Last.next()).Number, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// openAt returns the open shard that holds h.
func (m *streamMeta) openAt(h hashKey) shardMeta {
	i := slices.IndexFunc(m.Shards, func(s shardMeta) bool { return s.open() && !h.less(s.First) && !s.Last.less(h) })
	return m.Shards[i]
}
