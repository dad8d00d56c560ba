package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

const (
	database = "dms_sample"
	table    = "ticket_purchase_hist"
)

// mysqlFlags make a server that is not what is measured quick.
var mysqlFlags = []string{"--innodb-buffer-pool-size=" + largePool, "--max-binlog-size=1G", "--performance-schema=OFF", "--innodb-doublewrite=OFF"}

// position is where the binlog stands.
type position struct {
	file   string
	offset uint32
}

func binlogEnd(ctx context.Context, s *dbserver.Server) (position, error) {
	r, err := s.Query(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return position{}, err
	}
	last := r.RowNumber() - 1
	file, err := r.GetString(last, 0)
	if err != nil {
		return position{}, err
	}
	size, err := r.GetUint(last, 1)
	return position{file, uint32(size)}, err
}

// logSize is how large all files of the binlog are together.
func logSize(ctx context.Context, s *dbserver.Server) (size int64, err error) {
	r, err := s.Query(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return 0, err
	}
	for i := range r.RowNumber() {
		n, err := r.GetInt(i, 1)
		if err != nil {
			return 0, err
		}
		size += n
	}
	return size, nil
}

// createTable makes the table of the measurements: a ticket shop's purchase history, five small columns.
func createTable(ctx context.Context, s *dbserver.Server) error {
	return s.Exec(ctx,
		"CREATE DATABASE "+database+" CHARACTER SET utf8mb4",
		"USE "+database, purchases(table, ""))
}

// fillTable writes changes to the table, in transactions of txRows: out of 20, 16 are inserts, 3 updates and 1 a
// delete. It returns how many changes there are and how many rows are left.
func fillTable(ctx context.Context, s *dbserver.Server, changes, txRows int64) (written, rows int64, err error) {
	conn, err := s.Connect(ctx, database)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	inserts := txRows * 16 / 20
	updates, deletes := txRows*3/20, txRows/20
	if deletes == 0 {
		return 0, 0, fmt.Errorf("-tx-rows is %d; it has to be 20 or more", txRows)
	}
	if _, err := conn.Execute("SET SESSION cte_max_recursion_depth = " + strconv.FormatInt(inserts+1, 10)); err != nil {
		return 0, 0, err
	}
	for first := int64(1); written < changes; first += inserts {
		for _, statement := range []string{
			"BEGIN",
			fmt.Sprintf(`INSERT INTO %s
				WITH RECURSIVE seq (n) AS (SELECT %d UNION ALL SELECT n + 1 FROM seq WHERE n < %d)
				SELECT n, n * 7919 %% 1000003, '2026-01-01' + INTERVAL n SECOND, IF(n %% 4 = 0, n %% 1000003, NULL), n %% 50000 / 100 FROM seq`,
				table, first, first+inserts-1),
			fmt.Sprintf("UPDATE %s SET purchase_price = purchase_price + 1.5, transferred_from_id = purchased_by_id WHERE sporting_event_ticket_id BETWEEN %d AND %d",
				table, first, first+updates-1),
			fmt.Sprintf("DELETE FROM %s WHERE sporting_event_ticket_id BETWEEN %d AND %d", table, first+updates, first+updates+deletes-1),
			"COMMIT",
		} {
			if _, err := conn.Execute(statement); err != nil {
				return 0, 0, fmt.Errorf("%.120s: %w", statement, err)
			}
		}
		written += inserts + updates + deletes
		rows += inserts - deletes
	}
	return written, rows, nil
}
