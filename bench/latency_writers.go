package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// began is what moments are counted from.
var began = time.Now()

func sinceBegan() time.Duration { return time.Since(began) }

// moments are those of one transaction.
type moments struct {
	due        time.Duration // when it should have begun
	committing time.Duration // its COMMIT was sent
	returned   time.Duration // and answered
}

// writers keep a pace: each transaction has a time at which it is due, however long the ones before it take. The
// connections take the next transaction in turn, so that one slow commit delays no other unless all are slow.
type writers struct {
	db    *dbserver.Server
	pace  pace
	first int64 // number of the first row
	sent  []moments

	next atomic.Int64
}

// run writes the transactions of sent.
func (w *writers) run(ctx context.Context) error {
	start := sinceBegan() + 50*time.Millisecond
	every := time.Second / time.Duration(w.pace.transaction)
	for i := range w.sent {
		w.sent[i].due = start + time.Duration(i)*every
	}
	group, ctx := errgroup.WithContext(ctx)
	for range w.pace.connections {
		group.Go(func() error { return w.write(ctx) })
	}
	return group.Wait()
}

// write is one connection's part.
func (w *writers) write(ctx context.Context) error {
	conn, err := w.db.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := execute(conn, "SET autocommit = 0"); err != nil {
		return err
	}
	for {
		i := w.next.Add(1) - 1
		if i >= int64(len(w.sent)) || ctx.Err() != nil {
			return context.Cause(ctx)
		}
		m := &w.sent[i]
		time.Sleep(m.due - sinceBegan())
		if err := execute(conn, w.insert(i)); err != nil {
			return err
		}
		m.committing = sinceBegan()
		if err := execute(conn, "COMMIT"); err != nil {
			return err
		}
		m.returned = sinceBegan()
	}
}

func (w *writers) insert(transaction int64) string {
	var q strings.Builder
	q.WriteString("INSERT INTO " + latencyTable + " VALUES ")
	for i := range w.pace.rows {
		if i > 0 {
			q.WriteByte(',')
		}
		n := w.first + transaction*w.pace.rows + i
		fmt.Fprintf(&q, "(%d,'holder of ticket %d',%d.25,NOW(6))", n, n, n%1000)
	}
	return q.String()
}

// achieved is how many changes a second were committed.
func (w *writers) achieved() float64 {
	last := time.Duration(0)
	for i := range w.sent {
		last = max(last, w.sent[i].returned)
	}
	return float64(int64(len(w.sent))*w.pace.rows) / (last - w.sent[0].due).Seconds()
}
