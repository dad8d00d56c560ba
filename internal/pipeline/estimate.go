package pipeline

import (
	"context"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// loadPace is what a table's load is measured against. Covered by progress's mutex.
type loadPace struct {
	began  time.Time // in this process
	before uint64    // rows that were acknowledged then
	rows   uint64    // that the source says the table has; 0: it does not
}

type loadTable func(ctx context.Context, conn *client.Conn, schema, table string) (*schema.Table, error)

// estimating wraps what a load calls before it begins, and again when a table's definition changes: how many rows the
// source's statistics count is asked beside it, once for each load. Without an answer a load is only less well described.
func (p *progress) estimating(load loadTable) loadTable {
	return func(ctx context.Context, conn *client.Conn, schemaName, table string) (*schema.Table, error) {
		t, err := load(ctx, conn, schemaName, table)
		id := tableID{schemaName, table}
		if err != nil || !p.beginsLoad(id, time.Now()) {
			return t, err
		}
		if rows, err := source.EstimateRows(ctx, conn, schemaName, table); err == nil {
			p.estimated(id, rows)
		}
		return t, nil
	}
}

// beginsLoad says whether a load of the table begins now, as far as is known here.
func (p *progress) beginsLoad(id tableID, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tables[id]
	if t == nil || !t.pace.began.IsZero() {
		return false
	}
	t.pace = loadPace{began: now, before: t.doc.Rows}
	return true
}

func (p *progress) estimated(id tableID, rows uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.tables[id]; t != nil {
		t.pace.rows = rows
	}
}

// loads gives the progress of the loads of this process, by table.
func (p *progress) loads(now time.Time) map[tableID]*status.Load {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[tableID]*status.Load)
	for id, t := range p.tables {
		if l := t.pace.load(&t.doc, now); l != nil {
			out[id] = l
		}
	}
	return out
}

// load says how far a load is. The source's statistics may be off by half, and rows that change meanwhile come as changes:
// as long as it is not over, it is never more than 99 % done.
func (l *loadPace) load(d *tableDoc, now time.Time) *status.Load {
	if d.Rows == 0 && l.began.IsZero() {
		return nil
	}
	out := &status.Load{Rows: d.Rows, Estimate: l.rows}
	share := 1.0
	switch {
	case d.State == StateCompleted:
		out.Share = &share
		return out
	case l.began.IsZero() || l.rows == 0:
		return out
	}
	share = min(0.99, float64(d.Rows)/float64(l.rows))
	out.Share = &share
	took := now.Sub(l.began).Seconds()
	if d.Rows > l.before && took > 1 && d.Rows < l.rows {
		remaining := float64(l.rows-d.Rows) / (float64(d.Rows-l.before) / took)
		out.Remaining = &remaining
	}
	return out
}
