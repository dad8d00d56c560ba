package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// sessionSettings make a session read-only, independent of the server's defaults, and patient. (Character set, time zone and
// sql_mode are the schema package's business, since values depend on them.) The long write timeout is
// what lets a reader that is blocked by back-pressure keep its connection.
var sessionSettings = []string{
	"SET SESSION autocommit = 1, SESSION sql_select_limit = 18446744073709551615," +
		" SESSION sql_big_selects = 1, SESSION net_write_timeout = 86400, SESSION net_read_timeout = 3600, SESSION wait_timeout = 86400",
	"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", // a consistent snapshot is none at a lower level
}

// optionalSettings are variables that only some servers know.
var optionalSettings = map[Flavor][]string{
	MySQL: {
		"SET SESSION max_execution_time = 0",
		"SET SESSION show_gipk_in_create_table_and_information_schema = ON", // generated invisible primary keys are keys
	},
	MariaDB: {
		"SET SESSION max_statement_time = 0",
	},
}

// prepare refuses servers that are too old and applies the session's settings.
func prepare(ctx context.Context, conn *client.Conn) error {
	flavor, major, minor := parseVersion(conn.GetServerVersion())
	if tooOld(flavor, major, minor) {
		return &Error{
			Step: "connect to " + conn.GetServerVersion(), Err: ErrTooOld,
			Hint: "upgrade to MySQL 5.7 or MariaDB 10.5 at least",
		}
	}
	for _, s := range slices.Concat(schema.SessionSetup(string(flavor)), sessionSettings) {
		if err := Exec(ctx, conn, s); err != nil {
			return err
		}
	}
	for _, s := range optionalSettings[flavor] {
		err := Exec(ctx, conn, s)
		if my, ok := errors.AsType[*mysql.MyError](err); ok && my.Code == mysql.ER_UNKNOWN_SYSTEM_VARIABLE {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func tooOld(f Flavor, major, minor int) bool {
	if f == MariaDB {
		return major < 10 || major == 10 && minor < 5
	}
	return major < 5 || major == 5 && minor < 7
}

// parseVersion reads a server's version string. MariaDB's greeting puts "5.5.5-" before its own version up to 10.x.
func parseVersion(v string) (f Flavor, major, minor int) {
	f = MySQL
	if strings.Contains(strings.ToLower(v), "mariadb") {
		f = MariaDB
		v = strings.TrimPrefix(v, "5.5.5-")
	}
	a, rest, _ := strings.Cut(v, ".")
	b, _, _ := strings.Cut(rest, ".")
	major, _ = strconv.Atoi(a)
	minor, _ = strconv.Atoi(b)
	return f, major, minor
}

// Exec runs one statement that returns no rows; when ctx ends first, the connection is closed.
func Exec(ctx context.Context, conn *client.Conn, statement string) error {
	_, err := Query(ctx, conn, statement)
	return err
}

// Query runs one statement and returns its whole result; when ctx ends first, the connection is closed. Errors are *Error.
func Query(ctx context.Context, conn *client.Conn, statement string) (r *mysql.Result, err error) {
	stop := closeOnDone(ctx, conn)
	defer func() {
		if !stop() && err == nil {
			r, err = nil, context.Cause(ctx)
		}
		err = failed(ctx, Config{}, "run "+shorten(statement), err)
	}()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the server's answer is malformed: %v", p)
		}
	}()
	return conn.Execute(statement)
}

// shorten keeps statements in messages to one line of bearable length.
func shorten(statement string) string {
	s := strings.Join(strings.Fields(statement), " ")
	if len(s) > 120 {
		s = strings.ToValidUTF8(s[:117], "") + "..."
	}
	return s
}
