package status

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Seconds writes a time span for people: 0.4 s, 12 s, 3 min 20 s, 5 h 12 min, 6 d 3 h.
func Seconds(s float64) string {
	switch {
	case math.IsInf(s, 1):
		return "for ever"
	case math.IsNaN(s):
		return "unknown"
	case s < 9.95:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	case s < 59.5:
		return strconv.FormatFloat(s, 'f', 0, 64) + " s"
	}
	d := time.Duration(math.Round(math.Min(s, 1e9))) * time.Second
	switch {
	case d < time.Hour:
		return pair(int64(d/time.Minute), "min", int64(d%time.Minute/time.Second), "s")
	case d < 24*time.Hour:
		return pair(int64(d/time.Hour), "h", int64(d%time.Hour/time.Minute), "min")
	}
	return pair(int64(d/(24*time.Hour)), "d", int64(d%(24*time.Hour)/time.Hour), "h")
}

func pair(a int64, unit string, b int64, smaller string) string {
	if b == 0 {
		return fmt.Sprintf("%d %s", a, unit)
	}
	return fmt.Sprintf("%d %s %d %s", a, unit, b, smaller)
}

// Count writes a number with its thousands apart.
func Count[N ~int | ~int64 | ~uint64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && c != '-' && s[i-1] != '-' && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Bytes writes a size: 512 B, 1.5 KiB, 64 MiB.
func Bytes[N ~int64 | ~uint64](n N) string {
	const units = "KMGTPE"
	v, unit := float64(n), -1
	for v >= 1023.95 && unit < len(units)-1 {
		v /= 1024
		unit++
	}
	switch {
	case unit < 0:
		return strconv.FormatFloat(v, 'f', 0, 64) + " B"
	case v < 9.95:
		return strconv.FormatFloat(v, 'f', 1, 64) + " " + units[unit:unit+1] + "iB"
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " " + units[unit:unit+1] + "iB"
}

// Ago writes how long before now t was.
func Ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return Seconds(max(0, now.Sub(t).Seconds())) + " ago"
}

// String says how long something will be there.
func (r Retention) String() string {
	switch {
	case r.Lost:
		return "gone"
	case !r.Known:
		return "not known"
	case r.Forever:
		return "kept for ever"
	}
	return Seconds(r.Left) + " left"
}
