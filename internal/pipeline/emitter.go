package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/mapping"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// putter is what the emitter needs of the stream writer: records of one key leave in the order of the calls; Put copies
// what it is given and blocks while the stream is busy. Takes says with an *OversizedError that a record of this size
// would be refused. The emitter calls them from one goroutine at a time.
type putter interface {
	Takes(ctx context.Context, size int) error
	Put(ctx context.Context, r kinesisout.Record) error
}

// emitter is the one place where records get their order. Changes come from the binlog reader, chunks of load records
// from the loader's goroutines; its mutex makes one sequence of them. It implements binlog.Handler and snapshot.Stream.
type emitter struct {
	out       putter
	tracker   *checkpoint.Tracker[boundary, changeAt]
	records   record.Options
	term      uint64 // 0: records carry no term
	epoch     uint64
	numbers   *checkpoint.Numbers // of records without a position; nil: they carry none
	starved   chan struct{}       // one token: chunks wait for numbers
	rules     *mapping.Rules
	stop      stopRule
	progress  *progress
	metrics   *replicateMetrics
	log       *slog.Logger
	started   time.Time // moments in windows are counted from here
	streams   bool      // false for a full load alone: nothing is ever emitted but chunks
	reloads   bool      // tables may be loaded while the stream runs
	policy    ErrorPolicy
	oversized *oversizer
	barrier   barrier
	persist   func(context.Context) error // saves a checkpoint and returns when it is durable
	loads     *loadQueue
	reached   func() // called whenever the source has told how far it is

	ignoreNotes bool // as in ReplicateConfig

	mu      sync.Mutex // covers everything below; held while a rows event or a chunk is handed to out
	at      source.Position
	gtids   *binlog.GTIDSet
	tx      txState
	prevTx  uint64 // the last transaction that emitted something
	prevRec uint64 // and the id of its last record
	skip    skipRule
	plans   map[schema.Codec]*record.Plan
	windows map[tableID]*window
	hold    holds
	waiting []positionWaiter

	retry     func(schema, table string) // makes the reader try a table again that failed; nil before it runs
	suspended map[tableID]bool           // nothing of these is emitted
	pending   announcement               // what the next boundary announces
	dueLoads  []tableID                  // what is to load behind it
	requests  []reloadRequest            // what was asked for and not begun

	memo   record.Memo
	buf    []byte
	key    []byte
	rowKey []byte
}

// txState is the transaction whose rows are being read.
type txState struct {
	open    bool
	tx      record.Transaction
	records uint64 // record ids given so far
	rows    uint64 // row changes seen so far, whatever became of them
	end     uint64 // offset behind the newest event of it
}

// changeAt is the coordinate of an emitted change.
type changeAt struct {
	Place record.Place
	Half  uint8  // 1: the insert of a delete and insert pair; see record.Position
	GTID  string // of its transaction
}

// positionWaiter is somebody who waits for the stream to reach a position.
type positionWaiter struct {
	pos  source.Position
	done chan struct{}
}

func (e *emitter) now() int64 { return int64(time.Since(e.started)) }

// emitted is a position that covers everything emitted so far, the rows of an unfinished transaction included.
func (e *emitter) emitted() source.Position {
	p := e.at
	if e.gtids != nil {
		p.GTIDSet = e.gtids.String()
	}
	if !e.tx.open || e.tx.rows == 0 {
		return p
	}
	p.Offset = max(p.Offset, e.tx.end)
	if e.gtids != nil && e.tx.tx.GTID != "" {
		with := e.gtids.Clone()
		if err := with.Add(e.tx.tx.GTID); err == nil { // it was parsed when the transaction began
			p.GTIDSet = with.String()
		}
	}
	return p
}

// Begin implements binlog.Handler.
func (e *emitter) Begin(ctx context.Context, tx *record.Transaction) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.held(ctx); err != nil {
		return err
	}
	if e.stopped(tx.CommitTime) {
		return errStopPosition
	}
	e.tx = txState{open: true, tx: *tx}
	return nil
}

// stopped says whether reading ends before t.
func (e *emitter) stopped(t time.Time) bool { return e.stop.before(t) && e.complete() }

// complete says whether nothing keeps the stream from ending. A full load needs the changes that come while it runs, so it
// ends first; where nothing is loaded, a load that another migration type has left unfinished is none.
func (e *emitter) complete() bool { return !e.reloads || e.progress.complete() }

// Rows implements binlog.Handler.
func (e *emitter) Rows(ctx context.Context, rows *binlog.Rows) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := tableID{rows.Table.Schema, rows.Table.Name}
	if e.suspended[id] {
		e.passOver(id)
		return nil
	}
	err := e.rows(ctx, id, rows)
	if fault, ok := unrenderable(err, id); ok {
		return e.suspend(id, fault)
	}
	return err
}

func (e *emitter) rows(ctx context.Context, id tableID, rows *binlog.Rows) error {
	plan, err := e.plan(rows.Table, rows.Layout)
	if err != nil {
		return err
	}
	c := change{
		plan: plan, table: rows.Table,
		window: e.windows[id],
		moment: e.now(),
		stamp: record.Stamp{
			Time: time.Now(), Tx: &e.tx.tx, PrevTxID: e.prevTx, PrevTxRecordID: e.prevRec,
			Term: e.term, Epoch: e.epoch, Memo: &e.memo,
		},
	}
	e.metrics.read(e.tx.tx.CommitTime)
	for rows.Next() {
		c.at = changeAt{Place: rows.Place, GTID: e.tx.tx.GTID}
		e.tx.end = max(e.tx.end, rows.Place.EventEnd)
		if err := e.row(ctx, &c, rows); err != nil {
			return fmt.Errorf("emit a change of table %s at %s:%d row %d: %w",
				rows.Table.FullName(), c.at.Place.File, c.at.Place.EventStart, c.at.Place.Row, err)
		}
	}
	return rows.Err()
}

// change is what the rows of one event have in common, and the row at hand.
type change struct {
	plan   *record.Plan
	table  *schema.Table
	window *window
	moment int64
	at     changeAt
	stamp  record.Stamp
}

// row emits one row of an event. An update that changes the row's key leaves as a delete of the old and an insert of
// the new row: the two keys may live in different shards, and a reader of either must see what became of its key.
func (e *emitter) row(ctx context.Context, c *change, rows *binlog.Rows) error {
	switch rows.Op {
	case record.Insert:
		return e.emit(ctx, c, record.Insert, rows.After, nil)
	case record.Delete:
		return e.emit(ctx, c, record.Delete, rows.Before, nil)
	case record.Update:
		if !keyChanged(c.table, rows.Before, rows.After) {
			return e.emit(ctx, c, record.Update, rows.After, rows.Before)
		}
		if err := e.emit(ctx, c, record.Delete, rows.Before, nil); err != nil {
			return err
		}
		c.at.Half = 1
		return e.emit(ctx, c, record.Insert, rows.After, nil)
	default:
		return fmt.Errorf("a rows event with operation %d", rows.Op)
	}
}

// keyChanged compares the bytes of the key columns. Values that only the collation holds for equal are different keys
// to whoever reads the records.
func keyChanged(t *schema.Table, before, after [][]byte) bool {
	for _, k := range t.Key {
		if !bytes.Equal(before[k], after[k]) {
			return true
		}
	}
	return false
}

// emit hands one record to the stream, unless a former run has seen it acknowledged.
func (e *emitter) emit(ctx context.Context, c *change, op record.Operation, row, before [][]byte) error {
	e.tx.rows++
	e.tx.records++
	if c.window != nil {
		if err := e.note(c, row); err != nil {
			return err
		}
	}
	if e.skip.done(c.at) {
		return nil
	}
	// A row that cannot be written must not get a number: nobody would ever acknowledge it.
	c.stamp.RecordID, c.stamp.Place = e.tx.records, c.at.Place
	if err := e.build(ctx, c.plan, c.table, op, row, before, &c.stamp); err != nil {
		return err
	}
	if e.skip.overtaken(c.at) {
		e.tracker.Resume(0, changeAt{})
	}
	seq, err := e.tracker.Next(ctx, c.at, e.tx.tx.CommitTime)
	if err != nil {
		return err
	}
	if err := e.out.Put(ctx, kinesisout.Record{Key: e.key, Data: e.buf, Seq: seq, Ack: e.tracker}); err != nil {
		return oversized(err, c.table, e.key)
	}
	e.metrics.changed(c.table, op)
	if cap(e.buf) > bufferKeep {
		e.buf = nil
	}
	return nil
}

// bufferKeep is the largest buffer for a record that is kept for the next.
const bufferKeep = 16 << 20

// Commit implements binlog.Handler.
func (e *emitter) Commit(ctx context.Context, b binlog.Boundary) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !b.Idle && !e.tx.open && e.stopped(b.Time) { // nothing of it is selected
		return errStopPosition
	}
	e.at.File, e.at.Offset = b.File, b.Offset
	gtid := ""
	if e.gtids != nil { // without a whole set to begin with, single GTIDs must not look like one
		if gtid = b.GTID; gtid != "" {
			if err := e.gtids.Add(gtid); err != nil {
				return fmt.Errorf("transaction before %s:%d: %w", b.File, b.Offset, err)
			}
		}
	}
	if e.tx.records > 0 {
		e.prevTx, e.prevRec = e.tx.tx.ID, e.tx.records
	}
	if !b.Idle {
		e.tx = txState{}
		e.skip.end(b.GTID)
	}
	if !b.Idle || !e.skip.active { // what a former process did of the next transaction counts behind the last boundary
		e.tracker.Boundary(boundary{file: b.File, offset: b.Offset, began: b.FileBegan, gtid: gtid, prevTx: e.prevTx, prevRec: e.prevRec})
	}
	e.metrics.boundary(b)
	e.reached()
	e.wake()
	if err := e.turn(ctx); err != nil {
		return err
	}
	if e.stop.reached(e.at) && e.complete() {
		return errStopPosition
	}
	return e.held(ctx)
}

// turn does what is due between two transactions. A load that begins here is announced before anything that comes later.
func (e *emitter) turn(ctx context.Context) error {
	if err := e.announce(ctx, &e.pending); err != nil {
		return err
	}
	if err := e.takeRequests(ctx); err != nil {
		return err
	}
	e.startLoads()
	return e.emitAllChunks(ctx)
}

// plan gives the prepared encoder of a table version.
func (e *emitter) plan(t *schema.Table, codec schema.Codec) (*record.Plan, error) {
	if p := e.plans[codec]; p != nil {
		return p, nil
	}
	options := e.records
	if key, ok := e.rules.PartitionKey(t.Schema, t.Name); ok {
		options.PartitionKeyType, options.PartitionKeyConstant, options.PartitionKeyName = key.Type, key.Constant, key.Name
	}
	p, err := record.NewPlan(t, codec, options)
	if err != nil {
		return nil, &planError{t.FullName(), err}
	}
	if len(e.plans) >= maxPlans {
		clear(e.plans) // versions of tables that are gone; the live ones come back at once
	}
	e.plans[codec] = p
	return p, nil
}

const maxPlans = 4096

// retryWith tells the emitter how a table that failed is tried again.
func (e *emitter) retryWith(retry func(schema, table string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.retry = retry
}

// wait blocks until the stream has passed pos, by file and offset.
func (e *emitter) wait(ctx context.Context, pos source.Position) error {
	e.mu.Lock()
	w := positionWaiter{pos: pos, done: make(chan struct{})}
	e.waiting = append(e.waiting, w)
	e.wake()
	e.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *emitter) wake() {
	kept := e.waiting[:0]
	for _, w := range e.waiting {
		if e.at.Compare(w.pos) >= 0 {
			close(w.done)
		} else {
			kept = append(kept, w)
		}
	}
	e.waiting = kept
}

// Open implements snapshot.Stream.
func (e *emitter) Open(schemaName, table string, guard time.Duration) (snapshot.Window, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open(tableID{schemaName, table}, guard)
}

// open opens a window. Called with mu held.
func (e *emitter) open(id tableID, guard time.Duration) (snapshot.Window, error) {
	if e.windows[id] != nil {
		return nil, fmt.Errorf("table %s.%s is being loaded already", id.Schema, id.Table)
	}
	w := &window{
		emitter: e, id: id, guard: int64(guard), notes: make(map[noteKey]int64), pruneAt: firstPrune,
		marks: make(map[uint64]int64), voidAt: math.MinInt64, load: e.progress.table(id, StateBeforeLoad),
	}
	e.windows[id] = w
	return w, nil
}
