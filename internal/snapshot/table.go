package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// tableLoad is the load of one table: a connection, a definition, a place in the table. One goroutine uses it.
type tableLoad struct {
	l      *Loader
	job    Job
	window Window
	after  Bound // the next chunk starts behind this key
	log    *slog.Logger

	conn   *client.Conn
	layout *schema.TextLayout
	stmt   *statement
	limit  int // rows that the next chunk asks for
}

// run reads chunk after chunk. While one chunk waits for the stream to pass it, the next one is read; it is handed
// over only when the first is through, so progress through the table has no gaps.
func (t *tableLoad) run(ctx context.Context) error {
	var ahead *delivery
	for {
		c, mark, err := t.next(ctx)
		if err != nil {
			return err
		}
		if ahead != nil {
			again, err := t.settle(ctx, ahead)
			if err != nil {
				return err
			}
			if again {
				ahead = nil
				continue
			}
		}
		ahead = &delivery{from: c.From, last: c.Last, done: t.window.Deliver(ctx, mark, c)}
		t.after = c.To
		if !c.Last {
			continue
		}
		again, err := t.settle(ctx, ahead)
		if err != nil {
			return err
		}
		if !again {
			return nil
		}
		ahead = nil
	}
}

// delivery is a chunk on its way through the stream.
type delivery struct {
	from Bound
	last bool
	done <-chan error
}

// settle waits for a delivered chunk. It is true if the chunk was void: the table is then read again from where that
// chunk began, under its new definition.
func (t *tableLoad) settle(ctx context.Context, d *delivery) (again bool, err error) {
	select {
	case err = <-d.done:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	if !errors.Is(err, ErrVoid) {
		return false, err
	}
	t.log.Info("table definition changed during its load; reading the chunk again")
	t.after = d.from
	return true, t.redefine(ctx)
}

// next reads the next chunk. Lost connections and servers that are away for a while are waited for.
func (t *tableLoad) next(ctx context.Context) (*Chunk, Mark, error) {
	for attempt := 0; ; attempt++ {
		c, mark, err := t.read(ctx)
		switch {
		case err == nil:
			if attempt > 0 {
				t.log.Info("full load goes on")
			}
			return c, mark, nil
		case ctx.Err() != nil:
			return nil, Mark{}, context.Cause(ctx)
		case definitionChanged(err) && attempt < 5:
			if err := t.redefine(ctx); err != nil {
				return nil, Mark{}, err
			}
		case permanent(err):
			return nil, Mark{}, err
		default:
			t.disconnect()
			if attempt == 0 {
				t.log.Warn("full load waits for the source", "error", err)
			}
			if err := sleep(ctx, backoff(attempt)); err != nil {
				return nil, Mark{}, err
			}
		}
	}
}

// read makes one attempt at the next chunk: mark, visibility, SELECT, High.
func (t *tableLoad) read(ctx context.Context) (*Chunk, Mark, error) {
	if err := t.connect(ctx); err != nil {
		return nil, Mark{}, err
	}
	c := &Chunk{Table: t.stmt.table, Layout: t.layout, From: t.after}
	mark, emitted := t.window.Mark()
	began := time.Now()
	high, err := t.l.visible.read(ctx, t.conn, emitted, func() error { return t.query(ctx, c) })
	if errors.Is(err, errEnough) {
		// The rest of the result is not wanted: only a new connection gets rid of it.
		t.disconnect()
		if err = t.connect(ctx); err == nil {
			high, err = source.CurrentPosition(ctx, t.conn, t.l.cfg.Server)
		}
	}
	if err != nil {
		return nil, Mark{}, err
	}
	c.High = high
	t.adapt(c, time.Since(began))
	return c, mark, nil
}

// errEnough stops a SELECT whose rows are larger than was thought.
var errEnough = errors.New("the chunk is large enough")

// query reads up to limit rows into c, and stops early when they exceed twice the wanted size.
func (t *tableLoad) query(ctx context.Context, c *Chunk) error {
	c.rows = rowArena{} // of a former attempt
	ceiling := 2 * t.l.cfg.ChunkBytes
	full := false
	err := source.StreamText(ctx, t.conn, t.stmt.page(t.after, t.limit), func(row [][]byte) error {
		if full {
			return errEnough
		}
		c.Add(row)
		full = c.Bytes() > ceiling
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("read rows: %w", err)
	}
	c.Last = err == nil && c.rows.len() < t.limit
	if n := c.rows.len(); n > 0 {
		row := make([][]byte, c.rows.cols)
		c.rows.row(n-1, row)
		to, boundErr := t.stmt.bound(row)
		if boundErr != nil {
			return boundErr
		}
		c.To = to
	} else {
		c.To = t.after
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
func (t *tableLoad) adapt(c *Chunk, took time.Duration) {
	n := c.rows.len()
	if n == 0 {
		return
	}
	want := t.l.cfg.ChunkBytes / max(1, c.Bytes()/n)
	if took > slowRead {
		want = min(want, int(float64(n)*float64(slowRead)/float64(took)))
	}
	t.limit = min(max(want, 1), 4*t.limit, maxRows)
}

func (t *tableLoad) connect(ctx context.Context) error {
	if t.conn != nil {
		return nil
	}
	conn, err := t.l.cfg.Connect(ctx)
	if err != nil {
		return err
	}
	t.conn = conn
	return nil
}

func (t *tableLoad) disconnect() {
	if t.conn != nil {
		source.Close(t.conn)
		t.conn = nil
	}
}

// define reads the table's definition, waiting for the source as long as needed.
func (t *tableLoad) define(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		err := t.defineOnce(ctx)
		if err == nil || permanent(err) {
			return err
		}
		t.disconnect()
		if err := sleep(ctx, backoff(attempt)); err != nil {
			return err
		}
	}
}

func (t *tableLoad) redefine(ctx context.Context) error {
	key := t.keyNames()
	if err := t.define(ctx); err != nil {
		return err
	}
	if !slices.Equal(key, t.keyNames()) {
		t.log.Warn("the table's key changed during its load; loading it from the start", "was", key, "is", t.keyNames())
		t.after = nil
	}
	return nil
}

func (t *tableLoad) defineOnce(ctx context.Context) error {
	if err := t.connect(ctx); err != nil {
		return err
	}
	table, err := t.l.cfg.Load(ctx, t.conn, t.job.Schema, t.job.Table)
	if err != nil {
		return err
	}
	layout, err := schema.NewTextLayout(table, t.l.cfg.Rendered)
	if err != nil {
		return &definitionError{err}
	}
	stmt, err := newStatement(table, layout.SelectList())
	if err != nil {
		return &definitionError{err}
	}
	t.layout, t.stmt, t.limit = layout, stmt, firstRows
	return nil
}

func (t *tableLoad) keyNames() []string {
	var names []string
	for _, k := range t.stmt.table.Key {
		names = append(names, t.stmt.table.Columns[k].Name)
	}
	return names
}

// definitionError marks a definition that no retry makes readable.
type definitionError struct{ err error }

func (e *definitionError) Error() string { return e.err.Error() }
func (e *definitionError) Unwrap() error { return e.err }

// MySQL error codes that say something about the statement and not about the weather.
const (
	erBadField          = 1054
	erNoSuchTable       = 1146
	erUnknownTable      = 1109
	erDBAccessDenied    = 1044
	erTableAccessDenied = 1142
	erColumnAccess      = 1143
	erAccessDenied      = 1227
)

// definitionChanged says that the statement did not fit the table any more.
func definitionChanged(err error) bool {
	var my *mysql.MyError
	return errors.As(err, &my) && my.Code == erBadField
}

// gone turns the end of a table into the end of its load: DROP TABLE stands in the binlog, and nothing is left to read.
func (t *tableLoad) gone(err error) error {
	var my *mysql.MyError
	if errors.Is(err, source.ErrNoTable) || errors.As(err, &my) && (my.Code == erNoSuchTable || my.Code == erUnknownTable) {
		t.log.Warn("the table does not exist any more; its load ends here")
		t.window.Gone()
		return nil
	}
	return err
}

// ended tells ends of one table's load from those of the whole: a table that is gone, is not wanted any more, or cannot be
// read does not keep the others from being loaded.
func (t *tableLoad) ended(err error) error {
	err = t.gone(err)
	switch {
	case errors.Is(err, ErrAbandoned):
		t.log.Info("the table's load was given up")
		return nil
	case err != nil && permanent(err):
		return t.window.Fail(err)
	}
	return err
}

// permanent says that trying again cannot help.
func permanent(err error) bool {
	var def *definitionError
	if errors.As(err, &def) || errors.Is(err, source.ErrNoTable) || source.Refused(err) {
		return true
	}
	var my *mysql.MyError
	if !errors.As(err, &my) {
		return false
	}
	switch my.Code {
	case erNoSuchTable, erUnknownTable, erDBAccessDenied, erTableAccessDenied, erColumnAccess, erAccessDenied, erBadField:
		return true
	}
	return false
}

// backoff grows from 100 ms to 10 s, with jitter so that workers do not come back together.
func backoff(attempt int) time.Duration {
	d := min(100*time.Millisecond<<min(attempt, 7), 10*time.Second)
	return d/2 + rand.N(d/2)
}
