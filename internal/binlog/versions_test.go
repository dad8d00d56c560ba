package binlog

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func at1(file int, offset uint64, server, set string) source.Position {
	return source.Position{File: fmt.Sprintf("b.%06d", file), Offset: offset, ServerUUID: server, GTIDSet: set}
}

func defOf(column string) *schema.Table {
	return &schema.Table{Schema: "db", Name: "t", Columns: []schema.Column{{Name: column, Type: schema.Int, ColumnType: "int"}}}
}

// Which of a table's versions is in force where reading starts.
func TestVersionInForce(t *testing.T) {
	saved := []Version{
		{"db", "t", at1(1, 100, uuidA, uuidA+":1-10"), defOf("a")},
		{"db", "t", at1(1, 500, uuidA, uuidA+":1-15"), nil},
		{"db", "t", at1(2, 100, uuidA, uuidA+":1-20"), defOf("b")},
	}
	for what, c := range map[string]struct {
		start source.Position
		set   string
		want  string
	}{
		"before all":                     {at1(1, 99, uuidA, ""), "", "unknown"},
		"at the first":                   {at1(1, 100, uuidA, ""), "", "a"},
		"behind it":                      {at1(1, 499, uuidA, ""), "", "a"},
		"where it is not known":          {at1(1, 500, uuidA, ""), "", "unknown"},
		"in another file":                {at1(2, 4, uuidA, ""), "", "unknown"},
		"behind all":                     {at1(10, 4, uuidA, ""), "", "b"},
		"with GTIDs":                     {at1(2, 300, uuidA, ""), uuidA + ":1-22", "b"},
		"coordinates without their set":  {at1(2, 300, uuidA, ""), uuidA + ":1-12", "a"},
		"another server by set":          {at1(1, 4, uuidB, ""), uuidA + ":1-12," + uuidB + ":1-3", "a"},
		"another server behind all":      {at1(1, 4, uuidB, ""), uuidA + ":1-25", "b"},
		"another server, without a set":  {at1(9, 4, uuidB, ""), "", "unknown"},
		"another server, nothing shared": {at1(9, 4, uuidB, ""), uuidB + ":1-99", "unknown"},
		"no coordinates":                 {source.Position{ServerUUID: uuidA}, uuidA + ":1-16", "unknown"},
		"no coordinates, behind all":     {source.Position{ServerUUID: uuidA}, uuidA + ":1-20", "b"},
	} {
		var set *GTIDSet
		if c.set != "" {
			var err error
			if set, err = ParseGTIDSet(source.MySQL, c.set); err != nil {
				t.Fatal(err)
			}
		}
		v := newVersions(saved, c.start, set, true)
		got := "unknown"
		if def := v.atStart(name{"db", "t"}).Table; def != nil {
			got = def.Columns[0].Name
		}
		if got != c.want {
			t.Errorf("%s: %s is in force, want %s", what, got, c.want)
		}
		v.prune(c.start, set) // leaves as much
		pruned := "unknown"
		if def := v.atStart(name{"db", "t"}).Table; def != nil {
			pruned = def.Columns[0].Name
		}
		if pruned != got {
			t.Errorf("%s: %s is in force after pruning", what, pruned)
		}
	}
}

// A change that was read before brings back what was found out then: on the same server by place, on another one by GTIDs.
func TestVersionComesBack(t *testing.T) {
	saved := []Version{
		{"db", "t", at1(1, 100, uuidA, uuidA+":1-10"), defOf("a")},
		{"db", "t", at1(1, 500, uuidA, uuidA+":1-15"), defOf("b")},
	}
	for what, c := range map[string]struct {
		at   source.Position
		want string
	}{
		"same place":                 {at1(1, 500, uuidA, uuidA+":1-15"), "b"},
		"another place":              {at1(1, 501, uuidA, uuidA+":1-15"), ""},
		"another server":             {at1(7, 44, uuidB, uuidA+":1-15"), "b"},
		"another server, another tx": {at1(1, 500, uuidB, uuidA+":1-14"), ""},
	} {
		v := newVersions(saved, at1(1, 200, uuidA, ""), nil, true)
		got := ""
		if def := v.begin(name{"db", "t"}, c.at, nil).Table; def != nil {
			got = def.Columns[0].Name
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
	}
}

// order is a Handler and a History that write down what they are told in one list.
type order struct {
	*recorder
	memory
}

func (o *order) Save(ctx context.Context, all []Version) error {
	last := all[len(all)-1]
	o.lines = append(o.lines, fmt.Sprintf("save %d, last %s since %d", len(all), last.Name, last.Since.Offset))
	return o.memory.Save(ctx, all)
}

// What changed is saved before the boundary behind it is announced, once a boundary, and only then.
func TestHistoryIsSavedBeforeTheBoundary(t *testing.T) {
	o := &order{recorder: newRecorder(t)}
	s := offline(t, o.recorder, source.Position{File: "b.000001", Offset: 4})
	s.r.cfg.History, s.tables.versions.keep = o, true
	sc := new(script).start("b.000001", 4).gtid(1).query("BEGIN").table(1, "t").table(2, "t2").insert(1, 1).insert(2, 1).xid().
		gtid(2).query("BEGIN").table(1, "t").insert(1, 2).xid().gtid(3).query("TRUNCATE t").gtid(4)
	before := sc.at
	sc.query("ALTER TABLE t ADD a INT")
	after := sc.at
	if err := play(s, sc.events); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"schema 6 t (id)", "begin", "t insert 1", "schema 6 t2 (id)", "t2 insert 1", "save 2, last t2 since 0", "commit",
		"begin", "t insert 2", "commit", "schema 5 t rows changed", "commit",
		"schema 2 t", "save 3, last t2 since 0", "commit",
	}
	if !slices.Equal(o.lines, want) {
		t.Errorf("got %q\nwant %q", o.lines, want)
	}
	if v := o.saved[1]; v.Name != "t" || v.Since.Offset != after || v.Table == nil || before >= after {
		t.Errorf("the changed definition is saved as %+v, the statement ended at %d", v, after)
	}
}

// Whatever happens to tables for however long, what is kept is bounded by what a checkpoint may need.
func TestHistoryIsBounded(t *testing.T) {
	o := &order{recorder: newRecorder(t)}
	s := offline(t, o.recorder, source.Position{File: "b.000001", Offset: 4})
	s.r.cfg.History, s.tables.versions.keep = o, true
	sc := new(script).start("b.000001", 4)
	most := 0
	for i := range 300 {
		sc.gtid(uint64(3*i + 1)).query("ALTER TABLE t ADD a INT").gtid(uint64(3*i + 2)).query(fmt.Sprintf("CREATE TABLE t_%d (a INT)", i)).
			gtid(uint64(3*i + 3)).query(fmt.Sprintf("DROP TABLE t_%d", i))
		if err := play(s, sc.events); err != nil {
			t.Fatal(err)
		}
		sc.events = nil
		if i%10 == 9 {
			o.oldest = source.Position{File: "b.000001", Offset: sc.at}
		}
		most = max(most, len(o.saved))
	}
	if most < 10 || most > 60 {
		t.Errorf("up to %d versions were kept", most)
	}
}

// Where only a GTID set says where to begin, all definitions are learned as soon as the stream tells its place: what is
// written and changed later is read by them.
func TestLearnedBeforeRowsCome(t *testing.T) {
	bothServers(t, func(t *testing.T, s *testservers.MySQLServer) {
		for _, bySet := range []bool{true, false} {
			b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)", "CREATE TABLE gone (id INT PRIMARY KEY, a INT)")
			b.start.ServerUUID = b.info.UUID
			if bySet {
				b.start.File, b.start.Offset = "", 0
			}
			known, first := &memory{}, newTeller(t)
			b.follow(first, known, func() {})
			if len(known.saved) < 2 {
				t.Fatalf("by set %t: %d definitions were saved", bySet, len(known.saved))
			}
			b.exec("INSERT INTO t VALUES (1, 2, 3)", "INSERT INTO gone VALUES (1, 2)", "ALTER TABLE t CHANGE a b INT, CHANGE b a INT", "DROP TABLE gone",
				"INSERT INTO t (id, a, b) VALUES (4, 5, 6)")
			h := newTeller(t)
			b.follow(h, known, func() {})
			var got []string
			for _, r := range h.rows {
				got = append(got, r.line)
			}
			if want := []string{"t id=1 a=2 b=3", "gone id=1 a=2", "t id=4 b=6 a=5"}; !slices.Equal(got, want) || len(h.failed) > 0 {
				t.Errorf("by set %t: got %q, want %q; failed: %v", bySet, got, want, h.failed)
			}
		}
	})
}

// What was known of a table that is not selected any more is forgotten: its changes are not followed.
func TestHistoryOfOtherTablesIsForgotten(t *testing.T) {
	known := &memory{saved: []Version{{"db", "t", at1(1, 4, "", ""), defOf("id")}, {"db", "u", at1(1, 4, "", ""), defOf("id")}}}
	s := offline(t, newRecorder(t), source.Position{})
	s.r.cfg.History = known
	if err := s.recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.remember(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(known.saved) != 1 || known.saved[0].Name != "t" {
		t.Errorf("left are %+v", known.saved)
	}
}
