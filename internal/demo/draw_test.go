package demo

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestBar(t *testing.T) {
	for _, c := range []struct {
		share float64
		want  string
	}{{0, "░░░░"}, {0.5, "██░░"}, {1, "████"}, {2, "████"}, {-1, "░░░░"}, {0.625, "██▌░"}, {0.99, "████"}} {
		if got := bar(c.share, 4); got != c.want {
			t.Errorf("bar(%v) = %q, want %q", c.share, got, c.want)
		}
	}
	for i := range 1001 {
		if n := utf8.RuneCountInString(bar(float64(i)/1000, 32)); n != 32 {
			t.Fatalf("bar(%v) is %d wide", float64(i)/1000, n)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestRates(t *testing.T) {
	var r rates
	now := time.Unix(0, 0)
	for i := range 100 {
		r.add(now, figures{changes: int64(i * 50), loaded: int64(i * 500)})
		now = now.Add(rateEvery)
	}
	if r.changes() != 100 || r.load() != 1000 {
		t.Errorf("rates %v and %v, want 100 and 1000", r.changes(), r.load())
	}
	if got := r.sparkline(); got != strings.Repeat("█", sparkWidth) {
		t.Errorf("an even rate looks like %q", got)
	}
	r.add(now, figures{changes: 99 * 50})
	if got := []rune(r.sparkline()); len(got) != sparkWidth || got[sparkWidth-1] != '▁' {
		t.Errorf("a stop looks like %q", string(got))
	}
}

func TestViewRedrawsInPlace(t *testing.T) {
	var out strings.Builder
	v := newView(&out, true)
	v.progress("printing tickets", 0.5)
	v.draw(figures{tables: 6, loaded: 10}, sales{total: 100})
	first := v.lines
	out.Reset()
	v.draw(figures{tables: 6, tablesLoaded: 6, loaded: 100}, sales{total: 100})
	if v.lines != first {
		t.Errorf("%d lines over %d", v.lines, first)
	}
	if got := out.String(); !strings.Contains(got, "\x1b["+string(rune('0'+first/10))+string(rune('0'+first%10))+"A") && !strings.Contains(got, "\x1b["+string(rune('0'+first))+"A") {
		t.Errorf("the cursor does not go up %d lines: %q", first, got)
	}
	if got := strings.Count(out.String(), "\n"); got != first {
		t.Errorf("%d line ends for %d lines", got, first)
	}
}

func TestViewIsPlainWithoutATerminal(t *testing.T) {
	var out strings.Builder
	v := newView(&out, false)
	for range 3 {
		v.progress("printing tickets", 0.5)
	}
	v.draw(figures{loaded: 1234}, sales{total: 2000})
	v.draw(figures{loaded: 1235}, sales{total: 2000})
	v.phase("closing")
	if got := out.String(); strings.Contains(got, "\x1b") || strings.Count(got, "\n") != 3 || !strings.Contains(got, "loaded 1234 of 2000 rows") {
		t.Errorf("printed %q", got)
	}
}
