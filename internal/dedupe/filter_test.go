package dedupe

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// change is a record of one row change as a writer sends it.
func change(term, epoch uint64, file, start, row int, op record.Operation, gtid string, id uint64) []byte {
	name := fmt.Sprintf("bin.%06d", file)
	pos := record.AppendStreamPosition(nil, record.Place{File: name, EventStart: uint64(start), EventEnd: uint64(start) + 10, Row: uint32(row)}, 1)
	b := fmt.Appendf(nil, `{"data":{"id":%d},"metadata":{"record-type":"data","operation":%q,"transaction-record-id":%d,"stream-position":%q`,
		row, op.String(), id, pos)
	if gtid != "" {
		b = fmt.Appendf(b, `,"gtid":%q`, gtid)
	}
	return fmt.Appendf(b, `,"writer-term":%d,"source-epoch":%d}}`, term, epoch)
}

// unplaced is a record without a position as a writer sends it. Its number is left out if it is 0.
func unplaced(term, epoch int, kind, op string, seq int) []byte {
	b := fmt.Appendf(nil, `{"data":{},"metadata":{"record-type":%q,"operation":%q,"writer-term":%d,"source-epoch":%d`, kind, op, term, epoch)
	if seq > 0 {
		b = fmt.Appendf(b, `,"writer-sequence":%d`, seq)
	}
	return append(b, "}}"...)
}

func numbered(term, seq int) []byte { return unplaced(term, 1, "data", "load", seq) }

func at(term, start int) []byte {
	return change(uint64(term), 1, 1, start, 0, record.Update, "", 1)
}

func TestRules(t *testing.T) {
	type step struct {
		data []byte
		want Verdict
	}
	load := func(term, epoch int) []byte { return unplaced(term, epoch, "data", "load", 0) }
	fence := func(term int) []byte { return unplaced(term, 1, "control", "create-table", 0) }
	gtid := func(term, epoch, start, n, id int) []byte {
		return change(uint64(term), uint64(epoch), 1, start, 0, record.Update, "3e11fa47-71ca-11e1-9e33-c80aa9429562:"+strconv.Itoa(n), uint64(id))
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"foreign records pass", []step{
			{[]byte("plain text"), Keep}, {[]byte("plain text"), Keep},
			{[]byte(`{"metadata":{"record-type":"data","operation":"insert","stream-position":"bin.1:4:0:5:1:bin.1:2"}}`), Keep},
			{[]byte(`{"metadata":{"record-type":"data","operation":"insert","stream-position":"bin.1:4:0:5:1:bin.1:2"}}`), Keep},
		}},
		{"a repeated position", []step{{at(1, 10), Keep}, {at(1, 20), Keep}, {at(2, 10), Repeated}, {at(2, 20), Repeated}, {at(2, 30), Keep}}},
		{"an old term", []step{{at(5, 10), Keep}, {at(4, 20), OldTerm}, {load(4, 1), OldTerm}, {at(5, 20), Keep}}},
		{"a control record raises the term", []step{{at(5, 10), Keep}, {fence(6), Keep}, {at(5, 20), OldTerm}, {load(5, 1), OldTerm}, {load(6, 1), Keep}, {load(6, 1), Keep}}},
		{"records without a number or a position", []step{{load(6, 1), Keep}, {load(6, 1), Keep}, {fence(6), Keep}, {fence(6), Keep}}},
		{"a repeated number", []step{
			{numbered(1, 3), Keep}, {numbered(1, 3), Repeated}, {numbered(1, 1), Keep}, {at(1, 10), Keep}, {numbered(1, 1), Repeated}, {numbered(1, 4), Keep},
			{numbered(1, 2), Keep}, {numbered(1, 3), Repeated},
		}},
		{"a number that is a window below", []step{{numbered(1, 2), Keep}, {numbered(1, 5), Keep}, {numbered(1, 1), BelowWindow}, {numbered(1, 3), Keep}, {numbered(1, 2), Repeated}, {numbered(1, 1<<62), Keep}, {numbered(1, 1<<62-3), Keep}, {numbered(1, 1<<62-4), BelowWindow}, {numbered(1, 5), BelowWindow}}},
		{"numbers begin anew with the term", []step{{numbered(1, 9), Keep}, {numbered(2, 1), Keep}, {numbered(1, 10), OldTerm}, {at(3, 10), Keep}, {numbered(3, 1), Keep}, {numbered(3, 1), Repeated}}},
		{"numbers of loads and of control records are one count", []step{{numbered(1, 1), Keep}, {unplaced(1, 1, "control", "drop-table", 1), Repeated}, {unplaced(1, 1, "control", "drop-table", 2), Keep}}},
		{"numbers do not care for epochs", []step{{numbered(1, 1), Keep}, {change(1, 5, 1, 10, 0, record.Update, "", 1), Keep}, {numbered(1, 1), Repeated}, {numbered(1, 2), Keep}}},
		{"late but never stored", []step{{at(1, 30), Keep}, {at(1, 10), Keep}, {at(1, 20), Keep}, {at(1, 20), Repeated}}},
		{"below a full window", []step{{at(1, 10), Keep}, {at(1, 20), Keep}, {at(1, 30), Keep}, {at(1, 40), Keep}, {at(1, 5), BelowWindow}, {at(1, 15), Keep}, {at(1, 10), BelowWindow}, {at(1, 35), Keep}, {at(1, 15), BelowWindow}, {at(1, 25), Keep}}},
		{"delete and insert at one place", []step{
			{change(1, 1, 1, 10, 3, record.Delete, "", 1), Keep}, {change(1, 1, 1, 10, 3, record.Insert, "", 2), Keep},
			{change(1, 1, 1, 10, 3, record.Delete, "", 7), Repeated}, {change(1, 1, 1, 10, 3, record.Insert, "", 8), Repeated},
		}},
		{"a newer epoch begins below", []step{{at(1, 100), Keep}, {at(1, 110), Keep}, {at(1, 120), Keep}, {change(2, 2, 1, 4, 0, record.Update, "", 1), Keep}, {change(2, 2, 1, 4, 0, record.Update, "", 1), Repeated}}},
		{"a newer epoch repeats a GTID", []step{{gtid(1, 1, 100, 7, 1), Keep}, {gtid(1, 1, 110, 7, 2), Keep}, {gtid(2, 2, 4, 7, 2), OtherEpoch}, {gtid(2, 2, 8, 7, 3), Keep}, {gtid(3, 2, 4, 7, 2), Repeated}}},
		{"an epoch without changes does not forget", []step{{gtid(1, 1, 100, 7, 1), Keep}, {load(2, 2), Keep}, {load(3, 3), Keep}, {gtid(3, 3, 4, 7, 1), OtherEpoch}}},
		{"an epoch older than the newest with a live term passes", []step{{at(1, 100), Keep}, {load(2, 2), Keep}, {at(2, 100), Keep}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFilter(4)
			for i, s := range tc.steps {
				if got := f.Check(s.data); got != s.want {
					t.Fatalf("step %d: %s = %v, want %v", i, s.data, got, s.want)
				}
				f = reload(t, f)
			}
		})
	}
}

// reload saves the state and continues with what was saved.
func reload(t *testing.T, f *Filter) *Filter {
	t.Helper()
	saved, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &Filter{window: f.window}
	if err := g.UnmarshalBinary(saved); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestMergeOfParents(t *testing.T) {
	a, b := newFilter(4), newFilter(4)
	for _, s := range []int{10, 30, 50} {
		a.Check(at(1, s))
	}
	for _, s := range []int{20, 40, 60} {
		b.Check(at(3, s))
	}
	child := Merge(a, b)
	for _, tc := range []struct {
		term, start int
		want        Verdict
	}{{1, 70, OldTerm}, {3, 50, Repeated}, {3, 30, Repeated}, {3, 20, BelowWindow}, {3, 35, Keep}, {3, 70, Keep}} {
		if got := child.Check(at(tc.term, tc.start)); got != tc.want {
			t.Errorf("term %d, start %d: %v, want %v", tc.term, tc.start, got, tc.want)
		}
	}
	if got := a.Check(at(1, 60)); got != Keep {
		t.Errorf("merging changed a parent: %v", got)
	}
}

func TestMergeOfNumbers(t *testing.T) {
	a, b, c := newFilter(4), newFilter(4), newFilter(4)
	for _, n := range []int{1, 2, 4} {
		a.Check(numbered(3, n))
	}
	for _, n := range []int{3, 6} {
		b.Check(numbered(3, n))
	}
	for _, n := range []int{5, 7} {
		c.Check(numbered(2, n)) // of an older term: they count for nothing
	}
	for what, child := range map[string]*Filter{"a, b, c": Merge(a, b, c), "c, b, a": Merge(c, b, a), "saved": reload(t, Merge(b, c, a))} {
		for _, tc := range []struct {
			n    int
			want Verdict
		}{{2, BelowWindow}, {3, Repeated}, {4, Repeated}, {5, Keep}, {6, Repeated}, {7, Keep}, {8, Keep}, {4, BelowWindow}} {
			if got := child.Check(numbered(3, tc.n)); got != tc.want {
				t.Errorf("%s: %d: %v, want %v", what, tc.n, got, tc.want)
			}
		}
	}
	if got := a.Check(numbered(3, 3)); got != Keep {
		t.Errorf("merging changed a parent: %v", got)
	}
	if got := Merge(newFilter(4), newFilter(4)).Check(numbered(3, 3)); got != Keep {
		t.Errorf("a child of empty parents: %v", got)
	}
}

// Numbers of one shard come sparse and in nearly their order; the filter must say what a plain set of them says.
func TestNumbersAreASet(t *testing.T) {
	for _, window := range []int{1, 3, 64, 100, 1000} {
		r := rand.New(rand.NewPCG(uint64(window), 1))
		f, seen, high := newFilter(window), map[int]bool{}, 0
		for range 5_000 {
			n := max(1, high-window-2+r.IntN(window+5))
			if r.IntN(100) == 0 {
				n += r.IntN(3 * window)
			}
			want := Keep
			switch {
			case n+window <= high:
				want = BelowWindow
			case seen[n]:
				want = Repeated
			}
			if got := f.Check(numbered(1, n)); got != want {
				t.Fatalf("window %d: %d behind %d: %v, want %v", window, n, high, got, want)
			}
			seen[n], high = true, max(n, high)
			if r.IntN(500) == 0 {
				f = reload(t, f)
			}
		}
	}
}

// Numbers that no writer comes to must not hang a reader.
func TestTheHighestNumbers(t *testing.T) {
	s := numbers{window: 4}
	for _, n := range []uint64{math.MaxUint64 - 2, math.MaxUint64, math.MaxUint64 - 1} {
		if got := s.check(n); got != Keep {
			t.Errorf("%d: %v", n, got)
		}
		if got := s.check(n); got != Repeated {
			t.Errorf("%d again: %v", n, got)
		}
	}
	if got := s.check(1); got != BelowWindow {
		t.Errorf("1: %v", got)
	}
}

func TestMergeAcrossEpochs(t *testing.T) {
	a, b := newFilter(4), newFilter(4)
	a.Check(change(1, 1, 1, 10, 0, record.Update, "s:1", 1))
	b.Check(change(2, 2, 1, 4, 0, record.Update, "s:2", 1))
	child := reload(t, Merge(a, b))
	if got := child.Check(change(2, 2, 1, 8, 0, record.Update, "s:1", 1)); got != OtherEpoch {
		t.Errorf("a change that one parent stored in the former epoch: %v", got)
	}
	if got := child.Check(change(2, 2, 1, 4, 0, record.Update, "s:2", 1)); got != Repeated {
		t.Errorf("a change that the other parent stored in this epoch: %v", got)
	}
	if got := child.Check(change(2, 2, 1, 12, 0, record.Update, "s:3", 1)); got != Keep {
		t.Errorf("a new change: %v", got)
	}
}

func TestGTIDsThatLookAlike(t *testing.T) {
	n := newNames()
	seen := map[pair]string{}
	for _, g := range []string{"a:1", "a:01", "a:11", "a:1:1", "a:0", "a:", "a", "a:100000000000001", "a:1000000000000010", "a:99999999999999", "0-1-5", "0-15", "12345678901234567890"} {
		p := n.pair([]byte(g), 1)
		if other, twice := seen[p]; twice {
			t.Errorf("%q and %q are one pair", g, other)
		}
		seen[p] = g
		if again := n.pair([]byte(g), 1); again != p {
			t.Errorf("%q is two pairs", g)
		}
	}
}

func TestFullWindowIsSmallWhenSaved(t *testing.T) {
	f := New()
	for i := range Window + 1000 {
		if got := f.Check(change(1, 1, 1+i/20000, 4+i%20000*300, 0, record.Insert, "3e11fa47-71ca-11e1-9e33-c80aa9429562:"+strconv.Itoa(i+1), 1)); got != Keep {
			t.Fatal(i, got)
		}
	}
	saved, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(saved))
	for n, step := 1, 1; n < 4*Window; n, step = n+step, 1+step%7 { // hard to compress
		f.Check(numbered(1, n))
	}
	with, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(with)-len(saved) > Window/8+64 {
		t.Errorf("numbers take %d bytes", len(with)-len(saved))
	}
	if len(saved) > 256<<10 {
		t.Errorf("a full window takes %d bytes", len(saved))
	}
	g := reload(t, f)
	if !slices.Equal(f.set.list, g.set.list) || len(g.set.list) != Window {
		t.Error("the state differs after loading")
	}
}

func FuzzUnmarshal(f *testing.F) {
	g := newFilter(4)
	g.Check(change(1, 1, 1, 10, 0, record.Update, "s:1", 1))
	g.Check(change(2, 2, 1, 10, 0, record.Update, "s:2", 1))
	g.Check(numbered(2, 7))
	g.Check(numbered(2, 5))
	saved, _ := g.AppendBinary(nil)
	f.Add(saved)
	f.Add([]byte(stateMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := newFilter(4)
		if err := g.UnmarshalBinary(data); err != nil {
			if !errors.Is(err, ErrState) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		g.Check(at(9, 9))
		g.Check(numbered(9, 9))
		if _, err := g.AppendBinary(nil); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkCheckLoad(b *testing.B) {
	var all [][]byte
	for n := range 50_000 {
		all = append(all, numbered(1, 1+n*16)) // one shard of sixteen
	}
	benchmarkCheck(b, all)
}

func BenchmarkCheck(b *testing.B) {
	const events, rows = 1000, 50
	var all [][]byte
	for e := range events {
		for r := range rows {
			all = append(all, change(1, 1, 1, 4+e*5000, r, record.Insert, "3e11fa47-71ca-11e1-9e33-c80aa9429562:"+strconv.Itoa(e+1), uint64(r+1)))
		}
	}
	benchmarkCheck(b, all)
}

func benchmarkCheck(b *testing.B, all [][]byte) {
	b.ReportAllocs()
	b.SetBytes(int64(len(all[0])))
	f, i := New(), 0
	for b.Loop() {
		if i == len(all) {
			f, i = New(), 0
		}
		if f.Check(all[i]) != Keep {
			b.Fatal("dropped")
		}
		i++
	}
}
