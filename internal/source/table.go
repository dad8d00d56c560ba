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

// TableName is a table that exists on the server.
type TableName struct {
	Schema, Name string
	View         bool
}

// Tables lists all tables and views that the user may see, the server's own schemas left out, by schema and name.
func Tables(ctx context.Context, conn *client.Conn) ([]TableName, error) {
	rows, err := texts(ctx, conn, `SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES
 WHERE TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
 AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW') ORDER BY BINARY TABLE_SCHEMA, BINARY TABLE_NAME`)
	if err != nil {
		return nil, err
	}
	names := make([]TableName, 0, len(rows))
	for _, r := range rows {
		names = append(names, TableName{Schema: r[0], Name: r[1], View: r[2] == "VIEW"})
	}
	return names, nil
}

// TableEngine is the storage engine of a table; "" where there is no such table or it has none.
func TableEngine(ctx context.Context, conn *client.Conn, schemaName, name string) (string, error) {
	rows, err := texts(ctx, conn, "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = "+schema.QuoteString(schemaName)+
		" AND TABLE_NAME = "+schema.QuoteString(name))
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0][0], nil
}

// EstimateRows is how many rows the server's statistics count in a table; 0 where they count none, as of views. It may be
// far from the truth: https://dev.mysql.com/doc/refman/8.4/en/information-schema-tables-table.html
func EstimateRows(ctx context.Context, conn *client.Conn, schemaName, name string) (uint64, error) {
	rows, err := texts(ctx, conn, "SELECT TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = "+schema.QuoteString(schemaName)+
		" AND TABLE_NAME = "+schema.QuoteString(name))
	if err != nil || len(rows) == 0 || rows[0][0] == "" {
		return 0, err
	}
	return strconv.ParseUint(rows[0][0], 10, 64)
}

// unseen tells, of a table that the catalog does not show, whether it is not there or only hidden: the catalog keeps quiet
// about what a user has no right to, and has no columns of a view whose tables are gone. A statement is answered.
func unseen(ctx context.Context, conn *client.Conn, schemaName, name string) error {
	query := "SELECT 1 FROM " + schema.QuoteIdent(schemaName) + "." + schema.QuoteIdent(name) + " LIMIT 0"
	err := StreamText(ctx, conn, query, func([][]byte) error { return nil })
	_, answered := errors.AsType[*mysql.MyError](err)
	switch {
	case err == nil:
		return errors.New("the server shows no columns of it, although it is there")
	case IsNoTable(err):
		return ErrNoTable
	case !answered || Lost(err):
		return err
	}
	return fmt.Errorf("%w: %w", ErrHidden, err)
}

// LoadTable reads a table's present definition: every column in table order, generated and invisible ones too, and the
// key that tells its rows apart: the primary key, else the first UNIQUE key of NOT NULL columns. The error wraps
// ErrNoTable where there is no such table, and ErrHidden where the server does not let us see it.
func LoadTable(ctx context.Context, conn *client.Conn, schemaName, name string) (*schema.Table, error) {
	flavor, _, _ := parseVersion(conn.GetServerVersion())
	step := fmt.Sprintf("load the definition of %s.%s", schemaName, name)
	where := fmt.Sprintf(" WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s", schema.QuoteString(schemaName), schema.QuoteString(name))
	head, err := texts(ctx, conn, "SELECT TABLE_TYPE, TABLE_COLLATION FROM information_schema.TABLES"+where)
	if err != nil {
		return nil, err
	}
	columns, err := texts(ctx, conn, `SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, EXTRA, CHARACTER_SET_NAME, COLLATION_NAME, GENERATION_EXPRESSION
 FROM information_schema.COLUMNS`+where+" ORDER BY ORDINAL_POSITION")
	if err != nil {
		return nil, err
	}
	if len(head) == 0 || len(columns) == 0 {
		return nil, &Error{Step: step, Err: unseen(ctx, conn, schemaName, name), Hint: "check that the table exists, and GRANT SELECT on it"}
	}
	t := &schema.Table{Schema: schemaName, Name: name, Collation: head[0][1]}
	for _, c := range columns {
		column, err := column(c)
		if err != nil {
			return nil, &Error{Step: step, Err: err}
		}
		column.Unlogged = flavor == MariaDB && column.Generated
		t.Columns = append(t.Columns, column)
	}
	if head[0][0] == "VIEW" {
		return t, nil
	}
	end := -1
	if t.Versioned = head[0][0] == "SYSTEM VERSIONED"; t.Versioned {
		if end, err = addPeriod(t, columns); err != nil {
			return nil, &Error{Step: step, Err: err}
		}
	}
	lines, err := showKeys(ctx, conn, schemaName, name)
	if err != nil {
		return nil, err
	}
	key, kind, err := chooseKey(t.Columns, lines)
	if err != nil {
		return nil, &Error{Step: step, Err: err}
	}
	t.Key, t.KeyKind = key.columns(), kind
	if t.Versioned && t.KeyKind != schema.NoKey && !slices.Contains(t.Key, end) {
		t.Key = append(t.Key, end) // the server adds it to every unique key, and shows it only if it has been declared
	}
	return t, nil
}

// ErrVersionedByTransaction is returned for a table of MariaDB whose versions are told apart by transactions: the server
// logs statements for such a table, and no rows.
var ErrVersionedByTransaction = errors.New("the table has WITH SYSTEM VERSIONING by transactions (BIGINT UNSIGNED row start and end), " +
	"whose changes MariaDB logs as statements and not as rows; make the two columns TIMESTAMP(6), or leave the table out")

// What the server says of how the columns of a period are generated.
const (
	rowStart = "ROW START"
	rowEnd   = "ROW END"
)

// addPeriod finds the column of a versioned table that says when a row ended. Where the table declares no such columns, two
// invisible ones stand behind all others, which the server does not list.
func addPeriod(t *schema.Table, lines [][]string) (end int, err error) {
	for i, l := range lines {
		switch l[6] {
		case rowStart:
			if t.Columns[i].Type == schema.BigInt {
				return 0, ErrVersionedByTransaction
			}
		case rowEnd:
			return i, nil
		}
	}
	for _, name := range []string{"row_start", "row_end"} {
		c, err := column([]string{name, "timestamp(6)", "NO", "STORED GENERATED, INVISIBLE", "", "", rowEnd})
		if err != nil {
			return 0, err
		}
		t.Columns = append(t.Columns, c)
	}
	return len(t.Columns) - 1, nil
}

// column reads one line of information_schema.COLUMNS.
func column(line []string) (schema.Column, error) {
	c, err := schema.ParseColumnType(line[1])
	if err != nil {
		return c, fmt.Errorf("column %s: %w", line[0], err)
	}
	extra := strings.ToUpper(line[3])
	c.Name, c.ColumnType, c.Nullable, c.Charset, c.Collation = line[0], line[1], line[2] == "YES", line[4], line[5]
	c.Generated = strings.Contains(extra, "VIRTUAL GENERATED") || strings.Contains(extra, "STORED GENERATED") || strings.Contains(extra, "PERSISTENT")
	if line[6] == rowStart || line[6] == rowEnd {
		c.Generated = false // by the server, and logged like any other
	}
	c.Invisible = strings.Contains(extra, "INVISIBLE")
	return c, nil
}
