package snapshot

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestJobsGoOnWhereTheyWere gives ranges to a Loader, in the forms that this version and older ones save.
func TestJobsGoOnWhereTheyWere(t *testing.T) {
	db := testservers.SharedMySQL(t)
	name := db.Database(t)
	db.MustExec(t, "USE "+name, "CREATE TABLE t (id VARCHAR(9) COLLATE utf8mb4_bin PRIMARY KEY)", "INSERT INTO t VALUES ('a'), ('b'), ('c'), ('d'), ('e')",
		"CREATE TABLE down (id INT, PRIMARY KEY (id DESC))", "INSERT INTO down VALUES (1), (2), (3), (4), (5)",
		"CREATE TABLE pair (a INT, b INT, PRIMARY KEY (a, b))", "INSERT INTO pair VALUES (1, 1), (2, 2)")
	server, err := source.Describe(t.Context(), connect(t, db))
	must(t, err)
	text := func(s string) Bound { return Bound{"_utf8mb4 x'" + s + "'"} }
	for _, c := range []struct {
		what string
		job  Job
		want []string
		anew bool
	}{
		{"all", Job{Table: "t"}, []string{"a", "b", "c", "d", "e"}, true},
		{"behind a key", Job{Table: "t", Ranges: []Range{{After: text("62")}}, Form: []string{"id COLLATE utf8mb4_bin"}}, []string{"c", "d", "e"}, false},
		{"as older versions saved it", Job{Table: "t", Ranges: []Range{{After: text("63")}}, Form: []string{"id"}}, []string{"d", "e"}, false},
		{"two ranges", Job{Table: "t", Ranges: []Range{{To: text("61")}, {After: text("62"), To: text("64")}}, Form: []string{"id COLLATE utf8mb4_bin"}}, []string{"a", "c", "d"}, false},
		{"another collation", Job{Table: "t", Ranges: []Range{{After: text("62")}}, Form: []string{"id COLLATE utf8mb4_general_ci"}}, []string{"a", "b", "c", "d", "e"}, true},
		{"too many values in a bound", Job{Table: "t", Ranges: []Range{{After: append(text("62"), "1")}}, Form: []string{"id COLLATE utf8mb4_bin"}}, []string{"a", "b", "c", "d", "e"}, true},
		{"too few", Job{Table: "pair", Ranges: []Range{{To: Bound{"1"}}}, Form: []string{"a", "b"}}, []string{"1", "2"}, true},
		{"descending", Job{Table: "down", Ranges: []Range{{After: Bound{"4"}, To: Bound{"2"}}}, Form: []string{"id DESC"}}, []string{"2", "3"}, false},
		{"descending, from before that was minded", Job{Table: "down", Ranges: []Range{{After: Bound{"4"}}}, Form: []string{"id"}}, []string{"1", "2", "3", "4", "5"}, true},
	} {
		s := &sink{}
		l := New(Config{Server: server, Connect: connector(db), Load: source.LoadTable, Stream: s, Log: slog.New(slog.DiscardHandler)})
		c.job.Schema = name
		must(t, l.Open([]Job{c.job}))
		must(t, l.Run(t.Context()))
		slices.Sort(s.first)
		if !slices.Equal(s.first, c.want) || s.restarts > 0 != c.anew {
			t.Errorf("%s: %v came, begun anew: %v; want %v, %v", c.what, s.first, s.restarts > 0, c.want, c.anew)
		}
	}
}
