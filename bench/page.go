package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// The page quotes one run, whose results are committed beside it. Its tables stand between marks that name them, and
// are written by the machine alone.

var (
	pageFile   = filepath.Join("docs", "PERFORMANCE.md")
	quotedFile = filepath.Join("bench", "results", "quoted.json")
)

const (
	tableMark = "<!-- table: "
	markEnd   = " -->\n"
	tableEnd  = "<!-- end of table -->"
)

// writePage puts the tables of the results into the page.
func writePage(page, results string) error {
	r := readReport(results)
	if r == nil {
		return fmt.Errorf("%s: no results that can be read", results)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	filled, err := fillPage(string(text), r)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return renameio.WriteFile(page, []byte(filled), 0o644)
}

// fillPage gives the text with each of its tables as the results say it.
func fillPage(text string, r *report) (string, error) {
	tables := map[string]grid{}
	for _, g := range append(r.details(), r.mainLines()) {
		tables[g.name] = g
	}
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(text, tableMark)
		out.WriteString(before)
		if !ok {
			return out.String(), nil
		}
		name, rest, ok := strings.Cut(rest, markEnd)
		if !ok {
			return "", fmt.Errorf("a mark of a table without its end: %.40q", rest)
		}
		g, known := tables[name]
		if !known {
			return "", fmt.Errorf("no table is called %q", name)
		}
		_, rest, ok = strings.Cut(rest, tableEnd)
		if !ok {
			return "", fmt.Errorf("table %q does not end", name)
		}
		out.WriteString(tableMark + name + markEnd + g.markdown() + tableEnd)
		text = rest
	}
}
