package dedupe

import (
	"slices"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// Window is the number of highest positions that a reader remembers per shard, and how far below the highest number it
// remembers numbers. It is a constant of the format: writers rely on it when they decide how far to run ahead of their
// saved checkpoint, and of their acknowledgements.
const Window = 65536

// Verdict is what to do with one record, and why.
type Verdict uint8

// The verdicts. All but Keep mean that the record is dropped.
const (
	Keep        Verdict = iota
	OldTerm             // sent by a writer after its successor had begun: the successor sends it itself
	Repeated            // its position, or its number, was stored before
	BelowWindow         // lower than all positions of a full window, or than all numbers of one, so it was stored before
	OtherEpoch          // stored under the coordinates of the previous epoch, recognised by its GTID
)

var verdictNames = [...]string{
	Keep:        "keep",
	OldTerm:     "old_term",
	Repeated:    "repeated",
	BelowWindow: "below_window",
	OtherEpoch:  "other_epoch",
}

// Drops are the verdicts that mean a dropped record, for whoever counts them.
var Drops = []Verdict{OldTerm, Repeated, BelowWindow, OtherEpoch}

// String is the verdict's name in metrics.
func (v Verdict) String() string { return verdictNames[v] }

// Filter is the state of one shard's reader. It is used by one goroutine at a time.
type Filter struct {
	window   int // Window, except in tests
	term     uint64
	epoch    uint64
	set      members // the highest positions of epoch
	unplaced numbers // of term, of records without a position
	former   []generation
	names    *names
	kept     uint64
	marks    record.Marks // no part of the state: what it gives does not depend on what it was given before
}

// generation is the changes that stood in the window when an epoch ended.
type generation struct {
	pairs []pair // sorted
	fresh int    // changes kept since
}

// maxGenerations bounds their number when failovers follow each other faster than changes do.
const maxGenerations = 8

// New is the state before a shard's first record, for a shard without parents.
func New() *Filter { return newFilter(Window) }

func newFilter(window int) *Filter {
	return &Filter{window: window, set: members{limit: window}, unplaced: numbers{window: uint64(window)}, names: newNames()}
}

// Kept counts the records that were kept by position or number since the filter was made or loaded: what a saved state
// is behind.
func (f *Filter) Kept() uint64 { return f.kept }

// Term is the highest writer term seen.
func (f *Filter) Term() uint64 { return f.term }

// Check judges the next record of the shard and takes it into account. data is not kept.
func (f *Filter) Check(data []byte) Verdict {
	mark, err := f.marks.Parse(data)
	if err != nil || mark.Term == 0 {
		return Keep // not ours: it takes no part in this
	}
	return f.check(&mark)
}

// Whole is that of the record.Marks which have read the record that was checked last.
func (f *Filter) Whole() bool { return f.marks.Whole() }

func (f *Filter) check(m *record.Mark) Verdict {
	if m.Term < f.term {
		return OldTerm
	}
	if m.Term > f.term {
		f.term = m.Term
		f.unplaced.forget()
	}
	if m.Epoch > f.epoch {
		f.begin(m.Epoch)
	}
	at, ok := pack(m)
	switch {
	case !m.Placed && m.Sequence != 0:
		return f.checkNumber(m.Sequence)
	case !ok || m.Epoch < f.epoch:
		return Keep // a position of another epoch cannot be compared
	}
	switch {
	case f.set.has(at):
		return Repeated
	case f.set.below(at):
		return BelowWindow
	}
	id := f.names.pair(m.GTID, m.RecordID)
	f.set.add(member{at, id})
	if f.storedBefore(id) {
		return OtherEpoch
	}
	f.kept++
	f.age()
	return Keep
}

// checkNumber judges a load or control record of the present term.
func (f *Filter) checkNumber(n uint64) Verdict {
	v := f.unplaced.check(n)
	if v == Keep {
		f.kept++
	}
	return v
}

// begin starts a newer epoch. Its positions cannot be compared with those of the last one, but a writer that died
// while it changed over may send again, under the new coordinates, what was stored under the old ones.
func (f *Filter) begin(epoch uint64) {
	f.epoch = epoch
	f.remember(generation{pairs: f.set.pairs()})
	f.set = members{limit: f.window}
}

func (f *Filter) remember(g generation) {
	if len(g.pairs) == 0 {
		return
	}
	f.former = append(f.former, g)
	if n := len(f.former); n > maxGenerations {
		a, b := f.former[n-2], f.former[n-1]
		f.former = append(f.former[:n-2], generation{sortedPairs(a.pairs, b.pairs), min(a.fresh, b.fresh)})
	}
}

func (f *Filter) storedBefore(id pair) bool {
	return id != pair{} && slices.ContainsFunc(f.former, func(g generation) bool { return hasPair(g.pairs, id) })
}

// age counts a kept change and forgets what no writer can send again. At the end of an epoch, everything that may be
// sent again lies within one window behind the saved checkpoint; before the last of it comes, at most all that lies
// within one window of it on either side can have been kept.
func (f *Filter) age() {
	if len(f.former) == 0 {
		return
	}
	for i := range f.former {
		f.former[i].fresh++
	}
	f.former = slices.DeleteFunc(f.former, func(g generation) bool { return g.fresh >= 2*f.window })
}

// Merge is the state in which a child shard begins: what all its parents together have seen. The parents must have
// been read to their ends; they are not changed. Without parents it is New.
func Merge(parents ...*Filter) *Filter {
	if len(parents) == 0 {
		return New()
	}
	child := newFilter(parents[0].window)
	for _, p := range parents {
		child.term = max(child.term, p.term)
		child.epoch = max(child.epoch, p.epoch)
	}
	for _, p := range parents {
		if p.term == child.term {
			child.unplaced.merge(&p.unplaced)
		}
		moved := child.names.adopt(p.names)
		for _, g := range p.former {
			child.remember(generation{sortedPairs(moved(g.pairs)), g.fresh})
		}
		if p.epoch == child.epoch {
			child.set.merge(&p.set, moved)
		} else { // this parent's changes are of an earlier epoch for the child
			child.remember(generation{pairs: sortedPairs(moved(p.set.pairs()))})
		}
	}
	return child
}
