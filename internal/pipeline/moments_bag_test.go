package pipeline_test

import (
	"fmt"
	"maps"
	"strings"
)

// bag is a table without a key, as a reader has it: how often each row is there.
type bag struct {
	rows map[string]int
	last coord // of the newest change

	facts []*fact // all of the table
	truth map[string]int
	upTo  int // facts that truth has
}

func newBag(tr *truth, table string) *bag {
	b := &bag{rows: map[string]int{}, truth: map[string]int{}}
	for _, f := range tr.facts {
		if f.table == table {
			b.facts = append(b.facts, f)
		}
	}
	return b
}

func bagKey(values []string) string { return strings.Join(values, "\x00") }

// apply makes a change.
func (f *fact) apply(rows map[string]int) {
	switch f.op {
	case "insert":
		rows[bagKey(f.values)]++
	case "delete":
		rows[bagKey(f.values)]--
	case "update":
		rows[bagKey(f.before)]--
		rows[bagKey(f.values)]++
	}
}

// compare holds the rows against the table at a place, or at the newest change that the reader has if that is behind it.
// Where the load entered the stream behind both, it holds them against the table at some later place: where that was is
// nowhere told, but a bag that was made of two different places is equal to none. Places only grow.
func (b *bag) compare(place coord) string {
	if b.last.compare(place) > 0 {
		place = b.last
	}
	for ; b.upTo < len(b.facts) && b.facts[b.upTo].at.compare(place) <= 0; b.upTo++ {
		b.facts[b.upTo].apply(b.truth)
	}
	first := difference(b.rows, b.truth)
	if first == "" {
		return ""
	}
	later := maps.Clone(b.truth)
	for _, f := range b.facts[b.upTo:] {
		f.apply(later)
		if difference(b.rows, later) == "" {
			return ""
		}
	}
	return first
}

// difference tells of a row that two bags have not equally often.
func difference(got, want map[string]int) string {
	for _, rows := range []map[string]int{got, want} {
		for row := range rows {
			if got[row] != want[row] {
				return fmt.Sprintf("row %q is there %d times, not %d", row, got[row], want[row])
			}
		}
	}
	return ""
}
