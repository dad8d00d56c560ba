package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// dashboard is what is looked at of a file of Grafana's.
type dashboard struct {
	UID, Title  string
	Panels      []panel
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	Templating struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
		}
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ UID string }
	Targets                  []struct{ Expr string }
	Panels                   []panel // of a row that is folded
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana", "binlogstreamer.json"))
	if err != nil {
		t.Fatal(err)
	}
	d := &dashboard{}
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// filled puts values in the places of Grafana's variables.
var filled = strings.NewReplacer("$pipeline", "tickets", "$instance", ".*", "$__rate_interval", "10s", "$__range", "1m")

// mayBeEmpty is how a panel's description says that it is empty at good times.
const mayBeEmpty = "Empty while"

// scrapeConfig lets Prometheus collect from the pipeline, and evaluate the rules.
const scrapeConfig = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [binlogstreamer.rules.yml]
scrape_configs:
  - job_name: binlogstreamer
    static_configs: [{targets: ["%s"], labels: {pipeline: tickets}}]
`

// queryDashboard runs every query of the dashboard in a Prometheus that collects from a running pipeline. Each is about
// metrics that exist, and finds data, unless its panel says when there is none.
func queryDashboard(t *testing.T, live *livePipeline) {
	t.Helper()
	rules, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "binlogstreamer.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	server := testservers.Prometheus(t, fmt.Sprintf(scrapeConfig, live.addr), map[string][]byte{"binlogstreamer.rules.yml": rules})
	q := &querier{t: t, server: server, metrics: map[string]bool{}}
	for _, m := range live.describe(t) {
		q.metrics[m.name] = true
	}
	d := readDashboard(t)
	for _, a := range d.Annotations.List {
		q.run(a.Name, a.Expr, true)
	}
	queries := 0
	for _, p := range d.Panels {
		for _, p := range append(p.Panels, p) {
			for _, target := range p.Targets {
				queries++
				q.run(p.Title, target.Expr, strings.Contains(p.Description, mayBeEmpty))
			}
			if p.Type != "row" && p.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q has data source %q", p.Title, p.Datasource.UID)
			}
		}
	}
	if queries < 30 {
		t.Errorf("%d queries were found", queries)
	}
	q.variables(d)
	q.rules()
}

type querier struct {
	t       *testing.T
	server  *testservers.PrometheusServer
	metrics map[string]bool // that the pipeline describes
}

var ourMetric = regexp.MustCompile(`\bbinlogstreamer_[a-z_]+`)

// run makes a query again and again until it gives data.
func (q *querier) run(panel, expr string, empty bool) {
	expr = filled.Replace(expr)
	if strings.Contains(expr, "$") {
		q.t.Errorf("panel %q: there is a variable that nobody knows in %s", panel, expr)
	}
	for _, name := range ourMetric.FindAllString(expr, -1) {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"), "_sum")
		if !q.metrics[name] && !q.metrics[base] {
			q.t.Errorf("panel %q: there is no metric %s", panel, name)
			return
		}
	}
	q.until(fmt.Sprintf("panel %q: %s", panel, expr), func(ctx context.Context) (bool, error) {
		data, err := q.server.Get(ctx, "/api/v1/query", url.Values{"query": {expr}})
		var answer struct{ Result []json.RawMessage }
		if err == nil {
			err = json.Unmarshal(data, &answer)
		}
		return len(answer.Result) > 0 || empty, err
	})
}

// until asks until there is something, or time is up.
func (q *querier) until(what string, ask func(context.Context) (bool, error)) {
	ctx, cancel := context.WithTimeout(q.t.Context(), 20*time.Second)
	defer cancel()
	for {
		found, err := ask(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			q.t.Errorf("%s: %v", what, err)
			return
		case found:
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			q.t.Errorf("%s finds nothing", what)
			return
		}
	}
}

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// variables runs the queries of the dashboard's variables.
func (q *querier) variables(d *dashboard) {
	names := map[string]bool{}
	for _, v := range d.Templating.List {
		names[v.Name] = true
		if v.Type != "query" {
			continue
		}
		var query struct{ Query string }
		if err := json.Unmarshal(v.Query, &query); err != nil {
			q.t.Fatalf("variable %s: %v", v.Name, err)
		}
		m := labelValues.FindStringSubmatch(filled.Replace(query.Query))
		if m == nil {
			q.t.Errorf("variable %s has query %q", v.Name, query.Query)
			continue
		}
		q.until("variable "+v.Name, func(ctx context.Context) (bool, error) {
			data, err := q.server.Get(ctx, "/api/v1/label/"+m[2]+"/values", url.Values{"match[]": {m[1]}})
			var values []string
			if err == nil {
				err = json.Unmarshal(data, &values)
			}
			return len(values) > 0, err
		})
	}
	if !names["datasource"] || !names["pipeline"] {
		q.t.Errorf("the variables are %v", names)
	}
}

// rules waits until every rule was evaluated, and looks for errors and for alerts of a pipeline that is well.
func (q *querier) rules() {
	q.until("rules", func(ctx context.Context) (bool, error) {
		data, err := q.server.Get(ctx, "/api/v1/rules", nil)
		var answer struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
		if err == nil {
			err = json.Unmarshal(data, &answer)
		}
		evaluated := len(answer.Groups) > 0
		for _, g := range answer.Groups {
			for _, r := range g.Rules {
				evaluated = evaluated && r.Health == "ok"
				if r.State == "firing" || r.LastError != "" {
					err = fmt.Errorf("rule %s is %s %s", r.Name, r.State, r.LastError)
				}
			}
		}
		return evaluated, err
	})
}
