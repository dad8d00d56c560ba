package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// rangeLoad is a range of a table on its way. One reader has it.
type rangeLoad struct {
	t      *tableLoad
	def    *definition
	number int
	after  Bound // the next chunk starts behind this key
	to     Bound // and the last one ends with this key
	limit  int   // rows that the next chunk asks for
	sized  bool  // limit comes from rows that were read
	small  bool  // not worth cutting
	took   time.Duration
}

// run reads chunk after chunk. While one chunk waits for the stream to pass it, the next one is read; it is handed
// over only when the first is through, so progress through the range has no gaps.
func (r *rangeLoad) run(ctx context.Context, rd *reader) error {
	err := r.chunks(ctx, rd)
	if errors.Is(err, errAbandoned) {
		return nil
	}
	return r.t.ended(err)
}

func (r *rangeLoad) chunks(ctx context.Context, rd *reader) error {
	var ahead *delivery
	for {
		r.share(ctx, rd)
		c, mark, err := r.next(ctx, rd)
		if err != nil {
			return err
		}
		if ahead != nil {
			again, err := r.settle(ctx, rd, ahead)
			if err != nil || again {
				r.drop(c, mark)
			}
			if err != nil {
				return err
			}
			if again {
				ahead = nil
				continue
			}
		}
		last := c.Last
		ahead = &delivery{from: c.From}
		r.after = c.To
		ahead.done = r.t.window.Deliver(ctx, mark, c)
		if !last {
			continue
		}
		again, err := r.settle(ctx, rd, ahead)
		if err != nil || !again {
			return err
		}
		ahead = nil
	}
}

// delivery is a chunk on its way through the stream.
type delivery struct {
	from Bound
	done <-chan error
}

// settle waits for a delivered chunk. It is true if the chunk was void: the range is then read again from where that
// chunk began, under the table's new definition.
func (r *rangeLoad) settle(ctx context.Context, rd *reader, d *delivery) (again bool, err error) {
	select {
	case err = <-d.done:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	if !errors.Is(err, ErrVoid) {
		return false, err
	}
	r.t.log.Info("table definition changed during its load; reading the chunk again")
	r.after = d.from
	return true, r.redefine(ctx, rd)
}

func (r *rangeLoad) redefine(ctx context.Context, rd *reader) (err error) {
	def, err := r.t.redefine(ctx, rd, r.def)
	if err == nil {
		r.def = def
	}
	return err
}

// next reads the next chunk. Lost connections and servers that are away for a while are waited for.
func (r *rangeLoad) next(ctx context.Context, rd *reader) (*Chunk, Mark, error) {
	for attempt := 0; ; attempt++ {
		c, mark, err := r.read(ctx, rd)
		switch {
		case err == nil:
			r.t.sourceWorks()
			return c, mark, nil
		case ctx.Err() != nil:
			return nil, Mark{}, context.Cause(ctx)
		case definitionChanged(err) && attempt < 5:
			if err := r.redefine(ctx, rd); err != nil {
				return nil, Mark{}, err
			}
		case final(err):
			r.t.sourceWorks()
			return nil, Mark{}, err
		default:
			rd.disconnect()
			r.t.sourceFails(err)
			if err := pauses.Sleep(ctx, attempt); err != nil {
				return nil, Mark{}, err
			}
		}
	}
}

// read makes one attempt at the next chunk: memory, mark, visibility, SELECT, High.
func (r *rangeLoad) read(ctx context.Context, rd *reader) (*Chunk, Mark, error) {
	l := r.t.l
	memory, err := l.cfg.Budget.reserve(ctx, 2*l.cfg.ChunkBytes)
	if err != nil {
		return nil, Mark{}, err
	}
	c := &Chunk{Table: r.def.table, Layout: r.def.layout, Form: r.def.stmt.form(), Range: r.number, From: r.after, memory: memory, spare: &l.arenas}
	c.rows = l.arenas.take()
	if err := rd.connect(ctx); err != nil {
		c.Release()
		return nil, Mark{}, err
	}
	mark, emitted := r.t.window.Mark(r.def.at)
	c.High, err = l.visible.read(ctx, rd.conn, emitted, func() error { return r.query(ctx, rd.conn, c) })
	if errors.Is(err, errEnough) {
		// The rest of the result is not wanted: only a new connection gets rid of it.
		rd.disconnect()
		if err = rd.connect(ctx); err == nil {
			c.High, err = l.visible.end(ctx, rd.conn)
		}
	}
	if err != nil {
		r.drop(c, mark)
		return nil, Mark{}, err
	}
	memory.shrink(c.Bytes())
	r.adapt(c)
	return c, mark, nil
}

// drop throws a chunk away that was not delivered.
func (r *rangeLoad) drop(c *Chunk, mark Mark) {
	r.t.window.Forget(mark)
	c.Release()
}

// errEnough stops a SELECT whose rows are larger than was thought.
var errEnough = errors.New("the chunk is large enough")

// query reads up to limit rows into c, and stops early when they are far larger than a chunk should be.
func (r *rangeLoad) query(ctx context.Context, conn *client.Conn, c *Chunk) error {
	began := time.Now()
	c.rows.empty() // of a former attempt
	full := func() bool { return c.Len() > 0 && c.filled() > r.t.l.cfg.ChunkBytes*3/2 }
	// A large row gets memory before it is read: it exists twice for a moment, as a packet and in the chunk.
	room := func(size int) error {
		if full() {
			return errEnough
		}
		return c.memory.grow(ctx, c.Bytes()+2*size)
	}
	err := source.StreamRows(ctx, conn, r.def.stmt.page(r.after, r.to, r.limit), room, func(columns int, row []byte) error {
		if full() {
			return errEnough
		}
		c.add(columns, row)
		return nil
	})
	r.took = time.Since(began)
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("read rows: %w", err)
	}
	c.Last = err == nil && c.rows.len() < r.limit
	c.To = r.after
	if n := c.rows.len(); n > 0 {
		row := make([][]byte, c.rows.cols)
		c.rows.row(n-1, row)
		to, boundErr := r.def.stmt.boundOf(row)
		if boundErr != nil {
			return &definitionError{boundErr}
		}
		c.To = to
	}
	return err
}

// The bounds of a chunk's row count, and the time a chunk's SELECT may take before chunks get smaller: a long SELECT
// holds an old read view, which the source pays for.
const (
	firstRows = 500
	maxRows   = 200_000
	slowRead  = time.Second
)

// adapt chooses how many rows to ask for next, from the size and the time of the rows just read.
func (r *rangeLoad) adapt(c *Chunk) {
	n := c.rows.len()
	if n == 0 {
		return
	}
	want := r.t.l.cfg.ChunkBytes / max(1, c.filled()/n)
	if r.took > slowRead {
		want = min(want, int(float64(n)*float64(slowRead)/float64(r.took)))
	}
	r.limit = min(max(want, 1), 4*r.limit, maxRows)
	r.sized = true
}

// share keeps one part of the range and gives what lies behind it to a reader that has nothing to do.
func (r *rangeLoad) share(ctx context.Context, rd *reader) {
	if r.small || !r.sized || !r.t.pool.hungry() {
		return
	}
	at, err := r.partEnd(ctx, rd)
	if err != nil {
		rd.disconnect() // reading the next chunk tells what is wrong, and what to do
		return
	}
	if at == nil {
		return
	}
	rest := &rangeLoad{t: r.t, def: r.def, after: at, to: r.to, limit: r.limit, sized: true}
	rest.number = r.t.window.Split(r.number, at, r.def.stmt.form())
	r.to = at
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	r.t.add(rest)
}

// partEnd is the key that ends the part of the range that its reader keeps, nil if that is all of it.
func (r *rangeLoad) partEnd(ctx context.Context, rd *reader) (Bound, error) {
	if err := rd.connect(ctx); err != nil {
		return nil, err
	}
	if r.def.stmt.halves() && len(r.after) > 0 {
		return r.halve(ctx, rd)
	}
	r.small = true
	return r.find(ctx, rd, r.def.stmt.cut(r.after, r.to, pieceChunks*r.limit))
}

// pieceChunks is how many chunks a piece holds that is cut off a range which cannot be halved. Finding its end costs the
// server one look at each key, a part of what reading the rows costs; a smaller piece would not pay for the waiting at its
// end.
const pieceChunks = 16
