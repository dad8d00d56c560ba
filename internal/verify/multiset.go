package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
)

// A table without a key is compared as a multiset: of each content both sides have as many rows. All of it is read by one
// SELECT, which sees one moment; a content whose number differs is right if the replay held the source's number at some
// position up to one behind the SELECT. Contents that are not right are looked at again by reading the table again.

// mostUneven is how many contents with another number are kept in memory.
const mostUneven = 50_000

// multiset compares a table without a key.
func (v *verification) multiset(ctx context.Context, t *table) error {
	var left map[string]*tally
	for n, pause := range v.rounds() {
		if err := backoff.Sleep(ctx, pause); err != nil {
			return err
		}
		uneven, err := v.multisetOnce(ctx, t)
		if err != nil || v.hasChanged(t) || v.compare.of(t).NotCompared != "" {
			return err
		}
		if n > 0 {
			for id := range uneven {
				if left[id] == nil {
					delete(uneven, id) // another one than before: a row that is on its way
				}
			}
		}
		if left = uneven; len(left) == 0 {
			break
		}
	}
	return v.concludeMultiset(t, left)
}

// multisetOnce reads the table and counts, and gives the contents of which the replay never held the source's number.
func (v *verification) multisetOnce(ctx context.Context, t *table) (map[string]*tally, error) {
	v.compare.mu.Lock() // the replay stands still while the table is read
	defer v.compare.mu.Unlock()
	counter := &counter{v: v, t: t}
	if err := v.readMultiset(ctx, t, counter); err != nil || v.compare.of(t).NotCompared != "" {
		return nil, err
	}
	behind, err := v.end(ctx)
	if err != nil {
		return nil, err
	}
	if !v.counted(t, counter.rows) {
		return nil, nil
	}
	uneven, err := v.uneven(t)
	if err != nil {
		return nil, err
	}
	v.setWatch(&watch{before: transactionNumber(behind), counts: uneven})
	err = v.advance(ctx, behind)
	v.setWatch(nil)
	for id, c := range uneven {
		if c.settled {
			delete(uneven, id)
		}
	}
	return uneven, err
}

// counted notes how many rows the table has. It is false where what is replayed does not begin with the table's load: then
// nobody knows of any row whether it has a record.
func (v *verification) counted(t *table, rows int64) bool {
	v.replay.mu.RLock()
	covered := v.covered(t)
	v.replay.mu.RUnlock()
	v.compare.state.Lock()
	defer v.compare.state.Unlock()
	p := v.compare.tables[t.id]
	p.Begun = true
	if covered {
		p.Rows = rows
		return true
	}
	p.NotCovered = rows
	v.lacks(p)
	return false
}

func (v *verification) setWatch(w *watch) {
	v.replay.mu.Lock()
	defer v.replay.mu.Unlock()
	v.replay.watch = w
}

// still is a window of a table that is read while the replay stands still.
type still struct{ *window }

// Hold implements snapshot.Window.
func (s still) Hold(context.Context) (snapshot.Hold, error) { return hold{s.v.passed}, nil }

// Restart implements snapshot.Window.
func (s still) Restart() int { return 0 }

// counter counts the rows of the source by their content.
type counter struct {
	v    *verification
	t    *table
	rows int64
}

func (v *verification) readMultiset(ctx context.Context, t *table, c *counter) error {
	w := &window{v: v, t: t, p: v.compare.of(t), encoders: map[*schema.TextLayout]*encoders{}}
	w.chunk = func(chunk *snapshot.Chunk) error { return c.add(w, chunk) }
	l := v.loader(nil)
	l.Add(snapshot.Job{Schema: t.schema, Table: t.name}, stillBegin{still{w}, c})
	return l.Run(ctx)
}

// stillBegin forgets what an attempt has counted that did not get through.
type stillBegin struct {
	still
	c *counter
}

// Begin implements snapshot.Window.
func (s stillBegin) Begin(ctx context.Context, t *schema.Table) error {
	s.c.rows = 0
	if err := s.v.db.forget(s.t.id, markEntry); err != nil {
		return err
	}
	return s.still.Begin(ctx, t)
}

func (c *counter) add(w *window, chunk *snapshot.Chunk) error {
	e, err := w.take(chunk)
	if err != nil {
		return err
	}
	defer w.give(chunk, e)
	counts, examples := map[string]int64{}, map[string][]byte{}
	for row := range chunk.Rows() {
		data, err := e.row(row)
		if err != nil {
			return err
		}
		if data, err = e.canonical(data); err != nil {
			return err
		}
		sum, err := content(data)
		if err != nil {
			return err
		}
		if c.t.sampled(sum) {
			key := string(entry(markEntry, c.t.id, sum...))
			if counts[key]++; counts[key] == 1 {
				examples[key] = slices.Clone(data)
			}
			c.rows++
		}
	}
	b := c.v.db.NewBatch()
	for key, n := range counts {
		was, err := c.v.db.get([]byte(key))
		if err != nil {
			return errors.Join(err, b.Close())
		}
		if was != nil {
			n += int64(binary.BigEndian.Uint64(was))
		}
		if err := b.Set([]byte(key), append(binary.BigEndian.AppendUint64(nil, uint64(n)), examples[key]...), nil); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	c.v.progress(Progress{Phase: "counting rows", Unit: "rows", Done: c.rows, Note: c.t.full()})
	return commit(b)
}

// uneven are the contents that both sides have not the same number of, by table and content.
func (v *verification) uneven(t *table) (map[string]*tally, error) {
	uneven := map[string]*tally{}
	keep := func(content []byte, source, count int64) error {
		if source != count {
			uneven[string(entry(0, t.id, content...)[1:])] = &tally{source: source, count: count}
		}
		if len(uneven) > mostUneven {
			v.compare.state.Lock()
			defer v.compare.state.Unlock()
			p := v.compare.tables[t.id]
			p.NotCompared = "it has no key, and more than 50000 of its rows differ: nothing of it can be told apart; reload it"
			p.Different = mostUneven
			return errTooUneven
		}
		return nil
	}
	err := v.eachContent(t, keep)
	if errors.Is(err, errTooUneven) {
		err = nil
	}
	return uneven, err
}

var errTooUneven = errors.New("too many contents differ")

// eachContent calls fn with every content and both numbers. Both sides stand in the order of contents.
func (v *verification) eachContent(t *table, fn func(content []byte, source, count int64) error) error {
	rows, err := v.db.scan(rowEntry, t.id)
	if err != nil {
		return err
	}
	defer rows.Close()
	marks, err := v.db.scan(markEntry, t.id)
	if err != nil {
		return err
	}
	defer marks.Close()
	rows.First()
	marks.First()
	for rows.Valid() || marks.Valid() {
		content := nextContent(rows, marks)
		var source, count int64
		for ; rows.Valid() && slices.Equal(contentOf(rows), content); rows.Next() {
			h, err := parseHeld(rows.Value())
			if err != nil {
				return err
			}
			v.replay.mu.RLock()
			if t.alive(&h) {
				count += h.count
			}
			v.replay.mu.RUnlock()
		}
		if marks.Valid() && slices.Equal(contentOf(marks), content) {
			source = int64(binary.BigEndian.Uint64(marks.Value()))
			marks.Next()
		}
		if err := fn(content, source, count); err != nil {
			return err
		}
	}
	return errors.Join(rows.Error(), marks.Error())
}

const contentSize = 16

func contentOf(it *pebble.Iterator) []byte { return it.Key()[entrySize : entrySize+contentSize] }

func nextContent(a, b *pebble.Iterator) []byte {
	switch {
	case !b.Valid(), a.Valid() && slices.Compare(contentOf(a), contentOf(b)) <= 0:
		return slices.Clone(contentOf(a))
	}
	return slices.Clone(contentOf(b))
}

// concludeMultiset notes the differences.
func (v *verification) concludeMultiset(t *table, left map[string]*tally) error {
	v.compare.state.Lock()
	defer v.compare.state.Unlock()
	p := v.compare.tables[t.id]
	for id, c := range left {
		d := Difference{Kind: Extra, Key: "(no key)"}
		if more := c.count - c.source; more > 0 {
			p.Extra += more
		} else {
			d.Kind = Missing
			p.Missing -= more
		}
		if len(p.Differences) < v.cfg.MaxDifferences {
			d.Delivered, d.Source = v.example(t, id, rowEntry, heldSize), v.example(t, id, markEntry, 8)
			p.Differences = append(p.Differences, d)
		}
	}
	p.Through = true
	return setJSON(v.db.DB, entry(progressEntry, t.id), p)
}

// example is a row of a content, if a side ever had one: what stands behind the head of an entry.
func (v *verification) example(t *table, id string, kind byte, head int) (data []byte) {
	prefix := append(entry(kind, t.id), id[entrySize-1:]...)
	_ = v.each(prefix, func(_, value []byte) error { // what is not there is not shown
		if len(value) > head {
			data = valid(value[head:])
		}
		return nil
	})
	return data
}
