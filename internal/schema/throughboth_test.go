package schema_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// throughBoth fills a table for each case, and renders its rows from a SELECT and from the binlog.
func throughBoth(t *testing.T, s *testservers.MySQLServer, cases []columnCase) []rendered {
	t.Helper()
	db := s.Database(t)
	logs := s.MustQuery(t, "SHOW BINARY LOGS")
	last := logs[len(logs)-1]
	start := source.Position{File: last[0], Offset: number(t, last[1])}

	statements := []string{
		"SET NAMES utf8mb4", "SET sql_mode = 'NO_ENGINE_SUBSTITUTION'", "SET time_zone = '+05:30'", "USE " + db,
	}
	var names []string
	var all []columnCase
	for _, c := range cases {
		if c.runsOn(s) {
			all = append(all, c)
		}
	}
	for i, c := range all {
		name := fmt.Sprintf("t%d", i)
		names = append(names, name)
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, v %s)", name, c.definition))
		for values := range slices.Chunk(c.values, 1000) {
			statements = append(statements, fmt.Sprintf("INSERT INTO %s (v) VALUES (%s)", name, strings.Join(values, "),(")))
		}
	}
	statements = append(statements, "CREATE TABLE finish (id INT)", "INSERT INTO finish VALUES (1)")
	s.MustExec(t, statements...)

	conn, err := source.Connect(t.Context(), serverConfig(s))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close(conn)
	selected := map[string][]string{}
	for _, name := range names {
		table, err := source.LoadTable(t.Context(), conn, db, name)
		if err != nil {
			t.Fatal(err)
		}
		layout, err := schema.NewTextLayout(table, schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		query := fmt.Sprintf("SELECT %s FROM %s.%s ORDER BY id", strings.Join(layout.SelectList(), ", "), db, name)
		err = source.StreamText(t.Context(), conn, query, func(row [][]byte) error {
			selected[name] = append(selected[name], renderValue(layout, row))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	logged := readBinlog(t, s, db, start)

	var out []rendered
	for i, c := range all {
		if diff := cmp.Diff(selected[names[i]], logged[names[i]]); diff != "" {
			t.Errorf("%s: SELECT and binlog differ (-select +binlog):\n%s", c.definition, diff)
			continue
		}
		if len(selected[names[i]]) != len(c.values) {
			t.Errorf("%s: %d rows of %d values", c.definition, len(selected[names[i]]), len(c.values))
			continue
		}
		for j, v := range c.values {
			out = append(out, rendered{c.definition, v, selected[names[i]][j]})
		}
	}
	return out
}

func number(t *testing.T, s string) (n uint64) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// renderValue is the JSON of column v, or "NULL", or the error.
func renderValue(codec schema.Codec, row [][]byte) string {
	if row[1] == nil {
		return "NULL"
	}
	out, err := codec.AppendJSON(nil, 1, row[1])
	if err != nil {
		return "error: " + err.Error()
	}
	return string(out)
}

// logReader renders the rows that were inserted into the tables of a database, by table, until those of table finish.
type logReader struct{ rows map[string][]string }

var errFinished = errors.New("the last table has come")

func readBinlog(t *testing.T, s *testservers.MySQLServer, db string, from source.Position) map[string][]string {
	t.Helper()
	l := &logReader{rows: map[string][]string{}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	err := binlog.New(binlog.Config{
		Source: serverConfig(s), ServerID: 4711, Handler: l,
		Selected: func(schema, _ string) bool { return schema == db },
	}).Run(ctx, from)
	if !errors.Is(err, errFinished) {
		t.Fatal(err)
	}
	return l.rows
}

func (l *logReader) Begin(context.Context, *record.Transaction) error      { return nil }
func (l *logReader) Commit(context.Context, binlog.Boundary) error         { return nil }
func (l *logReader) Schema(_ context.Context, _ binlog.SchemaChange) error { return nil }
func (l *logReader) Rows(_ context.Context, rows *binlog.Rows) error {
	if rows.Table.Name == "finish" {
		return errFinished
	}
	for rows.Next() {
		l.rows[rows.Table.Name] = append(l.rows[rows.Table.Name], renderValue(rows.Layout, rows.After))
	}
	return rows.Err()
}

func serverConfig(s *testservers.MySQLServer) source.Config {
	return source.Config{Host: dbserver.Host, Port: s.Port16(), User: dbserver.User}
}

func (l *logReader) TableFailed(_ context.Context, e *binlog.TableError) error { return e }
