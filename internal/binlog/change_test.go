package binlog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

func (c SchemaChange) short() string {
	kinds := map[ChangeKind]string{Created: "created", Altered: "altered", Dropped: "dropped", Renamed: "renamed", Truncated: "truncated", Definition: "definition"}
	line := fmt.Sprintf("%s %s.%s", kinds[c.Kind], c.Schema, c.Name)
	if c.Kind == Renamed {
		line += " to " + c.NewSchema + "." + c.NewName
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{{c.RowsChanged, "rows"}, {c.Swap, "swap"}, {c.Conditional, "conditional"}, {c.Whole, "whole"}} {
		if flag.set {
			line += " " + flag.name
		}
	}
	return line
}

// What the Handler is told of every statement that changes tables. Tables are selected whose names begin with t.
func TestSchemaChanges(t *testing.T) {
	for statement, want := range map[string][]string{
		"CREATE TABLE t1 (a INT)":                 {"created db.t1"},
		"CREATE TABLE IF NOT EXISTS x.t1 LIKE t2": {"created x.t1 conditional"},
		"CREATE OR REPLACE TABLE t1 (a INT)":      {"dropped db.t1", "created db.t1"},
		"CREATE TABLE t1 SELECT 1":                {"created db.t1 rows"},
		"CREATE TABLE u (a INT)":                  nil,
		"CREATE INDEX i ON t1 (a)":                {"altered db.t1"},
		"DROP INDEX i ON t1":                      {"altered db.t1"},
		"ALTER TABLE t1 ADD a INT":                {"altered db.t1"},
		"ALTER TABLE t1 DROP PARTITION p1, p2":    {"altered db.t1 rows"},
		"ALTER TABLE t1 TRUNCATE PARTITION ALL":   {"altered db.t1 rows"},
		"ALTER TABLE t1 REORGANIZE PARTITION p1 INTO (PARTITION p2 VALUES IN (1))": {"altered db.t1"},
		"ALTER TABLE t1 EXCHANGE PARTITION p WITH TABLE t2":                        {"altered db.t1 rows", "altered db.t2 rows"},
		"ALTER TABLE u EXCHANGE PARTITION p WITH TABLE t2":                         {"altered db.t2 rows"},
		"ALTER TABLE t1 DISCARD TABLESPACE":                                        {"altered db.t1 rows"},
		"ALTER TABLE t1 IMPORT PARTITION p TABLESPACE":                             {"altered db.t1 rows"},
		"ALTER TABLE t1 CONVERT PARTITION p TO TABLE t2":                           {"altered db.t1 rows", "created db.t2 rows"},
		"ALTER TABLE t1 CONVERT TABLE t2 TO PARTITION p VALUES IN (1)":             {"altered db.t1 rows", "dropped db.t2 rows"},
		"ALTER TABLE t1 CONVERT TO CHARACTER SET utf8mb4":                          {"altered db.t1"},
		"TRUNCATE t1":                                   {"truncated db.t1 rows"},
		"DROP TABLE t1, u, x.t2":                        {"dropped db.t1", "dropped x.t2"},
		"RENAME TABLE t1 TO t2":                         {"renamed db.t1 to db.t2"},
		"RENAME TABLE t1 TO u":                          {"renamed db.t1 to db.u"},
		"RENAME TABLE u TO t1":                          {"renamed db.u to db.t1 rows"},
		"RENAME TABLE u TO v":                           nil,
		"ALTER TABLE t1 RENAME x.t1, ADD a INT":         {"renamed db.t1 to x.t1"},
		"RENAME TABLE t1 TO _t1_del, _t1_gho TO t1":     {"renamed db.t1 to db._t1_del swap", "renamed db._t1_gho to db.t1 rows swap"},
		"RENAME TABLE t1 TO u, t2 TO t1, u TO t2":       {"renamed db.t1 to db.u swap", "renamed db.t2 to db.t1 swap", "renamed db.u to db.t2 rows swap"},
		"RENAME TABLE t1 TO t9, t2 TO t8":               {"renamed db.t1 to db.t9", "renamed db.t2 to db.t8"},
		"DROP DATABASE db":                              {"dropped db.t7", "dropped db. whole"},
		"DROP DATABASE never_seen":                      {"dropped never_seen. whole"},
		"CREATE PROCEDURE p() BEGIN DROP TABLE t1; END": nil,
		"CREATE VIEW t1 AS SELECT 1":                    nil,
		"/*!40000 ALTER TABLE t1 DISABLE KEYS */":       {"altered db.t1"},
	} {
		h := newTeller(t)
		s := offline(t, newRecorder(t), source.Position{File: "b.000001", Offset: 4})
		s.h = h
		sc := new(script).start("b.000001", 4).gtid(1).query("BEGIN").table(1, "t7").insert(1, 1).table(2, "u").insert(2, 1).xid().
			gtid(2).query(statement)
		if err := play(s, sc.events); err != nil {
			t.Errorf("%s: %v", statement, err)
			continue
		}
		var got []string
		for _, c := range h.notes[1:] { // behind the definition of t7
			got = append(got, c.short())
			if c.Statement != statement || c.Place.EventStart == 0 || c.GTID == "" {
				t.Errorf("%s is told as %+v", statement, c)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: told\n%s\nwant\n%s", statement, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// Tables that nobody selected and that are gone leave nothing behind.
func TestGoneTablesAreForgotten(t *testing.T) {
	s := offline(t, newRecorder(t), source.Position{File: "b.000001", Offset: 4})
	sc := new(script).start("b.000001", 4)
	for i := range uint64(20) {
		name := fmt.Sprintf("u%d", i)
		sc.gtid(4*i+1).query("BEGIN").table(1, name).insert(1, 1).table(2, "kept").insert(2, 1).table(3, "t1").insert(3, uint32(i)).xid()
		if i%2 == 0 {
			sc.gtid(4*i + 2).query("DROP TABLE " + name)
		} else {
			sc.gtid(4*i + 2).query("RENAME TABLE " + name + " TO v").gtid(4*i + 3).query("DROP TABLE v")
		}
	}
	if err := play(s, sc.events); err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(s.tables.byName)); len(names) != 2 {
		t.Errorf("left are %q", names)
	}
	sc.events = nil
	if err := play(s, sc.gtid(1000).query("DROP DATABASE db").events); err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(s.tables.byName)); len(names) != 1 || !strings.Contains(names[0], "t1") {
		t.Errorf("left are %q", names)
	}
}
