package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// recordOptions is the form of all records here: one line each, with everything that de-duplication needs.
func recordOptions() record.Options {
	o := record.DefaultOptions("bench")
	o.Format = record.JSONUnformatted
	o.IncludeTransactionDetails, o.IncludeGTID = true, true
	return o
}

// encoder makes records of row changes, as the product does, and gives each to emit.
type encoder struct {
	emit  func(key, data []byte) error
	want  int64
	warm  int64 // after so many, warmed is called
	tx    record.Transaction
	inTx  uint64
	items int64
	plans map[*schema.ImageLayout]*record.Plan
	memo  record.Memo
	key   []byte
	data  []byte

	warmed func()
}

var errAllRead = errors.New("all changes were read")

func (e *encoder) Begin(_ context.Context, tx *record.Transaction) error {
	e.tx, e.inTx = *tx, 0
	return nil
}

func (e *encoder) Rows(_ context.Context, rows *binlog.Rows) error {
	plan := e.plans[rows.Layout]
	if plan == nil {
		var err error
		if plan, err = record.NewPlan(rows.Table, rows.Layout, recordOptions()); err != nil {
			return err
		}
		e.plans[rows.Layout] = plan
	}
	stamp := record.Stamp{Time: time.Now(), Tx: &e.tx, PrevTxID: 1, PrevTxRecordID: 1, Term: 1, Epoch: 1, Memo: &e.memo}
	for rows.Next() {
		row := rows.After
		if rows.Op == record.Delete {
			row = rows.Before
		}
		e.inTx++
		stamp.RecordID, stamp.Place = e.inTx, rows.Place
		var err error
		if e.data, e.key, err = plan.AppendBoth(e.data[:0], e.key[:0], rows.Op, row, rows.Before, &stamp); err != nil {
			return err
		}
		if err := e.emit(e.key, e.data); err != nil {
			return err
		}
		switch e.items++; e.items {
		case e.warm:
			e.warmed()
		case e.want:
			return errAllRead
		}
	}
	return rows.Err()
}

func (e *encoder) Commit(context.Context, binlog.Boundary) error     { return nil }
func (e *encoder) Schema(context.Context, binlog.SchemaChange) error { return nil }

func (e *encoder) TableFailed(_ context.Context, t *binlog.TableError) error { return t }

// encodeBinlog reads all changes and gives each record to emit.
func encodeBinlog(ctx context.Context, p *params, emit func(key, data []byte) error) error {
	e := &encoder{emit: emit, want: p.Changes, warm: p.Warm, warmed: p.warmed, plans: make(map[*schema.ImageLayout]*record.Plan)}
	reader := binlog.New(binlog.Config{
		Source: p.source(), ServerID: 7002, Handler: e,
		Selected: p.selects,
	})
	err := reader.Run(ctx, source.Position{File: p.File, Offset: uint64(p.Offset)})
	if !errors.Is(err, errAllRead) {
		return fmt.Errorf("ended after %d of %d changes: %w", e.items, e.want, err)
	}
	return nil
}

func binlogOurs(ctx context.Context, p *params, done func(items, bytes int64)) error {
	var bytes int64
	err := encodeBinlog(ctx, p, func(key, data []byte) error {
		bytes += int64(len(key) + len(data))
		return nil
	})
	done(p.written(), bytes)
	return err
}

// writeRecords writes the records of all changes into a file, for the deliver measurements. Each is a line: it ends
// with the line feed that DMS ends records with.
func writeRecords(ctx context.Context, p *params, done func(items, bytes int64)) error {
	f, err := os.Create(p.Records)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	var items, bytes int64
	err = encodeBinlog(ctx, p, func(_, data []byte) error {
		items++
		bytes += int64(len(data))
		_, err := w.Write(data)
		return err
	})
	done(items, bytes)
	return errors.Join(err, w.Flush())
}

// loadTarget takes the chunks of the product's full load and makes records of their rows.
type loadTarget struct {
	mu    sync.Mutex // covers everything below
	plan  *record.Plan
	memo  record.Memo
	key   []byte
	data  []byte
	items int64
	bytes int64
}

func (t *loadTarget) Open(string, string, time.Duration) (snapshot.Window, error) { return t, nil }

func (t *loadTarget) Begin(context.Context, *schema.Table) error   { return nil }
func (t *loadTarget) Now() int64                                   { return 0 }
func (t *loadTarget) Forget(snapshot.Mark)                         {}
func (t *loadTarget) Split(int, snapshot.Bound, []string) int      { return 0 }
func (t *loadTarget) Restart() int                                 { return 0 }
func (t *loadTarget) Reach(context.Context, source.Position) error { return nil }

func (t *loadTarget) Hold(context.Context) (snapshot.Hold, error) {
	return nil, errors.New("the table of the benchmark has a key")
}

func (t *loadTarget) Mark(int64) (snapshot.Mark, source.Position) {
	return snapshot.Mark{}, source.Position{}
}

func (t *loadTarget) Deliver(_ context.Context, _ snapshot.Mark, c *snapshot.Chunk) <-chan error {
	answer := make(chan error, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	answer <- t.encode(c)
	c.Release()
	return answer
}

func (t *loadTarget) encode(c *snapshot.Chunk) (err error) {
	if t.plan == nil {
		if t.plan, err = record.NewPlan(c.Table, c.Layout, recordOptions()); err != nil {
			return err
		}
	}
	stamp := record.Stamp{Time: time.Now(), Term: 1, Epoch: 1, Memo: &t.memo}
	for row := range c.Rows() {
		stamp.Sequence = uint64(t.items) + 1
		if t.data, t.key, err = t.plan.AppendBoth(t.data[:0], t.key[:0], record.Load, row, nil, &stamp); err != nil {
			return err
		}
		t.items++
		t.bytes += int64(len(t.key) + len(t.data))
	}
	return nil
}

func (t *loadTarget) Gone() {}

func (t *loadTarget) Fail(err error) error { return err }

func (t *loadTarget) Close() {}

func loadOurs(ctx context.Context, p *params, done func(items, bytes int64)) error {
	conn, err := source.Connect(ctx, p.source())
	if err != nil {
		return err
	}
	server, err := source.Describe(ctx, conn)
	source.Close(conn)
	if err != nil {
		return err
	}
	target := &loadTarget{}
	loader := snapshot.New(snapshot.Config{
		Server: server, Load: source.LoadTable, Stream: target,
		Connect: func(ctx context.Context) (*client.Conn, error) { return source.Connect(ctx, p.source()) },
		Log:     discard,
	})
	if err := loader.Open([]snapshot.Job{{Schema: database, Table: p.Table}}); err != nil {
		return err
	}
	err = loader.Run(ctx)
	done(target.items, target.bytes)
	return err
}
