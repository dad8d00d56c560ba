package dedupe

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

var schedules = flag.Int("schedules", 200, "random schedules per window size of TestModel")

// TestModel lets writers that crash, hang and wake up, lose answers, see splits and merges late and follow failovers
// write one source log into a stream, by the rules that writers obey, and reads it with filters. What the filters
// keep must be every change once, in order per key. The state is saved and loaded at random on the way.
func TestModel(t *testing.T) {
	for _, window := range []int{4, 16, 64} {
		for seed := range uint64(*schedules) {
			if fault := runModel(seed, window, true); fault != "" {
				t.Fatalf("window %d, seed %d: %s", window, seed, fault)
			}
		}
	}
}

// TestModelCanFail makes sure that the model creates the trouble that the filter is for.
func TestModelCanFail(t *testing.T) {
	faults := 0
	for seed := range uint64(50) {
		if runModel(seed, 16, false) != "" {
			faults++
		}
	}
	if faults < 25 {
		t.Errorf("without a filter only %d of 50 schedules have a fault", faults)
	}
}

const hashes = 1 << 16

type modelShard struct {
	lo, hi  int
	parents []int
	records []modelRecord
}

type modelRecord struct {
	change int
	data   []byte
}

type model struct {
	*rand.Rand
	window int
	keys   []int // of the source log's changes
	hash   []int // of the keys
	shards []modelShard
	open   []int
	saved  int // the writers' checkpoint: all changes before it are acknowledged
	term   int
	epoch  int
	base   int // of the epoch's binlog offsets
}

type modelWriter struct {
	m                 *model
	term, epoch, base int
	start, saved      int
	acked             map[int]bool
	view              []int
	stopped           bool
}

func (m *model) newWriter() *modelWriter {
	m.term++
	w := &modelWriter{m: m, term: m.term, epoch: m.epoch, base: m.base, start: m.saved, saved: m.saved, acked: map[int]bool{}}
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

// lowest is the first change that the writer has no acknowledgement for.
func (w *modelWriter) lowest() int {
	for p := w.start; p < len(w.m.keys); p++ {
		if !w.acked[p] {
			return p
		}
	}
	return len(w.m.keys)
}

// step sends one request, perhaps partly refused, perhaps with a lost answer, and perhaps saves.
func (w *modelWriter) step() {
	m := w.m
	if m.IntN(20) == 0 {
		w.view = slices.Clone(m.open)
	}
	lane := m.shards[w.view[m.IntN(len(w.view))]]
	lost := m.IntN(10) == 0
	used := map[int]bool{}
	limit := 1 + m.IntN(8)
	for p := w.start; p < len(m.keys) && p < w.saved+m.window && len(used) < limit; p++ {
		key := m.keys[p]
		if h := m.hash[key]; w.acked[p] || used[key] || h < lane.lo || h >= lane.hi {
			continue
		}
		used[key] = true
		if m.IntN(5) == 0 {
			continue // refused
		}
		m.store(p, w)
		if !lost {
			w.acked[p] = true
		}
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

func (m *model) store(p int, w *modelWriter) {
	for _, i := range m.open {
		if s := &m.shards[i]; s.lo <= m.hash[m.keys[p]] && m.hash[m.keys[p]] < s.hi {
			gtid := fmt.Sprintf("3e11fa47-71ca-11e1-9e33-c80aa9429562:%d", p/3+1) // three changes per transaction
			data := change(uint64(w.term), uint64(w.epoch), 1, w.base+10*p, 0, record.Update, gtid, uint64(p%3+1))
			s.records = append(s.records, modelRecord{p, data})
		}
	}
}

func runModel(seed uint64, window int, filtered bool) string {
	m := &model{Rand: rand.New(rand.NewPCG(seed, uint64(window))), window: window, term: 1, epoch: 1, base: 5000}
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
	return m.check(m.read(filtered))
}

// read reads every shard behind its parents and returns the changes kept, in an order that keeps that of each key.
func (m *model) read(filtered bool) []int {
	var kept []int
	ends := make([]*Filter, len(m.shards))
	for i, s := range m.shards {
		f := newFilter(m.window)
		if len(s.parents) > 0 {
			var parents []*Filter
			for _, p := range s.parents {
				parents = append(parents, ends[p])
			}
			f = Merge(parents...)
		}
		for _, r := range s.records {
			if verdict := f.Check(r.data); verdict == Keep || !filtered {
				kept = append(kept, r.change)
			}
			if m.IntN(30) == 0 {
				saved, err := f.AppendBinary(nil)
				if err != nil {
					panic(err)
				}
				f = newFilter(m.window)
				if err := f.UnmarshalBinary(saved); err != nil {
					panic(err)
				}
			}
		}
		ends[i] = f
	}
	return kept
}

func (m *model) check(kept []int) string {
	last := map[int]int{}
	for _, p := range kept {
		if before, ok := last[m.keys[p]]; ok && p < before {
			return fmt.Sprintf("key %d: change %d comes after %d", m.keys[p], p, before)
		}
		last[m.keys[p]] = p
	}
	sorted := slices.Sorted(slices.Values(kept))
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
