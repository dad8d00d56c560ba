package demo

import (
	"fmt"
	"strings"
	"time"
)

// bar is a progress bar of a width, with eighths of a character.
func bar(share float64, width int) string {
	eighths := int(max(0, min(1, share))*float64(width)*8 + 0.5)
	full := eighths / 8
	b := strings.Repeat("█", full)
	if part := eighths % 8; part > 0 {
		b += string([]rune(" ▏▎▍▌▋▊▉")[part])
		full++
	}
	return b + strings.Repeat("░", width-full)
}

// rates turns running totals into rates and remembers the last of them.
type rates struct {
	at      time.Time
	last    figures
	history []float64 // changes a second, oldest first
	loading float64
}

// sparkWidth is how many rates are shown; one is taken each half second.
const (
	sparkWidth = 32
	rateEvery  = 500 * time.Millisecond
)

func (r *rates) add(now time.Time, f figures) {
	if r.at.IsZero() {
		r.at, r.last = now, f
		return
	}
	span := now.Sub(r.at)
	if span < rateEvery {
		return
	}
	r.loading = float64(f.loaded-r.last.loaded) / span.Seconds()
	r.history = append(r.history, max(0, float64(f.changes-r.last.changes)/span.Seconds()))
	r.history = r.history[max(0, len(r.history)-sparkWidth):]
	r.at, r.last = now, f
}

// changes is the present rate, over two seconds so that it can be read.
func (r *rates) changes() float64 {
	recent := r.history[max(0, len(r.history)-4):]
	if len(recent) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range recent {
		sum += v
	}
	return sum / float64(len(recent))
}

func (r *rates) load() float64 { return max(0, r.loading) }

// sparkline is the history as a row of columns, padded to its width.
func (r *rates) sparkline() string {
	highest := 1.0
	for _, v := range r.history {
		highest = max(highest, v)
	}
	levels := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", sparkWidth-len(r.history)))
	for _, v := range r.history {
		b.WriteRune(levels[min(len(levels)-1, int(v/highest*float64(len(levels))))])
	}
	return b.String()
}

// thousands is n with commas.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// byteSize is a size that can be read.
func byteSize(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
