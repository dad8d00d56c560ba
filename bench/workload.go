package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

const (
	database   = "dms_sample"
	table      = "ticket_purchase_hist"
	largeTable = "large_tx"
)

// mysqlFlags make a server that is not what is measured quick.
var mysqlFlags = []string{"--innodb-buffer-pool-size=512M", "--max-binlog-size=1G", "--performance-schema=OFF", "--innodb-doublewrite=OFF"}

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

// createTable makes the table of the measurements: a ticket shop's purchase history, five small columns.
func createTable(ctx context.Context, s *dbserver.Server) error {
	return s.Exec(ctx,
		"CREATE DATABASE "+database+" CHARACTER SET utf8mb4",
		"CREATE TABLE "+database+"."+table+` (
			sporting_event_ticket_id BIGINT NOT NULL,
			purchased_by_id INT NOT NULL,
			transaction_date_time DATETIME NOT NULL,
			transferred_from_id INT,
			purchase_price DECIMAL(8,2) NOT NULL,
			PRIMARY KEY (sporting_event_ticket_id, purchased_by_id, transaction_date_time))`)
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

// largeTransaction writes one transaction of about mib MiB in rows of 64 KiB. It returns how many rows that is.
func largeTransaction(ctx context.Context, s *dbserver.Server, mib int64) (int64, error) {
	rows := mib * 16
	err := s.Exec(ctx,
		"SET SESSION sql_log_bin = 0",
		"CREATE TABLE "+database+"."+largeTable+" (id BIGINT PRIMARY KEY, body LONGTEXT NOT NULL)",
		"SET SESSION sql_log_bin = 1, cte_max_recursion_depth = 10000000",
		fmt.Sprintf(`INSERT INTO %s.%s
			WITH RECURSIVE seq (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < %d)
			SELECT n, RPAD(n, 65536, SHA2(n, 512)) FROM seq`, database, largeTable, rows))
	return rows, err
}
