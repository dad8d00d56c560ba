package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCutRecordsKeepsWholeLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	if err := os.WriteFile(path, []byte("aaaa\nbbbb\ncccc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := cutRecords(path, 6)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n != 2 || string(got) != "aaaa\nbbbb\n" {
		t.Errorf("kept %d records, %q", n, got)
	}
}

func TestHashKeyRangesMeet(t *testing.T) {
	if got, want := hashKey(1, 4, -1), "85070591730234615865843651857942052863"; got != want {
		t.Errorf("end of the first quarter = %s, want %s", got, want)
	}
	if got, want := hashKey(1, 4, 0), "85070591730234615865843651857942052864"; got != want {
		t.Errorf("begin of the second quarter = %s, want %s", got, want)
	}
	if got, want := hashKey(64, 64, -1), "340282366920938463463374607431768211455"; got != want {
		t.Errorf("end of the last part = %s, want %s", got, want)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		l    line
		want string
	}{
		{line{Ratio: 25, Goal: 25}, "reached"},
		{line{Ratio: 24.9, Goal: 25}, "not reached"},
		{line{Ratio: 1, Goal: 1, AtMost: true}, "reached"},
		{line{Ratio: 1.1, Goal: 1, AtMost: true}, "not reached"},
		{line{Ratio: 3}, ""},
	} {
		if got := c.l.verdict(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.l, got, c.want)
		}
	}
}

func TestReportIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results", "latest.json")
	r := newReport(settings{Changes: 7})
	r.add(line{Number: "1", What: "x", Ratio: 2})
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	got, ok := readReport(path).find("x")
	if !ok || got.Ratio != 2 {
		t.Errorf("found %v, %+v", ok, got)
	}
	if _, ok := readReport(path + ".missing").find("x"); ok {
		t.Error("found a line in a report that is not there")
	}
}

func TestTypical(t *testing.T) {
	m := typical([]measurement{{CPU: 9, Wall: 1, RSS: 5}, {CPU: 1, Wall: 7, RSS: 8}, {CPU: 3, Wall: 4, RSS: 6}})
	if m.CPU != 3 || m.Wall != 4 || m.RSS != 8 {
		t.Errorf("of three: %+v", m)
	}
	if m = typical([]measurement{{CPU: 9, Wall: 1}, {CPU: 2, Wall: 7}}); m.CPU != 2 || m.Wall != 1 {
		t.Errorf("of two: %+v", m)
	}
}
