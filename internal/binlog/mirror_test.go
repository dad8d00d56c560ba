package binlog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// mirror is a Handler that does to tables of its own what it is told.
type mirror struct {
	t      testing.TB
	tables map[string]map[string]string // rows by table and key
}

func newMirror(t testing.TB) *mirror { return &mirror{t, map[string]map[string]string{}} }

func (m *mirror) Begin(context.Context, *record.Transaction) error { return nil }
func (m *mirror) Commit(context.Context, Boundary) error           { return nil }

func (m *mirror) Schema(_ context.Context, c SchemaChange) error {
	switch c.Kind {
	case Dropped, Truncated:
		delete(m.tables, c.Name)
	case Renamed:
		m.tables[c.NewName] = m.tables[c.Name]
		delete(m.tables, c.Name)
	}
	return nil
}

// Rows fails the test when a row is inserted that is there, or one changed or deleted that is not there as it was.
func (m *mirror) Rows(_ context.Context, rows *Rows) error {
	table := m.tables[rows.Table.Name]
	if table == nil {
		table = map[string]string{}
		m.tables[rows.Table.Name] = table
	}
	for rows.Next() {
		if rows.Before != nil {
			key, was := rowText(m.t, rows.Table, rows.Layout, rows.Before)
			if table[key] != was {
				m.t.Errorf("%s: row %q is changed from %q, but it was %q", rows.Table.Name, key, was, table[key])
			}
			delete(table, key)
		}
		if rows.After != nil {
			key, is := rowText(m.t, rows.Table, rows.Layout, rows.After)
			if was, there := table[key]; there {
				m.t.Errorf("%s: row %q is there already: %q", rows.Table.Name, key, was)
			}
			table[key] = is
		}
	}
	return rows.Err()
}

// rowText renders a row's key and all of it.
func rowText(t testing.TB, table *schema.Table, c schema.Codec, row [][]byte) (key, all string) {
	values := make([]string, len(row))
	for i, v := range row {
		values[i] = "null"
		if v != nil {
			out, err := c.AppendJSON(nil, i, v)
			if err != nil {
				t.Errorf("%s.%s: %v", table.Name, table.Columns[i].Name, err)
			}
			values[i] = string(out)
		}
	}
	for _, k := range table.Key {
		key += values[k] + " "
	}
	if len(table.Key) == 0 {
		key = strings.Join(values, " ")
	}
	return key, strings.Join(values, " ")
}

// differences compares the mirror with what a SELECT of the tables finds.
func (m *mirror) differences(b *bench, tables ...string) (out []string) {
	b.t.Helper()
	conn, err := source.Connect(b.t.Context(), b.source())
	if err != nil {
		b.t.Fatal(err)
	}
	defer source.Close(conn)
	for _, name := range tables {
		table, err := source.LoadTable(b.t.Context(), conn, b.db, name)
		if err != nil {
			b.t.Fatal(err)
		}
		layout, err := schema.NewTextLayout(table, schema.Options{})
		if err != nil {
			b.t.Fatal(err)
		}
		rows := map[string]string{}
		query := fmt.Sprintf("SELECT %s FROM %s.%s", strings.Join(layout.SelectList(), ", "), b.db, schema.QuoteIdent(name))
		err = source.StreamText(b.t.Context(), conn, query, func(row [][]byte) error {
			key, all := rowText(b.t, table, layout, row)
			rows[key] = all
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
		got := m.tables[name]
		for _, key := range slices.Sorted(maps.Keys(rows)) {
			if got[key] != rows[key] {
				out = append(out, fmt.Sprintf("%s %s: %q instead of %q", name, key, got[key], rows[key]))
			}
		}
		for _, key := range slices.Sorted(maps.Keys(got)) {
			if _, ok := rows[key]; !ok {
				out = append(out, fmt.Sprintf("%s %s: %q is not in the table", name, key, got[key]))
			}
		}
	}
	return out
}

// mirrored reads everything since the test began into a mirror.
func (b *bench) mirrored(change ...func(*Config)) (*mirror, error) {
	b.t.Helper()
	m := newMirror(b.t)
	r := b.recorder(b.start)
	end := r.read(b.t, b)
	err := b.read(b.start, r, append([]func(*Config){func(c *Config) { c.Handler = untilEndOf{m, end} }}, change...)...)
	return m, err
}

func (m *mirror) TableFailed(_ context.Context, e *TableError) error { return e }
