package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// passed says whether the stream stands at or behind high. Called with mu held.
func (e *emitter) passed(high source.Position) (bool, error) {
	switch {
	case !e.streams:
		return true, nil
	case e.gtids != nil && high.GTIDSet != "":
		return e.gtids.Contains(high.GTIDSet)
	default:
		return e.at.Compare(high) >= 0, nil
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

// emitChunks emits a table's chunks that the stream has passed, in their order. Called with mu held.
func (e *emitter) emitChunks(ctx context.Context, w *window) error {
	for len(w.pending) > 0 {
		p := w.pending[0]
		passed, err := e.passed(p.High)
		if err != nil || !passed {
			return err
		}
		err = e.emitChunk(ctx, w, p)
		if fault, ok := unrenderable(err, w.id); ok {
			return e.suspend(w.id, fault)
		}
		if err != nil {
			return err
		}
		w.pending = w.pending[1:]
		p.done <- nil
	}
	return nil
}

// emitChunk puts a chunk's surviving rows in one go: no change comes between them.
func (e *emitter) emitChunk(ctx context.Context, w *window, p *pendingChunk) error {
	plan, err := e.plan(p.Table, p.Layout)
	if err != nil {
		return err
	}
	group := w.load.chunk(p.Chunk)
	stamp := record.Stamp{Time: time.Now(), Term: e.term, Epoch: e.epoch, Memo: &e.memo}
	var rows uint64
	for row := range p.Rows() {
		if e.rowKey, err = plan.AppendRowKey(e.rowKey[:0], row); err != nil {
			return err
		}
		if w.touched(e.rowKey, p.mark) && !e.ignoreNotes {
			continue
		}
		if err := e.loadRecord(ctx, plan, row, &stamp, group); err != nil {
			return fmt.Errorf("emit a load record of table %s: %w", p.Table.FullName(), oversized(err, p.Table, e.key))
		}
		rows++
	}
	e.metrics.loaded(p.Table, rows)
	group.seal(rows)
	return nil
}

func (e *emitter) loadRecord(ctx context.Context, plan *record.Plan, row [][]byte, stamp *record.Stamp, group *chunkGroup) (err error) {
	if e.buf, err = plan.Append(e.buf[:0], record.Load, row, nil, stamp); err != nil {
		return err
	}
	if e.key, err = plan.AppendPartitionKey(e.key[:0], row, stamp); err != nil {
		return err
	}
	group.add()
	return e.out.Put(ctx, kinesisout.Record{Key: e.key, Data: e.buf, Ack: group})
}
