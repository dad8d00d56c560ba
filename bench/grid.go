package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// grid is a table for people: on a terminal, or in the page.
type grid struct {
	name   string // by which the page asks for it
	title  string
	header []string
	rows   [][]string
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

// text writes it for a terminal.
func (g *grid) text(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", g.title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{g.header}, g.rows...) {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush()
}

// markdown is it for the page.
func (g *grid) markdown() string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(g.header)
	b.WriteString("|" + strings.Repeat("---|", len(g.header)) + "\n")
	for _, row := range g.rows {
		line(row)
	}
	return b.String()
}

// number prints three significant digits or all whole ones, the latter in groups of three.
func number(f float64) string {
	switch {
	case f >= 1000:
		return grouped(int64(f + 0.5))
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func mib(bytes int64) string { return number(float64(bytes) / (1 << 20)) }
