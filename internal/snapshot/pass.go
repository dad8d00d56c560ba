package snapshot

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// A table that no key divides is loaded in one pass. No note could tell which of its rows a change touched, so its rows
// have to enter the stream at exactly the place in the binlog that they were read at: the stream is brought to a halt
// there until all of them are emitted, and the binlog keeps what comes behind. Nothing is locked, and nothing kept in
// memory. A pass cannot be gone on with; what ends in the middle begins anew.

// errMoved says that the table was changed just while its snapshot was opened, or right before it, so that nobody knows
// whether the snapshot has the change.
var errMoved = errors.New("the table is changed all the time")

// patience is how many attempts may fail for a busy table before the operator is told what to do.
const patience = 20

// pass loads the table, trying until it succeeds.
func (t *tableLoad) pass(ctx context.Context, rd *reader) error {
	defer t.window.Close()
	look := &reader{l: t.l} // looks at things while rd's transaction is open
	defer look.disconnect()
	for attempt, moved := 0, 0; ; attempt++ {
		err := t.passOnce(ctx, rd, look)
		switch {
		case err == nil:
			t.sourceWorks()
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errMoved):
			if moved++; moved%patience == 0 {
				t.log.Warn("a table without a key is changed too often to be loaded at a known position; still trying. "+
					"Give it a key (ALTER TABLE … ADD PRIMARY KEY), or stop writing to it for some seconds", "attempts", moved)
			}
			attempt = -1
		case errors.Is(err, ErrVoid), definitionChanged(err):
			t.log.Info("table definition changed during its load; loading it from the start")
		case errors.Is(err, ErrGivenUp), final(err):
			t.sourceWorks()
			return t.ended(err)
		default: // the load begins anew when the source is there
			t.sourceFails(err)
		}
		rd.disconnect() // and with it the transaction
		if err := backoff.Sleep(ctx, pauses.After(attempt+1)/4); err != nil {
			return err
		}
	}
}

// passOnce makes one attempt.
func (t *tableLoad) passOnce(ctx context.Context, rd, look *reader) error {
	if err := errors.Join(rd.connect(ctx), look.connect(ctx)); err != nil {
		return err
	}
	if err := t.reachEnd(ctx, look); err != nil {
		look.disconnect()
		return err
	}
	// The memory must be there before the stream stands still: others may have to wait for the stream.
	memory, err := t.l.cfg.Budget.reserve(ctx, 2*t.l.cfg.ChunkBytes)
	if err != nil {
		return err
	}
	defer memory.release()
	memory.urgent = true
	number := t.window.Restart()
	hold, err := t.window.Hold(ctx)
	if err != nil {
		return err
	}
	defer hold.Release()
	if wait := t.l.visible.settle() - hold.Quiet(); wait > 0 {
		// The newest changes may be invisible yet. The stream need not stand still until they are.
		hold.Release()
		memory.release()
		if err := backoff.Sleep(ctx, wait); err != nil {
			return err
		}
		return errMoved
	}
	def, err := t.freeze(ctx, rd, look, hold)
	if err != nil {
		look.disconnect()
		return err
	}
	if err := t.window.Begin(ctx, def.table); err != nil {
		return err
	}
	p := &pass{t: t, def: def, number: number, memory: memory}
	if err := p.run(ctx, rd); err != nil {
		return err
	}
	if err := endSnapshot(ctx, rd.conn, nil); err != nil {
		rd.disconnect() // which ends it as well
	}
	return nil
}

// reachEnd waits until the stream is near the binlog's end, so that it will not have to stand still for long.
func (t *tableLoad) reachEnd(ctx context.Context, look *reader) error {
	for {
		end, err := t.l.visible.end(ctx, look.conn)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := t.window.Reach(ctx, end); err != nil {
			return err
		}
		if time.Since(began) < nearEnd {
			return nil
		}
	}
}

// nearEnd is how far behind the stream may be when it is brought to a halt.
const nearEnd = 10 * time.Second

// freeze opens a snapshot on rd, keeps the table's definition from changing, and brings the stream to a halt where the
// table is as the snapshot has it.
func (t *tableLoad) freeze(ctx context.Context, rd, look *reader, hold Hold) (*definition, error) {
	before, err := t.define(ctx, look)
	if err != nil {
		return nil, err
	}
	if !hold.Alone() {
		if err := t.versioned(ctx, look); err != nil {
			return nil, err
		}
	}
	at, exact, err := t.l.visible.open(ctx, rd.conn, hold.At())
	if err != nil {
		return nil, err
	}
	// From here to the end of the transaction the server lets nobody alter the table.
	from := " FROM " + schema.QuoteIdent(t.job.Schema) + "." + schema.QuoteIdent(t.job.Table)
	if err := source.Exec(ctx, rd.conn, "SELECT 1"+from+" LIMIT 0"); err != nil {
		return nil, fmt.Errorf("keep the table's definition: %w", err)
	}
	after, err := t.define(ctx, look)
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(before.table, after.table) {
		return nil, errMoved
	}
	since := at // whatever the stream emits behind it is not in the snapshot
	if !exact {
		since = hold.At() // and this may be or may not be
		if at, err = t.l.visible.end(ctx, look.conn); err != nil {
			return nil, err
		}
	}
	if err := hold.RunTo(ctx, at); err != nil {
		return nil, err
	}
	if hold.Changed(since) {
		return nil, errMoved
	}
	return before, nil
}

// versioned refuses a table whose engine cannot show it as of one moment: nobody would know which changes its rows have.
func (t *tableLoad) versioned(ctx context.Context, look *reader) error {
	engine := ""
	err := source.StreamText(ctx, look.conn, "SELECT t.ENGINE FROM information_schema.TABLES t JOIN information_schema.ENGINES e USING (ENGINE)"+
		" WHERE e.TRANSACTIONS <> 'YES' AND t.TABLE_SCHEMA = "+schema.QuoteString(t.job.Schema)+" AND t.TABLE_NAME = "+schema.QuoteString(t.job.Table),
		func(row [][]byte) error { engine = string(row[0]); return nil })
	if err != nil {
		return err
	}
	if engine != "" {
		return &definitionError{fmt.Errorf("it has no primary key and no UNIQUE key of NOT NULL columns, and its engine %s knows no transactions, "+
			"so its rows cannot be told from later changes of them; add a key (ALTER TABLE … ADD PRIMARY KEY), "+
			"or ALTER TABLE … ENGINE=InnoDB, or exclude the table in the table mappings", engine)}
	}
	return nil
}

// pass is the reading of the rows.
type pass struct {
	t      *tableLoad
	def    *definition
	number int
	memory *reservation
	chunk  *Chunk
}

func (p *pass) run(ctx context.Context, rd *reader) error {
	p.begin()
	room := func(size int) error { return p.memory.grow(ctx, p.chunk.Bytes()+2*size) }
	err := source.StreamRows(ctx, rd.conn, p.def.stmt.all(), room, func(columns int, row []byte) error {
		p.chunk.add(columns, row)
		if p.chunk.filled() < p.t.l.cfg.ChunkBytes {
			return nil
		}
		return p.deliver(ctx)
	})
	if err != nil {
		return err
	}
	p.chunk.Last = true
	return p.deliver(ctx)
}

func (p *pass) begin() {
	p.chunk = &Chunk{Table: p.def.table, Layout: p.def.layout, Range: p.number, spare: &p.t.l.arenas}
	p.chunk.rows = p.t.l.arenas.take()
}

// deliver gives the rows to the stream, which stands where they belong: they are emitted at once, all of them.
func (p *pass) deliver(ctx context.Context) error {
	done := p.t.window.Deliver(ctx, Mark{Defined: p.def.at, Since: math.MaxInt64}, p.chunk)
	p.begin()
	p.memory.shrink(2 * p.t.l.cfg.ChunkBytes)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
