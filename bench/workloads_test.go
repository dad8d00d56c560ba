package main

import (
	"slices"
	"strings"
	"testing"
)

// Growth compares the same transactions: with more tables only their names may differ.
func TestTransactionsHaveTheSameShapeForAnyNumberOfTables(t *testing.T) {
	anonymous := func(statements []string) (all []string) {
		for _, q := range statements {
			_, rest, _ := strings.Cut(q, manyPrefix)
			all = append(all, rest[4:])
		}
		return all
	}
	one, many := acrossTables(1), acrossTables(manyTables)
	for first := int64(1); first < 30_000; first += 100 {
		if a, b := anonymous(one(first, 100)), anonymous(many(first, 100)); !slices.Equal(a, b) {
			t.Fatalf("from %d on: %q and %q", first, a[0], b[0])
		}
	}
	used := map[string]bool{}
	for first := int64(1); first <= 10*manyTables; first += 100 {
		for _, q := range many(first, 100) {
			used[strings.Fields(q)[2]] = true
		}
	}
	if len(used) != manyTables {
		t.Errorf("%d tables are written to, want %d", len(used), manyTables)
	}
}

func TestFirstTables(t *testing.T) {
	for n, want := range map[int64]string{1: "many_0000", 10: "many_000%", 100: "many_00%", 1000: "many_0%"} {
		pattern := firstTables(n)
		if pattern != want {
			t.Errorf("%d tables: %q, want %q", n, pattern, want)
		}
		selected := int64(0)
		for i := range int64(manyTables) {
			if (&params{Table: pattern}).selects(database, manyTable(i)) {
				selected++
			}
		}
		if selected != n {
			t.Errorf("%q selects %d tables, want %d", pattern, selected, n)
		}
	}
}

func TestSelects(t *testing.T) {
	for _, c := range []struct {
		pattern, schema, table string
		want                   bool
	}{
		{"chosen", database, "chosen", true},
		{"chosen", database, "chosen2", false},
		{"chosen", "other", "chosen", false},
		{"many_%", database, "many_0001", true},
		{"many_%", database, "man", false},
	} {
		if got := (&params{Table: c.pattern}).selects(c.schema, c.table); got != c.want {
			t.Errorf("%q selects %s.%s: %v", c.pattern, c.schema, c.table, got)
		}
	}
}

func TestWorkloadsFitTheSequence(t *testing.T) {
	names := map[string]bool{}
	for _, w := range workloads() {
		if w.rows > seqRows {
			t.Errorf("%s: a transaction has %d rows, and the sequence %d", w.name, w.rows, seqRows)
		}
		if (w.write == nil) == (w.all == nil) {
			t.Errorf("%s: either write or all", w.name)
		}
		names[w.name] = true
	}
	if len(names) != 8 {
		t.Errorf("%d workloads of different names", len(names))
	}
}
