package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// view shows the demo on a terminal, redrawn in place, or as plain lines elsewhere. Its methods may be called from
// several goroutines.
type view struct {
	out      io.Writer
	terminal bool
	colour   bool
	title    string
	begun    time.Time

	mu      sync.Mutex // covers everything below
	lines   int        // drawn last time, to be drawn over
	address string     // of the console
	state   string     // what is going on beside selling
	rates   rates
	printed time.Time // last plain line
	said    string    // last plain progress
}

func newView(out io.Writer, terminal bool) *view {
	return &view{out: out, terminal: terminal, colour: terminal && os.Getenv("NO_COLOR") == "", begun: time.Now()}
}

func (v *view) listening(addr string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.address = addr
}

// plainEvery is the pause between plain lines.
const plainEvery = 5 * time.Second

// progress shows a step of the preparations; done is from 0 to 1, or negative if it is not known.
func (v *view) progress(what string, done float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.terminal {
		if v.said != what {
			fmt.Fprintf(v.out, "%s\n", what)
		}
		v.said = what
		return
	}
	line := "  " + what + " …"
	if done >= 0 {
		line = fmt.Sprintf("  %-28s %s %3.0f %%", what, v.paint(cyan, bar(done, 32)), 100*done)
	}
	v.redraw([]string{line})
}

// phase says what is going on from now on.
func (v *view) phase(what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = what
	if !v.terminal {
		fmt.Fprintln(v.out, what)
		return
	}
	if v.lines == 0 {
		return
	}
	fmt.Fprintf(v.out, "\x1b[1A\x1b[2K  %s\n", v.paint(yellow, what))
}

// step says on a terminal what a phase is at.
func (v *view) step(what string) {
	if v.terminal {
		v.phase(what)
	}
}

// draw shows the pipeline and the shop.
func (v *view) draw(f figures, s sales) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rates.add(time.Now(), f)
	if v.terminal {
		v.redraw(v.screen(f, s))
		return
	}
	if time.Since(v.printed) >= plainEvery {
		v.printed = time.Now()
		fmt.Fprintln(v.out, v.plain(f, s))
	}
}

func (v *view) screen(f figures, s sales) []string {
	state := v.state
	if state == "" {
		state = "Ctrl-C closes the shop and counts"
	}
	return []string{
		v.paint(bold, "  binlogstreamer demo  ") + v.title + "  " + clock(time.Since(v.begun)),
		"",
		"  full load  " + v.load(f, s),
		fmt.Sprintf("  changes    %s %s/s  %s in all", v.paint(cyan, v.rates.sparkline()), thousands(int64(v.rates.changes())), thousands(f.changes)),
		fmt.Sprintf("  tickets    %s sold, %s resold, %s returned", thousands(s.sold), thousands(s.resold), thousands(s.returned)),
		fmt.Sprintf("  lag        source %s   stream %s   objects %s", v.lag(f.sourceLag, 1, 5), v.lag(f.targetLag, 1, 5), v.lag(f.freshness, 10, 60)),
		fmt.Sprintf("  objects    %s, %s", thousands(f.objects), byteSize(f.objectBytes)),
		"",
		v.paint(dim, "  status     http://"+v.address+"/"),
		"  " + v.paint(yellow, state),
	}
}

// load is the progress of the full load. Rows that change meanwhile are left to the changes, and new ones may be
// loaded, so that it ends near the number of rows that there were, not at it.
func (v *view) load(f figures, s sales) string {
	if f.tables > 0 && f.tablesLoaded == f.tables {
		return fmt.Sprintf("%s 100 %%  %s rows  %s", v.paint(green, bar(1, 32)), thousands(f.loaded), v.paint(green, "done"))
	}
	share := min(0.99, float64(f.loaded)/float64(max(s.total, 1)))
	return fmt.Sprintf("%s %3.0f %%  %s of %s rows  %s/s", v.paint(green, bar(share, 32)), 100*share,
		thousands(min(f.loaded, s.total)), thousands(s.total), thousands(int64(v.rates.load())))
}

func (v *view) plain(f figures, s sales) string {
	return fmt.Sprintf("%s  loaded %d of %d rows, %d changes (%.0f/s), lag: source %.1f s, stream %.1f s, objects %.1f s; %d objects, %s",
		clock(time.Since(v.begun)), f.loaded, s.total, f.changes, v.rates.changes(), f.sourceLag, f.targetLag, f.freshness, f.objects, byteSize(f.objectBytes))
}

// redraw puts lines where the last ones were. Long lines are cut off by the terminal rather than wrapped, so that
// as many lines are there as were written.
func (v *view) redraw(lines []string) {
	var b strings.Builder
	b.WriteString("\x1b[?25l\x1b[?7l") // no cursor, no wrapping
	if v.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.lines)
	}
	for _, line := range lines {
		b.WriteString("\r\x1b[2K" + line + "\n")
	}
	b.WriteString("\x1b[J\x1b[?7h\x1b[?25h")
	v.lines = len(lines)
	_, _ = io.WriteString(v.out, b.String()) // a view that can't be shown harms nothing
}

// settle leaves what is drawn where it is: the next lines go below it.
func (v *view) settle() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lines = 0
}

// The colours, as a terminal knows them.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (v *view) paint(colour, s string) string {
	if !v.colour || s == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// lag is a time behind in the colour of how bad that is.
func (v *view) lag(seconds, warn, bad float64) string {
	colour := green
	switch {
	case seconds >= bad:
		colour = red
	case seconds >= warn:
		colour = yellow
	}
	return v.paint(colour, fmt.Sprintf("%4.1f s", seconds))
}
