package verify

// watch is some rows whose versions somebody waits for while the replay goes on: a row is as it should be if its
// source's form is one of the versions that the replay held up to a position behind the SELECT that read it.
type watch struct {
	before uint64              // number of the first transaction that a SELECT cannot have seen; 0: there is no telling
	rows   map[string]*suspect // by table and row key
	counts map[string]*tally   // by table and content
}

// suspect is a row that is not the same on both sides, or was not at some moment.
type suspect struct {
	table   *table
	key     []byte
	source  *sourceRow // as it was read last; nil: it is not there
	settled bool       // the replay held the same
	data    []byte     // what the replay held last
	known   bool       // there was a record of it
}

// tally is how often a table without a key has a row.
type tally struct {
	source  int64
	count   int64
	settled bool
}

// see takes note of a version: nil is that there is no row. A load has no transaction; it is a version as any other.
func (w *watch) see(id []byte, tx uint64, data []byte) {
	if w == nil {
		return
	}
	s := w.rows[string(id)]
	if s == nil || s.settled || w.before != 0 && tx >= w.before {
		return
	}
	s.settled = s.source.same(data)
}

// count takes note of another number of a row.
func (w *watch) count(t *table, content []byte, tx uint64, n int64) {
	if w == nil {
		return
	}
	c := w.counts[string(entry(0, t.id, content...)[1:])]
	if c == nil || w.before != 0 && tx >= w.before {
		return
	}
	c.count += n
	c.settled = c.settled || c.count == c.source
}
