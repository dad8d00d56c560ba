package main

import (
	"context"
	"fmt"

	"github.com/go-mysql-org/go-mysql/client"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// span is a part of the binlog and what is in it.
type span struct {
	from, to position
	written  int64 // changes
	chosen   int64 // of them in selected tables
	bytes    int64
}

// params are those of a step that reads the span.
func (s *span) params(port int, table string) params {
	return params{Port: port, File: s.from.file, Offset: s.from.offset, EndFile: s.to.file, End: s.to.offset,
		Changes: s.chosen, Written: s.written, Table: table}
}

// recorded is what do writes to the binlog.
func recorded(ctx context.Context, s *dbserver.Server, do func() (written, chosen int64, err error)) (*span, error) {
	before, err := logSize(ctx, s)
	if err != nil {
		return nil, err
	}
	from, err := binlogEnd(ctx, s)
	if err != nil {
		return nil, err
	}
	written, chosen, err := do()
	if err != nil {
		return nil, err
	}
	after, err := logSize(ctx, s)
	if err != nil {
		return nil, err
	}
	to, err := binlogEnd(ctx, s)
	return &span{from: from, to: to, written: written, chosen: chosen, bytes: after - before}, err
}

// prepareSequence makes the table of numbers that rows are made of, and what writes them one by one.
func prepareSequence(ctx context.Context, s *dbserver.Server) error {
	statements := []string{"USE " + database, "SET SESSION sql_log_bin = 0", "CREATE TABLE seq (n BIGINT PRIMARY KEY)", "INSERT INTO seq VALUES (1)"}
	for n := int64(1); n < seqRows; n *= 2 {
		statements = append(statements, fmt.Sprintf("INSERT INTO seq SELECT n + %d FROM seq", n))
	}
	return s.Exec(ctx, append(statements, oneByOneProcedure)...)
}

// prepareManyTables makes the tables of which a growing number is written to, several at a time.
func prepareManyTables(ctx context.Context, s *dbserver.Server) error {
	group, ctx := errgroup.WithContext(ctx)
	const makers = 4
	for maker := range int64(makers) {
		group.Go(func() error {
			statements := []string{"USE " + database}
			for i := maker; i < manyTables; i += makers {
				statements = append(statements, purchases(manyTable(i), keepsNone))
			}
			return s.Exec(ctx, statements...)
		})
	}
	return group.Wait()
}

// prepare makes the workload's tables and writes its changes.
func (w *workload) prepare(ctx context.Context, s *dbserver.Server) (*span, error) {
	conn, err := s.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := execute(conn, w.schema...); err != nil {
		return nil, err
	}
	return recorded(ctx, s, func() (written, chosen int64, err error) {
		if w.all != nil {
			return w.changes, w.changes, execute(conn, w.all(1, w.changes))
		}
		return w.transactions(conn)
	})
}

// transactions writes all changes, a transaction at a time.
func (w *workload) transactions(conn *client.Conn) (written, chosen int64, err error) {
	each := w.chosen
	if each == 0 {
		each = w.rows
	}
	for ; written < w.changes; written, chosen = written+w.rows, chosen+each {
		statements := append(append([]string{"BEGIN"}, w.write(written+1, w.rows)...), "COMMIT")
		if err := execute(conn, statements...); err != nil {
			return 0, 0, err
		}
	}
	return written, chosen, nil
}

func execute(conn *client.Conn, statements ...string) error {
	for _, q := range statements {
		if _, err := conn.Execute(q); err != nil {
			return fmt.Errorf("%.200s: %w", q, err)
		}
	}
	return nil
}
