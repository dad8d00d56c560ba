package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

// errNoLog is returned where the server keeps no binary log.
var errNoLog = errors.New("the server keeps no binary log")

// CurrentPosition is the end of the server's binary log. With GTIDs, the set holds only what every other session can see
// already: a transaction stands in the log, and in File and Offset, before its engine commits it.
func CurrentPosition(ctx context.Context, conn *client.Conn, s Server) (Position, error) {
	status := "SHOW MASTER STATUS" // until MySQL 8.4, and on MariaDB
	if s.Flavor == MySQL && s.VersionAtLeast(8, 2, 0) {
		status = "SHOW BINARY LOG STATUS"
	}
	rows, err := texts(ctx, conn, status)
	if err != nil {
		return Position{}, err
	}
	if len(rows) == 0 || len(rows[0]) < 2 || rows[0][0] == "" {
		return Position{}, &Error{
			Step: "find the end of the binary log", Err: errNoLog,
			Hint: serverHint(Config{}, &mysql.MyError{Code: mysql.ER_NO_BINARY_LOGGING}),
		}
	}
	p := Position{File: rows[0][0], ServerUUID: s.UUID}
	if p.Offset, err = strconv.ParseUint(rows[0][1], 10, 64); err != nil {
		return Position{}, &Error{Step: status, Err: fmt.Errorf("offset %q is not a number", rows[0][1])}
	}
	if !s.GTIDMode {
		return p, nil
	}
	query := "SELECT @@GLOBAL.gtid_executed"
	if s.Flavor == MariaDB {
		query = fmt.Sprintf("SELECT BINLOG_GTID_POS('%s', %d)", p.File, p.Offset)
	}
	set, err := value(ctx, conn, query)
	if err != nil {
		return Position{}, err
	}
	p.GTIDSet = strings.ReplaceAll(set, "\n", "")
	return p, nil
}

// value runs a query for one value.
func value(ctx context.Context, conn *client.Conn, query string) (string, error) {
	rows, err := texts(ctx, conn, query)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", &Error{Step: "run " + shorten(query), Err: fmt.Errorf("got %d rows where one value was due", len(rows))}
	}
	return rows[0][0], nil
}

// LogFile is one binary log file of the server.
type LogFile struct {
	Name string
	Size uint64
}

// BinaryLogs lists the server's binary log files, oldest first.
func BinaryLogs(ctx context.Context, conn *client.Conn) ([]LogFile, error) {
	const query = "SHOW BINARY LOGS"
	rows, err := texts(ctx, conn, query)
	if err != nil {
		return nil, err
	}
	logs := make([]LogFile, 0, len(rows))
	for _, r := range rows {
		size, err := strconv.ParseUint(r[1], 10, 64)
		if err != nil {
			return nil, &Error{Step: query, Err: fmt.Errorf("size of %s: %w", r[0], err)}
		}
		logs = append(logs, LogFile{Name: r[0], Size: size})
	}
	return logs, nil
}

// GTIDExecuted is every transaction that the server can serve or has purged. On MariaDB it is the last one of each
// domain, in its own log or applied as a replica.
func GTIDExecuted(ctx context.Context, conn *client.Conn, s Server) (string, error) {
	if s.Flavor == MariaDB {
		return gtids(ctx, conn, "CONCAT_WS(',', NULLIF(@@GLOBAL.gtid_binlog_pos, ''), NULLIF(@@GLOBAL.gtid_slave_pos, ''))")
	}
	return gtids(ctx, conn, "@@GLOBAL.gtid_executed")
}

// GTIDPurged is what of that MySQL's binary log no longer holds. MariaDB has no such variable.
func GTIDPurged(ctx context.Context, conn *client.Conn) (string, error) {
	return gtids(ctx, conn, "@@GLOBAL.gtid_purged")
}

func gtids(ctx context.Context, conn *client.Conn, what string) (string, error) {
	set, err := value(ctx, conn, "SELECT "+what)
	return strings.ReplaceAll(set, "\n", ""), err
}
