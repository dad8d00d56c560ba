package pipeline

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// ready is a stream writer that acknowledges everything at once.
type ready struct{}

func (ready) Takes(context.Context, int) error { return nil }

func (ready) Put(_ context.Context, r kinesisout.Record) error {
	r.Ack.Acked(r.Seq)
	return nil
}

// In steady state, passing on a transaction makes no garbage.
func TestTransactionsAllocateNothing(t *testing.T) {
	s := newSimulation(t, 1)
	e := s.e
	e.out = ready{}
	var err error
	e.gtids, err = binlog.ParseGTIDSet(source.MySQL, "")
	must(t, err)
	const transactions = 2000
	gtids := make([]string, transactions)
	for i := range gtids {
		gtids[i] = fmt.Sprintf("3e11fa47-71ca-11e1-9e33-c80aa9429562:%d", i+1)
	}
	plan, err := e.plan(versioned, s.layout)
	must(t, err)
	ctx, n, row := t.Context(), 0, [][]byte{[]byte("1"), []byte("2")}
	tx, c := &record.Transaction{}, &change{plan: plan, table: versioned}
	transaction := func() {
		gtid, offset := gtids[n], uint64(n)*100
		n++
		*tx = record.Transaction{ID: 1<<32 | offset, GTID: gtid, CommitTime: time.Now()}
		must(t, e.Begin(ctx, tx))
		must(t, e.Rows(ctx, &binlog.Rows{Table: versioned, Op: record.Update}))
		c.stamp = record.Stamp{Time: time.Now(), Tx: &e.tx.tx, PrevTxID: e.prevTx, PrevTxRecordID: e.prevRec, Term: 1, Epoch: 1, Memo: &e.memo}
		c.at = changeAt{Place: record.Place{File: "bin.000001", TableMapStart: offset + 10, EventStart: offset + 20, EventEnd: offset + 90}, GTID: gtid}
		must(t, e.emit(ctx, c, record.Update, row, row))
		must(t, e.Commit(ctx, binlog.Boundary{File: "bin.000001", Offset: offset + 100, GTID: gtid, Time: time.Now()}))
		e.tracker.Saved(uint64(n))
	}
	transaction()
	if got := testing.AllocsPerRun(1000, transaction); got != 0 {
		t.Errorf("%v allocations a transaction", got)
	}
}
