package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// chart is a line over the last hour, or since the start, as paths of an SVG of chartWidth by chartHeight.
type chart struct {
	Title, Now, Highest string
	Span                string // that it covers
	Line, Area          string
}

const (
	chartWidth, chartHeight = 360.0, 48.0
	chartColumns            = 120 // at most, half a minute each in a full hour, of which the highest value is drawn
	shortestSpan            = 5 * time.Minute
)

// ages is a chart of a time that something is behind; now is its present value.
func ages(title string, points []status.Point, at time.Time, now float64, value func(status.Point) float64) chart {
	c := draw(points, at, value, 1)
	c.Title, c.Now, c.Highest = title, status.Seconds(now), status.Seconds(max(now, highest(points, value)))
	return c
}

// rates is a chart of something a second.
func rates(title string, points []status.Point, at time.Time, value func(status.Point) float64) chart {
	c := draw(points, at, value, 0)
	now := 0.0
	if n := len(points); n > 0 {
		now = value(points[n-1])
	}
	c.Title, c.Now, c.Highest = title, perSecond(now), perSecond(highest(points, value))
	return c
}

func perSecond(v float64) string {
	switch {
	case v == 0:
		return "0/s"
	case v < 10:
		return fmt.Sprintf("%.1f/s", v)
	}
	return status.Count(int64(v+0.5)) + "/s"
}

func highest(points []status.Point, value func(status.Point) float64) (top float64) {
	for _, p := range points {
		top = max(top, value(p))
	}
	return top
}

// draw makes the paths. A full height stands for the highest value, or for least if that is more.
func draw(points []status.Point, at time.Time, value func(status.Point) float64, least float64) (c chart) {
	top := max(least, highest(points, value))
	if top == 0 {
		top = 1
	}
	span := shortestSpan
	if len(points) > 0 {
		span = min(max(span, at.Sub(points[0].Time).Truncate(time.Minute)+time.Minute), status.Span)
	}
	c.Span = status.Seconds(span.Seconds())
	n := min(chartColumns, int(span/(2*status.Step))) // a column between two samples would be a gap
	columns, seen := make([]float64, n), make([]bool, n)
	for _, p := range points {
		i := n - 1 - int(at.Sub(p.Time)*time.Duration(n)/span)
		if i < 0 || i >= n {
			continue
		}
		columns[i], seen[i] = max(columns[i], value(p)), true
	}
	var line, area strings.Builder
	step := chartWidth / float64(n)
	pen := false
	for i, v := range columns {
		if !seen[i] {
			if pen {
				fmt.Fprintf(&area, "V%g", chartHeight)
			}
			pen = false
			continue
		}
		x, y := float64(i)*step, chartHeight-1-v/top*(chartHeight-3)
		if !pen {
			fmt.Fprintf(&line, "M%.0f %.1f", x, y)
			fmt.Fprintf(&area, "M%.0f %gV%.1f", x, chartHeight, y)
		} else {
			fmt.Fprintf(&line, "V%.1f", y)
			fmt.Fprintf(&area, "V%.1f", y)
		}
		fmt.Fprintf(&line, "H%.0f", x+step)
		fmt.Fprintf(&area, "H%.0f", x+step)
		pen = true
	}
	if pen {
		fmt.Fprintf(&area, "V%g", chartHeight)
	}
	c.Line, c.Area = line.String(), area.String()
	return c
}
