package console

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{.}}&amp;` + "\u202e"

// hostileReport has something hostile wherever a text from elsewhere can stand.
func hostileReport() *status.Report {
	now := time.Now()
	share, left := 0.5, 90.0
	half := status.Half{State: status.Loading, Trouble: []status.Trouble{{What: hostile, Error: hostile, Since: now}}}
	return &status.Report{
		Version: 1, Name: hostile, Program: hostile, Time: now, Started: now.Add(-time.Hour),
		Replicate: &status.Replicate{
			Half: half, Source: hostile, Server: hostile, Stream: hostile, Migration: hostile,
			Position: status.Position{File: hostile, Offset: 4, GTIDs: strings.Repeat(hostile, 100)},
			Shards:   []status.WriteShard{{Shard: hostile, Throttled: 3, LastThrottled: now}},
			Tables: []status.Table{{Schema: hostile, Table: hostile, State: hostile, Error: hostile,
				Load: &status.Load{Rows: 5, Estimate: 10, Share: &share, Remaining: &left}}},
		},
		Deliver: &status.Deliver{
			Half: half, Stream: hostile, Destination: hostile,
			Shards: []status.ReadShard{{Shard: hostile, Owner: hostile}},
			Latest: []status.Object{{Key: hostile, Shard: hostile, Stored: now}},
		},
		Events: []status.Event{{Time: now, Level: status.Error, Message: hostile, Details: hostile, Times: 2}},
	}
}

// tag is a tag as a browser would see one.
var tag = regexp.MustCompile(`<[a-zA-Z!/][^>]*>`)

func TestHostileNamesAreText(t *testing.T) {
	var calls asked
	got := here.do(underTest("", &calls, hostileReport()), http.MethodGet, "/", "")
	body := got.Body.String()
	if got.Code != http.StatusOK || strings.Count(body, "&lt;script&gt;alert(1)") < 20 {
		t.Fatalf("%d, the hostile text stands there %d times:\n%s", got.Code, strings.Count(body, "&lt;script&gt;alert(1)"), body)
	}
	for _, tag := range tag.FindAllString(body, -1) {
		if strings.Contains(tag, "alert(") && !strings.Contains(tag, "&lt;script&gt;alert(") || strings.HasPrefix(tag, "<img") {
			t.Errorf("a text from elsewhere became the tag %s", tag)
		}
	}
	if n := strings.Count(body, "<script"); n != 1 {
		t.Errorf("%d scripts, want the page's own", n)
	}
	api := here.do(underTest("", &calls, hostileReport()), http.MethodGet, "/api/status", "")
	if strings.Contains(api.Body.String(), "<script>") || api.Header().Get("Content-Type") != "application/json" || api.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a browser could take the API's answer for a page: %v", api.Header())
	}
}

func TestPagePolicy(t *testing.T) {
	var calls asked
	got := here.do(underTest("", &calls, hostileReport()), http.MethodGet, "/", "")
	policy := got.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %q", policy, want)
		}
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"} {
		if got.Header().Get(name) != want {
			t.Errorf("%s is %q", name, got.Header().Get(name))
		}
	}
	body := got.Body.String()
	if m := regexp.MustCompile(`(?i)(src|href)="?(https?:|//)|\son[a-z]+="|style="|<style`).FindString(stripped(body)); m != "" {
		t.Errorf("the page has %q, which its policy forbids", m)
	}
}

// stripped takes what was escaped away.
func stripped(body string) string { return strings.ReplaceAll(body, "&", "") }

func TestPageSaysWhatMatters(t *testing.T) {
	report := hostileReport()
	report.Replicate.Tables = nil
	for _, name := range []string{"ok", "broken", "loading"} {
		row := status.Table{Schema: "shop", Table: name, State: "Table completed"}
		switch name {
		case "broken":
			row.State, row.Error = "Table error", "column price does not fit; mend it"
		case "loading":
			row.State = "Full load"
		}
		report.Replicate.Tables = append(report.Replicate.Tables, row)
	}
	for i := range shownTables {
		report.Replicate.Tables = append(report.Replicate.Tables, status.Table{Schema: "more", Table: string(rune('a' + i%26)), State: "Table completed"})
	}
	report.Replicate.Paused, report.Replicate.State = time.Now(), status.Paused
	var calls asked
	body := here.do(underTest("", &calls, report), http.MethodGet, "/", "").Body.String()
	broken, loading, ok := strings.Index(body, `row">shop.broken`), strings.Index(body, `row">shop.loading`), strings.Index(body, `row">shop.ok`)
	if broken < 0 || broken > loading || loading > ok {
		t.Errorf("order of the tables: broken at %d, loading at %d, ok at %d", broken, loading, ok)
	}
	for _, want := range []string{"And 3 more", "Resume replicate", "Pause deliver", "column price does not fit; mend it", "binlogstreamer resume"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	elsewhere := afar.do(underTest("", &calls, report), http.MethodGet, "/", "").Body.String()
	if strings.Contains(elsewhere, "data-action") || !strings.Contains(elsewhere, "http.token") {
		t.Error("a client without control is shown buttons, or not told why there are none")
	}
	if with := afar.do(underTest(token, &calls, report), http.MethodGet, "/", "").Body.String(); !strings.Contains(with, `id="token"`) || !strings.Contains(with, "data-action") || strings.Contains(with, token) {
		t.Error("with a token set there is no place to give it, or it is given away")
	}
}

func TestCharts(t *testing.T) {
	now := time.Now()
	points := []status.Point{{Time: now.Add(-2 * time.Hour), SourceLag: 99}, {Time: now.Add(-3 * time.Minute), SourceLag: 10}, {Time: now, SourceLag: 5}}
	c := ages("Source lag", points[1:], now, 5, func(p status.Point) float64 { return p.SourceLag })
	if c.Now != "5.0 s" || c.Highest != "10 s" || strings.Count(c.Line, "M") != 2 || !strings.HasPrefix(c.Line, "M132 2.0") || !strings.Contains(c.Line, "M348 24.5") {
		t.Errorf("%+v", c)
	}
	if long := ages("Source lag", points, now, 5, func(p status.Point) float64 { return p.SourceLag }); c.Span != "5 min" || long.Span != "1 h" || strings.Count(long.Line, "M") != 2 {
		t.Errorf("%s and %+v", c.Span, long)
	}
	var steady []status.Point
	for i := range 60 {
		steady = append(steady, status.Point{Time: now.Add(-time.Duration(i) * (status.Step + 300*time.Millisecond)), SourceLag: 1})
	}
	slices.Reverse(steady)
	if c := ages("Source lag", steady, now, 1, func(p status.Point) float64 { return p.SourceLag }); strings.Count(c.Line, "M") != 1 {
		t.Errorf("a steady line has gaps: %s", c.Line)
	}
	if c := rates("Changes", nil, now, func(p status.Point) float64 { return p.Changes }); c.Line != "" || c.Now != "0/s" {
		t.Errorf("without points: %+v", c)
	}
}
