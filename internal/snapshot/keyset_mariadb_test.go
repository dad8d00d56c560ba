package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestPagesByMariaDBKeys pages through tables by keys that only MariaDB has: every row comes once, in the server's order.
func TestPagesByMariaDBKeys(t *testing.T) {
	s := testservers.MariaDBNew(t)
	db := s.Database(t)
	s.MustExec(t, "USE "+db,
		"CREATE TABLE uuids (k UUID PRIMARY KEY)",
		"INSERT INTO uuids SELECT UUID() FROM seq_1_to_20",
		"INSERT INTO uuids SELECT UUID_v4() FROM seq_1_to_20",
		"INSERT INTO uuids SELECT UUID_v7() FROM seq_1_to_20",
		"INSERT INTO uuids VALUES ('00000000-0000-0000-0000-000000000000'), ('ffffffff-ffff-ffff-ffff-ffffffffffff')",
		"CREATE TABLE inet6s (k INET6 PRIMARY KEY)",
		"INSERT INTO inet6s VALUES ('::'), ('::1'), ('::ffff:10.0.0.1'), ('::10.0.0.1'), ('1::'), ('2001:db8::8:800:200c:417a'), ('1:0:2:3:4:5:6:7'), ('ff::')",
		"CREATE TABLE inet4s (k INET4, n INT, PRIMARY KEY (k, n))",
		"INSERT INTO inet4s VALUES ('0.0.0.0', 1), ('9.0.0.0', 1), ('9.0.0.0', 2), ('10.0.0.0', 1), ('255.255.255.255', 1)",
		"CREATE TABLE versions (k INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
		"SET timestamp = 1700000000.5", "INSERT INTO versions VALUES (1, 1), (2, 2), (3, 3)", "SET timestamp = 1700000001.25", "UPDATE versions SET v = v + 1",
		"SET timestamp = 1700000002", "DELETE FROM versions WHERE k = 1", "UPDATE versions SET v = v + 1",
		"CREATE TABLE declared (k INT PRIMARY KEY, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END,"+
			" PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
		"INSERT INTO declared (k) VALUES (1), (2), (3)", "DELETE FROM declared WHERE k = 2")
	conn, err := source.Connect(t.Context(), source.Config{Host: "127.0.0.1", Port: s.Port16(), User: "root"})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close(conn)
	for name, want := range map[string]int{"uuids": 62, "inet6s": 8, "inet4s": 5, "versions": 8, "declared": 3} {
		table, err := source.LoadTable(t.Context(), conn, db, name)
		if err != nil {
			t.Fatal(err)
		}
		layout, err := schema.NewTextLayout(table, schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		key, err := source.LoadKey(t.Context(), conn, table)
		if err != nil {
			t.Fatal(err)
		}
		stmt := newStatement(table, key, layout.SelectList())
		read := func(query string) (rows []string, last [][]byte) {
			err := source.StreamText(t.Context(), conn, query, func(row [][]byte) error {
				last = nil
				for _, v := range row {
					last = append(last, slices.Clone(v))
				}
				rows = append(rows, fmt.Sprintf("%q", row))
				return nil
			})
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			return rows, last
		}
		all, _ := read(stmt.page(nil, nil, 1000))
		var paged []string
		for after := (Bound)(nil); len(paged) <= len(all); {
			rows, last := read(stmt.page(after, nil, 3))
			if paged = append(paged, rows...); len(rows) < 3 {
				break
			}
			if after, err = stmt.boundOf(last); err != nil {
				t.Fatal(err)
			}
		}
		if len(all) != want || !slices.Equal(all, paged) {
			t.Errorf("%s: %d rows of %d\n%s\npage by page\n%s", name, len(all), want, strings.Join(all, "\n"), strings.Join(paged, "\n"))
		}
	}
}

func TestAddressLiterals(t *testing.T) {
	for value, want := range map[string]string{
		"6ccd780c-baba-1026-9564-5b8c656024db": "'6ccd780c-baba-1026-9564-5b8c656024db'", "::ffff:10.0.0.1": "'::ffff:10.0.0.1'", "x' OR '": "",
	} {
		for _, typ := range []schema.Type{schema.UUID, schema.Inet4, schema.Inet6} {
			if got, err := literal(&schema.Column{Type: typ}, []byte(value)); got != want || (err != nil) != (want == "") {
				t.Errorf("%s %q: %q, %v", typ, value, got, err)
			}
		}
	}
}
