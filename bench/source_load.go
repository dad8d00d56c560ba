package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// sourceLoad is what reading a table cost the database server. All but Statements is for a row.
type sourceLoad struct {
	Step       string  `json:"step"`
	Pool       string  `json:"pool"` // how the table stands to the server's buffer pool
	Rows       int64   `json:"rows"`
	Statements int64   `json:"statements"`
	CPU        float64 `json:"cpu_us"`
	RowsRead   float64 `json:"rows_read"` // by the engine
	Requests   float64 `json:"pool_read_requests"`
	Reads      float64 `json:"pages_read"` // from the disk, those included that were read ahead
}

// sourceUse is what a server has used since it started.
type sourceUse struct {
	cpu    time.Duration
	counts map[string]int64
}

// The server's own counts.
const (
	countStatements = "Questions"
	countRows       = "Innodb_rows_read"
	countRequests   = "Innodb_buffer_pool_read_requests"
	countReads      = "Innodb_pages_read"
)

// The sizes of the buffer pool: the table is in it, or most of it is not.
const (
	largePool = "512M"
	smallPool = "8M"
)

// watched does a try and notes what it cost the server.
func (b *bench) watched(pool string, do try) try {
	return func(ctx context.Context) (measurement, error) {
		before, err := useOf(ctx, b.db)
		if err != nil {
			return measurement{}, err
		}
		m, err := do(ctx)
		if err != nil {
			return m, err
		}
		after, err := useOf(ctx, b.db)
		if err != nil {
			return m, err
		}
		each := func(name string) float64 { return float64(after.counts[name]-before.counts[name]) / float64(m.Items) }
		b.report.source(sourceLoad{
			Step: m.Step, Pool: pool, Rows: m.Items, Statements: after.counts[countStatements] - before.counts[countStatements],
			CPU:      float64((after.cpu - before.cpu).Nanoseconds()) / 1e3 / float64(m.Items),
			RowsRead: each(countRows), Requests: each(countRequests), Reads: each(countReads),
		})
		return m, nil
	}
}

// source keeps the cheapest run of each step: what else the server does only adds to it.
func (r *report) source(l sourceLoad) {
	for i, other := range r.Source {
		if other.Step == l.Step && other.Pool == l.Pool {
			if l.CPU < other.CPU {
				r.Source[i] = l
			}
			return
		}
	}
	r.Source = append(r.Source, l)
}

// useOf asks the server for its counts, and the system for its CPU time.
func useOf(ctx context.Context, s *dbserver.Server) (sourceUse, error) {
	use := sourceUse{counts: make(map[string]int64)}
	r, err := s.Query(ctx, "SHOW GLOBAL STATUS WHERE Variable_name IN ('"+
		strings.Join([]string{countStatements, countRows, countRequests, countReads}, "', '")+"')")
	if err != nil {
		return use, err
	}
	for i := range r.RowNumber() {
		name, err := r.GetString(i, 0)
		if err != nil {
			return use, err
		}
		if use.counts[name], err = r.GetInt(i, 1); err != nil {
			return use, err
		}
	}
	use.cpu, err = processTime(s.PID())
	return use, err
}

// processTime is the CPU time of another process, in the steps of a hundredth of a second that the system tells.
func processTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseProcessTime(string(stat))
}

// parseProcessTime reads user and system time, the 14th and 15th field; the second one, a name in parentheses, may have
// spaces in it.
func parseProcessTime(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("the statistics of a process are %q", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, systemErr := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100), errors.Join(err, systemErr)
}

// largeTable copies the rows of the table into another one several times, so that reading them takes seconds: in half of one,
// how a load begins and ends is a good part of it. The log has nothing of that.
func (b *bench) largeTable(ctx context.Context, p params) (params, error) {
	const name, copies = "all_purchases", 3
	progress("copying the table %d times", copies)
	statements := []string{"SET SESSION sql_log_bin = 0", "USE " + database, purchases(name, "")}
	for i := range copies {
		statements = append(statements, fmt.Sprintf(`INSERT INTO %s
			SELECT sporting_event_ticket_id + %d, purchased_by_id, transaction_date_time, transferred_from_id, purchase_price FROM %s`, name, i*1_000_000_000, table))
	}
	p.Table, p.Rows = name, copies*p.Rows
	return p, b.db.Exec(ctx, statements...)
}

// loadFromDisk has the table read by a server whose buffer pool holds little of it, and nothing at first.
func (b *bench) loadFromDisk(ctx context.Context, p params) error {
	progress("starting the server again with a buffer pool of " + smallPool)
	if err := b.db.Restart(ctx, "--innodb-buffer-pool-size="+smallPool, "--innodb-buffer-pool-load-at-startup=OFF"); err != nil {
		return err
	}
	const pool = "holds little of the table"
	for _, name := range []string{"load bare", "load ours"} {
		if _, err := b.watched(pool, b.plain(name, p))(ctx); err != nil {
			return err
		}
	}
	return b.db.Restart(ctx)
}
