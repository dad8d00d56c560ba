package schema_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// perTable is how many cases share a table: tables cost more time than columns.
const perTable = 16

// throughBoth fills a column for each case that the server has a type for, and renders it from a SELECT and from the
// binlog.
func throughBoth(t *testing.T, s *testservers.MySQLServer, cases []columnCase, setup ...string) []rendered {
	t.Helper()
	return throughBothAndAlter(t, s, cases, false, setup)
}

// throughBothAndAlter can alter the tables before the binlog is read, so that only the log tells what its rows are.
func throughBothAndAlter(t *testing.T, s *testservers.MySQLServer, cases []columnCase, altered bool, setup []string) []rendered {
	t.Helper()
	db := s.Database(t)
	start := endOfLog(t, s)
	statements := append([]string{
		"SET NAMES utf8mb4", "SET sql_mode = 'NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES'", "SET time_zone = '+05:30'", "USE " + db,
	}, setup...)
	var mine []columnCase
	for _, c := range cases {
		if c.runsOn(s) {
			mine = append(mine, c)
		}
	}
	tables := slices.Collect(slices.Chunk(mine, perTable))
	for i, columns := range tables {
		statements = append(statements, fill(fmt.Sprintf("t%d", i), columns)...)
	}
	s.MustExec(t, append(statements, "CREATE TABLE finish (id INT)", "INSERT INTO finish VALUES (1)")...)

	selected := selectAll(t, s, db, len(tables))
	if altered {
		for i := range tables {
			s.MustExec(t, "SET sql_mode = ''", fmt.Sprintf("ALTER TABLE %s.t%d ADD COLUMN another INT FIRST", db, i))
		}
	}
	logged := readBinlog(t, s, db, start)
	var out []rendered
	for i, columns := range tables {
		name := fmt.Sprintf("t%d", i)
		for j, c := range columns {
			got, want := column(logged[name], j+1), column(selected[name], j+1)
			if diff := cmp.Diff(want, got); diff != "" || len(got) < len(c.values) {
				t.Errorf("%s: SELECT and binlog differ (-select +binlog):\n%s", c.definition, diff)
				continue
			}
			for k, v := range c.values {
				out = append(out, rendered{c.definition, v, got[k]})
			}
		}
	}
	return out
}

// fill makes a table with a column for each case. Rows behind a column's last value repeat it.
func fill(name string, columns []columnCase) (statements []string) {
	var definitions, names []string
	rows := 0
	for i, c := range columns {
		names = append(names, fmt.Sprintf("v%d", i))
		definitions = append(definitions, names[i]+" "+c.definition)
		rows = max(rows, len(c.values))
	}
	statements = append(statements, fmt.Sprintf("CREATE TABLE %s (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, %s)", name, strings.Join(definitions, ", ")))
	var tuples []string
	for i := range rows {
		var values []string
		for _, c := range columns {
			values = append(values, c.values[min(i, len(c.values)-1)])
		}
		tuples = append(tuples, "("+strings.Join(values, ", ")+")")
	}
	for some := range slices.Chunk(tuples, 1000) {
		statements = append(statements, fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", name, strings.Join(names, ", "), strings.Join(some, ", ")))
	}
	return statements
}

// selectAll renders all rows of the tables, as the full load would.
func selectAll(t *testing.T, s *testservers.MySQLServer, db string, tables int) map[string][][]string {
	t.Helper()
	conn, err := source.Connect(t.Context(), serverConfig(s))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close(conn)
	selected := map[string][][]string{}
	for i := range tables {
		name := fmt.Sprintf("t%d", i)
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
			selected[name] = append(selected[name], renderRow(layout, row))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return selected
}

func endOfLog(t *testing.T, s *testservers.MySQLServer) source.Position {
	t.Helper()
	logs := s.MustQuery(t, "SHOW BINARY LOGS")
	last := logs[len(logs)-1]
	offset, err := strconv.ParseUint(last[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return source.Position{File: last[0], Offset: offset}
}

// renderRow has for each column its JSON, or "NULL", or the error.
func renderRow(codec schema.Codec, row [][]byte) []string {
	out := make([]string, len(row))
	for i, v := range row {
		if v == nil {
			out[i] = "NULL"
			continue
		}
		json, err := codec.AppendJSON(nil, i, v)
		if err != nil {
			json = []byte("error: " + err.Error())
		}
		out[i] = string(json)
	}
	return out
}

// column cuts one column out of rows.
func column(rows [][]string, i int) []string {
	out := make([]string, len(rows))
	for j, row := range rows {
		out[j] = row[i]
	}
	return out
}

// logReader renders the rows that were inserted into the tables of a database, by table, until those of table finish.
type logReader struct{ rows map[string][][]string }

var errFinished = errors.New("the last table has come")

func readBinlog(t *testing.T, s *testservers.MySQLServer, db string, from source.Position) map[string][][]string {
	t.Helper()
	l := &logReader{rows: map[string][][]string{}}
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
		l.rows[rows.Table.Name] = append(l.rows[rows.Table.Name], renderRow(rows.Layout, rows.After))
	}
	return rows.Err()
}

func serverConfig(s *testservers.MySQLServer) source.Config {
	return source.Config{Host: dbserver.Host, Port: s.Port16(), User: dbserver.User}
}

func (l *logReader) TableFailed(_ context.Context, e *binlog.TableError) error { return e }
