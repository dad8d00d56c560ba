package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// passed says whether the stream stands at or behind high. A SELECT sees a transaction shortly before gtid_executed
// has it, and what it saw must be behind us: so the place in the log counts, and the set, which may have more, does too.
// Called with mu held.
func (e *emitter) passed(high source.Position) (bool, error) {
	switch {
	case !e.streams:
		return true, nil
	case e.at.Compare(high) < 0:
		return false, nil
	case e.gtids != nil && high.GTIDSet != "":
		return e.gtids.Contains(high.GTIDSet)
	default:
		return true, nil
	}
}

// emitAllChunks emits the chunks of all tables that the stream has passed. Called with mu held, at boundaries.
func (e *emitter) emitAllChunks(ctx context.Context) error {
	for _, w := range e.windows {
		if err := e.emitChunks(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// emitChunks emits a table's chunks that the stream has passed. Of one range there is one at a time. Called with mu held.
func (e *emitter) emitChunks(ctx context.Context, w *window) error {
	for i := 0; i < len(w.pending); {
		p := w.pending[i]
		passed, err := e.passed(p.High)
		if err != nil {
			return err
		}
		if !passed {
			i++
			continue
		}
		all, err := e.emitChunk(ctx, w, p)
		if fault, ok := unrenderable(err, w.id); ok {
			return e.suspend(w.id, fault)
		}
		if err != nil {
			return err
		}
		if !all {
			return nil
		}
		w.drop(p)
		p.done <- nil
	}
	return nil
}

// emitChunk puts a chunk's surviving rows, and says whether that were all of them. Where there are no more numbers for
// records, the rest stays: its rows are looked up in the notes when they are put, so changes may come in between.
func (e *emitter) emitChunk(ctx context.Context, w *window, p *pendingChunk) (all bool, err error) {
	plan, err := e.plan(p.Table, p.Layout)
	if err != nil {
		return false, err
	}
	if p.group == nil {
		p.group = w.load.chunk(p.Chunk)
		p.group.numbers = e.numbers
	}
	before := p.group.rows
	all, err = e.emitRows(ctx, plan, w, p)
	e.metrics.loaded(p.Table, p.group.rows-before)
	if cap(e.buf) > keepBuffer {
		e.buf = nil
	}
	if !all || err != nil {
		return false, err
	}
	if group := p.group; group.rows < uint64(p.Len()) {
		// What takes the place of the rows that were left out is among the changes before here: only with those are the
		// chunk's keys all in the stream.
		group.add()
		e.tracker.Settled(func() { group.Acked(0) })
	}
	p.group.seal()
	return true, nil
}

func (e *emitter) emitRows(ctx context.Context, plan *record.Plan, w *window, p *pendingChunk) (all bool, err error) {
	stamp := record.Stamp{Time: time.Now(), Term: e.term, Epoch: e.epoch, Memo: &e.memo}
	for row := range p.RowsFrom(p.next) {
		keep := e.ignoreNotes || w.knowsNothingOf(p)
		if !keep {
			if e.rowKey, err = plan.AppendRowKey(e.rowKey[:0], row); err != nil {
				return false, err
			}
			keep = w.keeps(p, p.next, e.rowKey)
		}
		if keep {
			var ok bool
			if stamp.Sequence, ok = e.loadNumber(); !ok {
				e.starve()
				return false, nil
			}
			if err := e.loadRecord(ctx, plan, p.Table, row, &stamp, p.group); err != nil {
				return false, fmt.Errorf("emit a load record of table %s: %w", p.Table.FullName(), err)
			}
		}
		p.next++
	}
	return true, nil
}

// keepBuffer is how large a buffer may be that waits for the next record; that of a giant row goes.
const keepBuffer = 4 << 20

func (e *emitter) loadRecord(ctx context.Context, plan *record.Plan, t *schema.Table, row [][]byte, stamp *record.Stamp, group *chunkGroup) error {
	if err := e.build(ctx, plan, t, record.Load, row, nil, stamp); err != nil {
		return err
	}
	group.add()
	group.rows++
	e.takeNumber()
	err := e.out.Put(ctx, kinesisout.Record{Key: e.key, Data: e.buf, Seq: stamp.Sequence, Ack: group, Unplaced: true})
	return oversized(err, t, e.key)
}
