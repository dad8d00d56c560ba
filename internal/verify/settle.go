package verify

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

const (
	// groupSize is how many suspects are looked at together: their rows are in memory meanwhile.
	groupSize = 4096
	// groupBytes bounds the memory of their rows.
	groupBytes = 32 << 20
	// enough suspects are settled in the middle of reading, so that the reports of a run that is cut off are not empty.
	enough = 5 * groupSize
	// certain is how many differences of a table are looked at again with patience. That many are no accident.
	certain = 1000
)

// rounds are the pauses before each look at a suspect. Where the server tells what a SELECT sees, the first look is exact
// and the second one confirms it. Elsewhere a commit may stand in the binlog, and in the stream, for as long as a replica
// takes to acknowledge it (ten seconds by default with semi-synchronous replication) before a SELECT sees it.
func (v *verification) rounds() []time.Duration {
	if v.server.Flavor == source.MariaDB || v.server.GTIDMode {
		return []time.Duration{0, 300 * time.Millisecond}
	}
	return []time.Duration{0, time.Second, 3 * time.Second, 11 * time.Second}
}

// settleSome settles suspects if there are many. Meanwhile nothing else is compared.
func (v *verification) settleSome(ctx context.Context) error {
	v.compare.state.Lock()
	n := v.compare.suspects
	v.compare.state.Unlock()
	if n < enough {
		return nil
	}
	v.compare.mu.Lock()
	defer v.compare.mu.Unlock()
	v.compare.state.Lock()
	n = v.compare.suspects
	v.compare.state.Unlock()
	if n < enough {
		return nil // another reader did it
	}
	return v.settle(ctx)
}

// settleAll settles all suspects.
func (v *verification) settleAll(ctx context.Context) error {
	v.compare.mu.Lock()
	defer v.compare.mu.Unlock()
	return v.settle(ctx)
}

// settle finds out of every suspect what it is. The caller holds compare.mu.
func (v *verification) settle(ctx context.Context) error {
	for _, t := range v.tables {
		for {
			group, err := v.suspects(t)
			if err != nil {
				return err
			}
			if len(group) == 0 {
				break
			}
			if err := v.settleGroup(ctx, t, group); err != nil {
				return err
			}
		}
	}
	v.compare.state.Lock()
	defer v.compare.state.Unlock()
	v.compare.suspects = 0
	return nil
}

// suspects reads the next group.
func (v *verification) suspects(t *table) (group []*suspect, err error) {
	it, err := v.db.scan(suspectEntry, t.id)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for it.First(); it.Valid() && len(group) < groupSize; it.Next() {
		group = append(group, &suspect{table: t, key: slices.Clone(it.Key()[entrySize:])})
	}
	return group, it.Error()
}

// settleGroup looks at suspects again and again, until each was the same on both sides at some position, or the pauses
// are over. What is left is different.
func (v *verification) settleGroup(ctx context.Context, t *table, group []*suspect) error {
	left := group
	for n, pause := range v.rounds() {
		if len(left) == 0 || v.hasChanged(t) || n > 0 && v.compare.of(t).differences() > certain {
			break
		}
		v.progress(Progress{Phase: "looking again at rows that differ", Note: t.full(), Unit: "rows", Done: int64(len(group) - len(left)), Total: int64(len(group))})
		if err := backoff.Sleep(ctx, pause); err != nil {
			return err
		}
		if err := v.look(ctx, t, left); err != nil {
			return err
		}
		left = slices.DeleteFunc(slices.Clone(left), func(s *suspect) bool { return s.settled })
	}
	if v.hasChanged(t) {
		left = nil // the table is begun with anew
	}
	return v.conclude(t, group, left)
}

// look reads the suspects' rows once more, and lets the replay pass the position behind that.
func (v *verification) look(ctx context.Context, t *table, group []*suspect) error {
	for len(group) > 0 {
		n, behind, err := v.fetch(ctx, t, group)
		if err != nil {
			return err
		}
		if err := v.watchFor(ctx, t, group[:n], behind); err != nil {
			return err
		}
		group = group[n:]
	}
	return nil
}

// watchFor compares rows that were read with every version that the replay holds from now on, up to a position.
func (v *verification) watchFor(ctx context.Context, t *table, group []*suspect, behind source.Position) error {
	w := &watch{before: transactionNumber(behind), rows: map[string]*suspect{}}
	v.replay.mu.Lock()
	for _, s := range group {
		data, known, err := v.replay.at(t, s.key)
		if err != nil {
			v.replay.mu.Unlock()
			return err
		}
		s.data, s.known = data, known
		s.settled = s.source.same(data)
		w.rows[string(entry(0, t.id, s.key...)[1:])] = s
	}
	v.replay.watch = w
	v.replay.mu.Unlock()
	err := v.advance(ctx, behind)
	v.replay.mu.Lock()
	defer v.replay.mu.Unlock()
	v.replay.watch = nil
	for _, s := range group {
		if err == nil && !s.settled {
			s.data, s.known, err = v.replay.at(t, s.key)
		}
	}
	return err
}

// transactionNumber is the number that a transaction at a position has; 0 if there is none.
func transactionNumber(at source.Position) uint64 {
	n, err := record.FileNumber(at.File)
	if err != nil {
		return 0
	}
	return n<<32 | at.Offset
}

// fetch reads rows of suspects, as many as memory allows, and a position behind that.
func (v *verification) fetch(ctx context.Context, t *table, group []*suspect) (n int, behind source.Position, err error) {
	err = v.onSource(ctx, func(conn *client.Conn) error {
		l, err := v.newLookup(ctx, conn, t)
		if source.IsNoTable(err) {
			for _, s := range group {
				s.source = nil // none of them is there
			}
			n = len(group)
		} else if err == nil {
			err = l.awaitVisible(ctx, v.passed)
		}
		if err == nil {
			n, err = l.rows(ctx, group)
		}
		if err == nil && v.cfg.Changes {
			behind, err = source.CurrentPosition(ctx, conn, v.server)
		}
		return err
	})
	return n, behind, err
}

func (p *progress) differences() int64 { return p.Missing + p.Extra + p.Different }

// conclude notes what the suspects of a group are.
func (v *verification) conclude(t *table, group, left []*suspect) error {
	v.replay.mu.RLock()
	covered := v.covered(t)
	v.replay.mu.RUnlock()
	b := v.db.NewBatch()
	v.compare.state.Lock()
	defer v.compare.state.Unlock()
	p := v.compare.tables[t.id]
	for _, s := range left {
		p.note(s, covered, v.cfg.MaxDifferences)
	}
	for _, s := range group {
		if s.settled && s.source != nil && s.source.cut != nil {
			p.Cut++
		}
		if err := b.Delete(entry(suspectEntry, t.id, s.key...), nil); err != nil {
			return err
		}
	}
	if err := setJSON(b, entry(progressEntry, t.id), p); err != nil {
		return err
	}
	return commit(b)
}

// note counts a difference, and keeps the first of them.
func (p *progress) note(s *suspect, covered bool, most int) {
	d := Difference{Key: string(s.key)}
	switch {
	case s.source == nil:
		d.Kind = Extra
		p.Extra++
	case s.data == nil && !s.known && !covered:
		p.NotCovered++
		p.Rows--
		return
	case s.data == nil:
		d.Kind = Missing
		p.Missing++
	default:
		d.Kind = Different
		p.Different++
	}
	if len(p.Differences) >= most {
		return
	}
	if s.source != nil {
		d.Source = valid(s.source.data)
	}
	if s.data != nil {
		d.Delivered = valid(s.data)
	}
	p.Differences = append(p.Differences, d)
}

// valid is a row that can stand in a report: what is broken is quoted.
func valid(data []byte) json.RawMessage {
	if json.Valid(data) {
		return slices.Clone(data)
	}
	text, _ := json.Marshal(string(data))
	return text
}

// extras finds the rows that the replay holds and the source has not shown. The source is asked for them: they may have
// come since their chunk was read, and may be gone.
func (v *verification) extras(ctx context.Context, t *table) error {
	p := v.compare.of(t)
	if !p.Read || v.hasChanged(t) {
		return nil
	}
	v.progress(Progress{Phase: "looking for rows that the source does not have", Note: t.full()})
	v.compare.mu.Lock()
	defer v.compare.mu.Unlock()
	if err := v.unmarked(t, func(batch *pebble.Batch) error {
		if err := commit(batch); err != nil {
			return err
		}
		return v.settle(ctx)
	}); err != nil {
		return err
	}
	if v.hasChanged(t) {
		return nil
	}
	v.compare.state.Lock()
	defer v.compare.state.Unlock()
	p.Through = true
	v.lacks(p)
	return setJSON(v.db.DB, entry(progressEntry, t.id), p)
}

// lacks says so if what a table began with is not there.
func (v *verification) lacks(p *progress) {
	if p.NotCovered > 0 && v.cfg.Loads && v.cfg.Since.IsZero() {
		p.NotCompared = "some of its rows have no record, and the one that announces its load is not among the objects either: " +
			"the oldest objects are not there any more, or delivery began later than replication. " +
			"Rows that have records were compared; --since TIME says that older objects are not expected, and reload-table sends all rows again"
	}
}

// unmarked makes suspects of the live rows without a mark: both stand in the order of their keys. full is called when
// there are many, and at the end.
func (v *verification) unmarked(t *table, full func(*pebble.Batch) error) error {
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
	b, n := v.db.NewBatch(), 0
	marks.First()
	for rows.First(); rows.Valid(); rows.Next() {
		key := rows.Key()[1:]
		for marks.Valid() && slices.Compare(marks.Key()[1:], key) < 0 {
			marks.Next()
		}
		if marks.Valid() && slices.Equal(marks.Key()[1:], key) {
			continue
		}
		h, err := parseHeld(rows.Value())
		if err != nil {
			return err
		}
		v.replay.mu.RLock()
		live := t.alive(&h)
		v.replay.mu.RUnlock()
		if !live {
			continue
		}
		if err := b.Set(entry(suspectEntry, t.id, key[entrySize-1:]...), nil, nil); err != nil {
			return err
		}
		if n++; n%enough == 0 {
			if err := full(b); err != nil {
				return err
			}
			b = v.db.NewBatch()
		}
	}
	return full(b)
}
