package console

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

//go:embed page
var files embed.FS

// staticFiles are what the page loads, with their types. Their addresses change with their content.
var staticFiles = map[string]string{
	"status.css": "text/css; charset=utf-8",
	"status.js":  "text/javascript; charset=utf-8",
	"icon.svg":   "image/svg+xml",
}

var (
	staticVersion = versionOfFiles()
	pageTemplate  = template.Must(template.New("status.html").Funcs(template.FuncMap{
		"seconds": status.Seconds, "ago": status.Ago, "percent": percent, "short": short, "stamp": stamp, "args": switchOf,
		"since": since, "stateClass": stateClass, "tableClass": tableClass, "lagClass": lagClass, "late": late,
		"latest": latest, "count": countOf, "bytes": bytesOf,
	}).ParseFS(files, "page/status.html"))
)

func versionOfFiles() string {
	h := sha256.New()
	for _, name := range []string{"icon.svg", "status.css", "status.js"} {
		text, err := files.ReadFile("page/" + name)
		if err != nil {
			panic(err) // they are in the program
		}
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// static serves what the page loads.
func static(w http.ResponseWriter, r *http.Request) {
	kind, ok := staticFiles[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	text, err := files.ReadFile("page/" + r.PathValue("file"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=86400")
	_, _ = w.Write(text)
}

// page is what the template draws.
type page struct {
	Report      *status.Report
	Static      string
	Summary     string
	Errors      int // problems that are errors
	Control     bool
	NeedsToken  bool
	ControlNote string
	Tables      []status.Table
	MoreTables  int
	Shards      []shardRow

	ReplicateCharts, DeliverCharts []chart
}

// shardRow is a shard as both halves see it.
type shardRow struct {
	Shard string
	Read  *status.ReadShard
	Write *status.WriteShard
}

// Here says whether this process reads it.
func (s shardRow) Here() bool { return s.Read != nil && s.Read.Here }

// shownTables is how many tables the page has; a browser copes with that on a phone, and refreshes it every two seconds.
const shownTables = 300

func (c *Console) page(w http.ResponseWriter, r *http.Request) {
	p := c.view(r)
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, p); err != nil {
		c.cfg.Log.Error("the status page cannot be drawn", "error", err)
		http.Error(w, "the status page cannot be drawn; the log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	_, _ = w.Write(out.Bytes())
}

// pagePolicy lets the page load its own files and ask this server, and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (c *Console) view(r *http.Request) *page {
	report := c.cfg.Report()
	p := &page{Report: report, Static: staticVersion, Summary: summary(report), Control: c.guard.mayAsk(r), NeedsToken: c.guard.token() != ""}
	if !p.Control {
		p.ControlNote = "Pause, resume and reload are for clients on this machine as long as http.token is not set."
	}
	for _, problem := range report.Problems {
		if problem.Level == status.Error {
			p.Errors++
		}
	}
	points := c.cfg.History()
	if rep := report.Replicate; rep != nil {
		p.Tables = slices.Clone(rep.Tables)
		slices.SortStableFunc(p.Tables, func(a, b status.Table) int { return cmp.Compare(urgency(a), urgency(b)) })
		p.MoreTables = max(0, len(p.Tables)-shownTables)
		p.Tables = p.Tables[:len(p.Tables)-p.MoreTables]
		lag := ages("Source lag", points, report.Time, rep.SourceLag, func(q status.Point) float64 { return q.SourceLag })
		if !rep.LagKnown() {
			lag.Now = "unknown"
		}
		p.ReplicateCharts = []chart{
			lag,
			ages("Target lag", points, report.Time, rep.TargetLag, func(q status.Point) float64 { return q.TargetLag }),
			rates("Changes", points, report.Time, func(q status.Point) float64 { return q.Changes }),
			rates("Full-load rows", points, report.Time, func(q status.Point) float64 { return q.LoadRows }),
			rates("Throttled", points, report.Time, func(q status.Point) float64 { return q.Throttled }),
		}
	}
	if d := report.Deliver; d != nil {
		p.DeliverCharts = []chart{
			ages("Freshness", points, report.Time, d.Freshness, func(q status.Point) float64 { return q.Freshness }),
			rates("Objects", points, report.Time, func(q status.Point) float64 { return q.Objects }),
		}
	}
	p.Shards = shards(report)
	return p
}

// urgency puts the tables first that somebody must look at, and then those that are being loaded.
func urgency(t status.Table) int {
	switch {
	case t.Error != "":
		return 0
	case t.State == "Table completed":
		return 2
	case t.State == "Table does not exist":
		return 3
	}
	return 1
}

// shards puts together what both halves say of each shard.
func shards(r *status.Report) []shardRow {
	rows := map[string]*shardRow{}
	row := func(shard string) *shardRow {
		if rows[shard] == nil {
			rows[shard] = &shardRow{Shard: shard}
		}
		return rows[shard]
	}
	if r.Replicate != nil {
		for i := range r.Replicate.Shards {
			row(r.Replicate.Shards[i].Shard).Write = &r.Replicate.Shards[i]
		}
	}
	if r.Deliver != nil {
		for i := range r.Deliver.Shards {
			row(r.Deliver.Shards[i].Shard).Read = &r.Deliver.Shards[i]
		}
	}
	list := make([]shardRow, 0, len(rows))
	for _, s := range rows {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b shardRow) int { return cmp.Compare(a.Shard, b.Shard) })
	return list
}

// summary is the whole report in one line.
func summary(r *status.Report) string {
	errors, warnings := 0, 0
	for _, p := range r.Problems {
		switch p.Level {
		case status.Error:
			errors++
		case status.Warning:
			warnings++
		}
	}
	switch {
	case errors == 0 && warnings == 0:
		return "All is well"
	case errors == 0:
		return things(warnings, "thing", "to look at")
	case warnings == 0:
		return things(errors, "problem", "to solve")
	}
	return things(errors, "problem", "to solve") + ", " + things(warnings, "thing", "to look at")
}

func things(n int, what, verb string) string {
	if n == 1 {
		return "1 " + what + " " + verb
	}
	return fmt.Sprintf("%d %ss %s", n, what, verb)
}

// switchArgs is what the template of a half's button needs.
type switchArgs struct {
	Page   *page
	Half   string
	Paused time.Time
}

func switchOf(p *page, half string, paused time.Time) switchArgs { return switchArgs{p, half, paused} }

func stateClass(h status.Half) string {
	if len(h.Trouble) > 0 {
		return "bad"
	}
	switch h.State {
	case status.Streaming, status.Delivering:
		return "good"
	case status.Paused, status.Pausing, status.Connecting:
		return "warn"
	case status.Stopped:
		return "bad"
	}
	return ""
}

func tableClass(state string) string {
	switch state {
	case "Table completed":
		return "good"
	case "Table error":
		return "bad"
	case "Table does not exist":
		return "warn"
	}
	return ""
}

// The lags that are shown as fine and as bad.
func lagClass(seconds float64) string {
	switch {
	case seconds >= status.LagError:
		return "bad"
	case seconds >= status.LagWarning:
		return "warn"
	}
	return ""
}

// latest is what the page shows of the latest objects; the API has more.
func latest(all []status.Object) []status.Object { return all[:min(8, len(all))] }

func late(d *status.Deliver) bool { return d.Freshness > d.Interval+status.FreshnessSlack }

func percent(share *float64) string { return fmt.Sprintf("%.0f %%", 100**share) }

func since(now, t time.Time) string { return status.Seconds(max(0, now.Sub(t).Seconds())) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// short is the beginning of a long text.
func short(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

func countOf(n any) string {
	switch n := n.(type) {
	case int:
		return status.Count(n)
	case int64:
		return status.Count(n)
	case uint64:
		return status.Count(n)
	}
	return fmt.Sprint(n)
}

func bytesOf(n any) string {
	switch n := n.(type) {
	case int64:
		return status.Bytes(n)
	case uint64:
		return status.Bytes(n)
	}
	return fmt.Sprint(n)
}
