package dedupe

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

var schedules = flag.Int("schedules", 60, "random schedules per window size of TestModel")

// TestModel lets writers that crash, hang and wake up, lose answers, see splits and merges late and follow failovers
// write one source log into a stream, by the rules that writers obey, and reads it with filters. Between the changes they
// load rows, and put control records into every shard. A request whose answer was lost may be carried out late, after
// its resend and after later records of its keys. What the filters keep must be every change once, in order per key, no
// load of an old row behind a change of it, and every other record once. The state is saved and loaded at random on the way.
func TestModel(t *testing.T) {
	for _, window := range []int{4, 16, 64} {
		for seed := range uint64(*schedules) {
			if faults := runModel(seed, window, flaw{}); len(faults) > 0 {
				t.Fatalf("window %d, seed %d: %s", window, seed, faults)
			}
		}
	}
}

// flaw is a rule that is left out, to show that the model needs it.
type flaw struct {
	noFilter  bool
	noNumbers bool // records without a position have no number either
	noBound   bool // a writer runs ahead of its oldest number that is not acknowledged
	noUnion   bool // a child of two shards has the numbers of one of them
	noFloor   bool // a number that is too low to be remembered is kept
}

// TestModelCanFail makes sure that the model creates the trouble that the rules are for.
func TestModelCanFail(t *testing.T) {
	const twice, stale, lost = "there twice", "comes after", "is lost"
	for _, tc := range []struct {
		name      string
		flaw      flaw
		window    int
		schedules uint64
		least     int // of the schedules have a fault
		faults    []string
	}{
		{"without a filter", flaw{noFilter: true}, 16, 20, 10, []string{twice, stale}},
		{"without numbers", flaw{noNumbers: true}, 16, 20, 10, []string{twice, stale}},
		{"without the writer's bound", flaw{noBound: true}, 4, 20, 10, []string{lost}},
		{"without a union where shards are merged", flaw{noUnion: true}, 16, 120, 1, []string{twice}},
		{"without a floor", flaw{noFloor: true}, 4, 20, 10, []string{twice, stale}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			faulty, seen := 0, map[string]int{}
			for seed := range tc.schedules {
				faults := runModel(seed, tc.window, tc.flaw)
				if len(faults) > 0 {
					faulty++
				}
				for _, kind := range tc.faults {
					if i := slices.IndexFunc(faults, func(f string) bool { return strings.Contains(f, kind) }); i >= 0 {
						if seen[kind]++; seen[kind] == 1 {
							t.Logf("seed %d: %s", seed, faults[i])
						}
					}
				}
			}
			t.Logf("%d of %d schedules have a fault: %v", faulty, tc.schedules, seen)
			if faulty < tc.least || len(seen) < len(tc.faults) {
				t.Errorf("%d of %d schedules have a fault, want %d at least, and of the kinds %q", faulty, tc.schedules, tc.least, tc.faults)
			}
		})
	}
}

const hashes = 1 << 16

type modelShard struct {
	lo, hi  int
	parents []int
	records []modelRecord
}

// modelRecord is one record as it is sent, and where its hash says that it goes.
type modelRecord struct {
	hash   int
	key    int    // -1: a control record
	change int    // the change, or of a load the newest change of its row
	number string // of a record without a position; "" is a change
	data   []byte
}

type model struct {
	*rand.Rand
	flaw   flaw
	window int
	keys   []int // of the source log's changes
	hash   []int // of the keys
	shards []modelShard
	open   []int
	late   []modelRecord // carried out some time
	stored int           // all changes that were ever stored lie before it
	saved  int           // the writers' checkpoint: all changes before it are acknowledged
	term   int
	epoch  int
	base   int // of the epoch's binlog offsets
}

type modelWriter struct {
	m                 *model
	term, epoch, base int
	saved             int
	next              int         // the next change to emit
	items             []modelItem // emitted, from the oldest that is not acknowledged
	numbers           int         // given to records without a position
	fenced            bool
	safe              int // rows may be loaded once the changes before it are emitted
	view              []int
	stopped           bool
}

// modelItem is one record on its way, or a control record that every shard gets.
type modelItem struct {
	modelRecord
	seq   int // of a record without a position
	acked bool
}

func (m *model) newWriter() *modelWriter {
	m.term++
	w := &modelWriter{m: m, term: m.term, epoch: m.epoch, base: m.base, next: m.saved, saved: m.saved}
	w.view = slices.Clone(m.open)
	return w
}

func (m *model) reshard() {
	if len(m.open) > 1 && m.IntN(2) == 0 {
		slices.SortFunc(m.open, func(a, b int) int { return m.shards[a].lo - m.shards[b].lo })
		i := m.IntN(len(m.open) - 1)
		a, b := m.open[i], m.open[i+1]
		m.shards = append(m.shards, modelShard{lo: m.shards[a].lo, hi: m.shards[b].hi, parents: []int{a, b}})
		m.open = append(slices.Delete(m.open, i, i+2), len(m.shards)-1)
		return
	}
	i := m.IntN(len(m.open))
	p := m.shards[m.open[i]]
	mid := (p.lo + p.hi) / 2
	if mid == p.lo {
		return
	}
	parent := m.open[i]
	m.shards = append(m.shards, modelShard{lo: p.lo, hi: mid, parents: []int{parent}}, modelShard{lo: mid, hi: p.hi, parents: []int{parent}})
	m.open = append(slices.Delete(m.open, i, i+1), len(m.shards)-2, len(m.shards)-1)
}

// emit appends what the writer sends next: a change, now and then a loaded row.
func (w *modelWriter) emit() {
	m := w.m
	if w.next < len(m.keys) && w.next < w.saved+m.window {
		p := w.next
		w.next++
		gtid := fmt.Sprintf("3e11fa47-71ca-11e1-9e33-c80aa9429562:%d", p/3+1) // three changes per transaction
		data := change(uint64(w.term), uint64(w.epoch), 1, w.base+10*p, 0, record.Update, gtid, uint64(p%3+1))
		w.items = append(w.items, modelItem{modelRecord: modelRecord{hash: m.hash[m.keys[p]], key: m.keys[p], change: p, data: data}})
	}
	if !w.fenced || w.next < w.safe || len(w.items) >= 4*m.window || m.IntN(3) == 0 {
		return
	}
	row := m.IntN(len(m.hash))
	newest := w.next - 1
	for newest >= 0 && m.keys[newest] != row {
		newest--
	}
	seq, ok := w.number()
	if newest < 0 || !ok {
		return
	}
	w.items = append(w.items, modelItem{seq: seq, modelRecord: modelRecord{
		hash: m.hash[row], key: row, change: newest, number: fmt.Sprint(w.term, "/", seq), data: w.unplaced("data", "load", seq),
	}})
}

// number gives the next record without a position its number, if there may be one now.
func (w *modelWriter) number() (seq int, ok bool) {
	if !w.m.flaw.noBound {
		for _, it := range w.items {
			if it.number != "" && !it.acked && w.numbers+1-it.seq >= w.m.window {
				return 0, false
			}
		}
	}
	w.numbers++
	return w.numbers, true
}

func (w *modelWriter) unplaced(kind, op string, seq int) []byte {
	if w.m.flaw.noNumbers {
		seq = 0
	}
	return unplaced(w.term, w.epoch, kind, op, seq)
}

// announce puts a control record into every shard. Nothing else is on the way from this writer until all are
// acknowledged, so the shards do not change meanwhile; some of its requests are made twice.
func (w *modelWriter) announce() {
	m := w.m
	seq, ok := w.number()
	if !ok {
		return
	}
	for _, i := range m.open {
		r := modelRecord{hash: m.shards[i].lo, key: -1, number: fmt.Sprint(w.term, "/", seq), data: w.unplaced("control", "drop-table", seq)}
		m.send(r)
		if m.IntN(3) == 0 {
			m.send(r)
		}
		m.store(r)
	}
	if !w.fenced {
		w.fenced, w.safe = true, m.stored
	}
}

// send makes a request whose answer is lost: it is carried out now, late, or never.
func (m *model) send(r modelRecord) {
	switch m.IntN(4) {
	case 0:
		m.store(r)
	case 1, 2:
		m.late = append(m.late, r)
	}
}

// step sends one request, perhaps partly refused, perhaps with a lost answer, and perhaps saves.
func (w *modelWriter) step() {
	m := w.m
	if m.IntN(20) == 0 {
		w.view = slices.Clone(m.open)
	}
	if m.IntN(25) == 0 {
		w.announce()
	}
	for range m.IntN(8) {
		w.emit()
	}
	lane := m.shards[w.view[m.IntN(len(w.view))]]
	lost := m.IntN(6) == 0
	used := map[int]bool{}
	limit, sent := 1+m.IntN(8), 0
	for i := range w.items {
		it := &w.items[i]
		if it.acked || sent == limit {
			continue
		}
		if used[it.key] || it.hash < lane.lo || it.hash >= lane.hi {
			used[it.key] = true
			continue
		}
		used[it.key] = true
		sent++
		switch {
		case m.IntN(5) == 0: // refused
		case lost:
			m.send(it.modelRecord)
		default:
			m.store(it.modelRecord)
			it.acked = true
		}
	}
	for len(w.items) > 0 && w.items[0].acked {
		w.items = w.items[1:]
	}
	if m.IntN(3) == 0 {
		if w.term != m.term {
			w.stopped = true // the conditional save is refused
			return
		}
		w.saved = w.lowest()
		m.saved = w.saved
	}
}

// lowest is the first change that the writer has no acknowledgement for.
func (w *modelWriter) lowest() int {
	for _, it := range w.items {
		if !it.acked && it.number == "" {
			return it.change
		}
	}
	return w.next
}

// store puts a record into the open shard that has its hash.
func (m *model) store(r modelRecord) {
	for _, i := range m.open {
		if s := &m.shards[i]; s.lo <= r.hash && r.hash < s.hi {
			s.records = append(s.records, r)
		}
	}
	if r.number == "" {
		m.stored = max(m.stored, r.change+1)
	}
}

// arrive carries out some of what is late.
func (m *model) arrive(one int) {
	m.late = slices.DeleteFunc(m.late, func(r modelRecord) bool {
		if m.IntN(one) > 0 {
			return false
		}
		m.store(r)
		return true
	})
}

func runModel(seed uint64, window int, f flaw) (faults []string) {
	m := &model{Rand: rand.New(rand.NewPCG(seed, uint64(window))), flaw: f, window: window, term: 1, epoch: 1, base: 5000}
	n, keys := 60+m.IntN(200), 1+m.IntN(30)
	for range keys {
		m.hash = append(m.hash, m.IntN(hashes))
	}
	for range n {
		m.keys = append(m.keys, m.IntN(keys))
	}
	m.shards = []modelShard{{lo: 0, hi: hashes}}
	m.open = []int{0}

	var zombies []*modelWriter
	for crash := 0; m.saved < n; crash++ {
		w := m.newWriter()
		steps := m.IntN(80)
		if crash > 8 {
			steps = 1 << 30
		}
		for ; steps > 0 && m.saved < n; steps-- {
			w.step()
			m.arrive(12)
			if m.IntN(60) == 0 {
				m.reshard()
			}
			for _, z := range zombies {
				if !z.stopped && m.IntN(4) == 0 {
					z.step()
				}
			}
		}
		if m.IntN(2) == 0 {
			zombies = append(zombies, w)
		}
		if m.IntN(4) == 0 { // a failover: the coordinates begin anew, often lower
			m.epoch, m.base = m.term+1, m.IntN(8000)
		}
	}
	m.arrive(1)
	kept, faults := m.read()
	if fault := m.check(kept); fault != "" {
		faults = append(faults, fault)
	}
	return faults
}

// read reads every shard behind its parents and returns the records kept, in an order that keeps that of each key. A
// record without a position must be kept once, by the shard that it came to first or by a descendant of that.
func (m *model) read() (kept []modelRecord, faults []string) {
	ends := make([]*Filter, len(m.shards))
	seen := make([]map[string]bool, len(m.shards)) // numbers that a shard or an ancestor has kept
	for i, s := range m.shards {
		f := newFilter(m.window)
		seen[i] = map[string]bool{}
		if len(s.parents) > 0 {
			var parents []*Filter
			for _, p := range s.parents {
				parents = append(parents, ends[p])
				maps.Copy(seen[i], seen[p])
			}
			f = m.child(parents)
		}
		for _, r := range s.records {
			verdict := m.verdict(f, r.data)
			switch {
			case verdict == Keep:
				if r.number != "" && seen[i][r.number] {
					faults = append(faults, fmt.Sprintf("the record without a position %s (key %d) is there twice", r.number, r.key))
				}
				seen[i][r.number] = true
				kept = append(kept, r)
			case r.number != "" && verdict != OldTerm && !seen[i][r.number]:
				faults = append(faults, fmt.Sprintf("the record without a position %s (key %d) is lost: %v", r.number, r.key, verdict))
			}
			if m.IntN(150) == 0 {
				f = m.reload(f)
			}
		}
		ends[i] = f
	}
	return kept, faults
}

// child is the state that a shard begins with.
func (m *model) child(parents []*Filter) *Filter {
	f := Merge(parents...)
	if first := parents[0]; m.flaw.noUnion && first.term == f.term {
		f.unplaced = numbers{window: first.unplaced.window}
		f.unplaced.merge(&first.unplaced)
	}
	return f
}

func (m *model) verdict(f *Filter, data []byte) Verdict {
	v := f.Check(data)
	if m.flaw.noFilter || m.flaw.noFloor && v == BelowWindow && !bytes.Contains(data, []byte("stream-position")) {
		return Keep
	}
	return v
}

func (m *model) reload(f *Filter) *Filter {
	saved, err := f.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	f = newFilter(m.window)
	if err := f.UnmarshalBinary(saved); err != nil {
		panic(err)
	}
	return f
}

func (m *model) check(kept []modelRecord) string {
	last := map[int]int{}
	var changes []int
	for _, r := range kept {
		if r.key < 0 {
			continue
		}
		if before, ok := last[r.key]; ok && r.change < before {
			return fmt.Sprintf("key %d: %s %d comes after %d", r.key, r.number, r.change, before)
		}
		last[r.key] = r.change
		if r.number == "" {
			changes = append(changes, r.change)
		}
	}
	sorted := slices.Sorted(slices.Values(changes))
	for i := range m.keys {
		if i >= len(sorted) || sorted[i] > i {
			return fmt.Sprintf("change %d is lost", i)
		}
		if sorted[i] < i {
			return fmt.Sprintf("change %d is there twice", sorted[i])
		}
	}
	if len(sorted) > len(m.keys) {
		return fmt.Sprintf("change %d is there twice", sorted[len(m.keys)])
	}
	return ""
}
