package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page quotes the results that are committed beside it, and nothing else.
func TestPageQuotesTheResults(t *testing.T) {
	r := readReport(filepath.Join("..", quotedFile))
	if r == nil {
		t.Fatalf("%s cannot be read", quotedFile)
	}
	page, err := os.ReadFile(filepath.Join("..", pageFile))
	if err != nil {
		t.Fatal(err)
	}
	filled, err := fillPage(string(page), r)
	if err != nil {
		t.Fatal(err)
	}
	if filled != string(page) {
		got, want := firstDifference(string(page), filled)
		t.Errorf("%s does not say what %s does; run \"go run ./bench -doc\". The first line that differs is\n%s\nand should be\n%s", pageFile, quotedFile, got, want)
	}
	for _, g := range append(r.details(), r.mainLines()) {
		if g.name != "elapsed" && !strings.Contains(string(page), tableMark+g.name+markEnd) {
			t.Errorf("%s has no table %q", pageFile, g.name)
		}
	}
}

func firstDifference(a, b string) (string, string) {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i], y[i]
		}
	}
	return "(its end)", "(another end)"
}

func TestFillPage(t *testing.T) {
	r := newReport(settings{})
	r.add(line{Number: "1", What: "x", Unit: "µs", Ours: 2, Other: 50, Ratio: 25, Goal: 25})
	page := "before\n" + tableMark + "goals" + markEnd + "old\n" + tableEnd + "\nafter\n"
	want := "before\n" + tableMark + "goals" + markEnd + `| # | what | ours | other | ratio | goal | reached |
|---|---|---|---|---|---|---|
| 1 | x | 2.00 µs | 50.0 µs | 25.0 | ≥ 25.0 | reached |
` + tableEnd + "\nafter\n"
	for range 2 { // filling again changes nothing
		got, err := fillPage(page, r)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		page = got
	}
}

func TestFillPageRefusesWhatItDoesNotKnow(t *testing.T) {
	r := newReport(settings{})
	for _, c := range []struct{ page, want string }{
		{tableMark + "nothing" + markEnd + tableEnd, `no table is called "nothing"`},
		{tableMark + "goals" + markEnd + "no end", `table "goals" does not end`},
		{tableMark + "goals", "without its end"},
	} {
		if _, err := fillPage(c.page, r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.page, err, c.want)
		}
	}
}
