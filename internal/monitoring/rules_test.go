package monitoring

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

var (
	root       = filepath.Join("..", "..")
	prometheus = filepath.Join(root, "deploy", "prometheus")
)

type rule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

// readRules reads the rules of all groups.
func readRules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	readYAML(t, filepath.Join(prometheus, "binlogstreamer.rules.yml"), &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 20 {
		t.Fatalf("%d rules were found", len(all))
	}
	return all
}

func alerts(t *testing.T) (all []rule) {
	t.Helper()
	for _, r := range readRules(t) {
		if r.Alert != "" {
			all = append(all, r)
		}
	}
	return all
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := testservers.Promtool(t, args...); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestRules runs what promtool has to say of the rules, their unit tests, and the example of a configuration.
func TestRules(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", filepath.Join(prometheus, "binlogstreamer.rules.yml"))
	promtool(t, "check", "config", filepath.Join(prometheus, "prometheus.yml"))
	promtool(t, "test", "rules", filepath.Join(prometheus, "binlogstreamer.rules.test.yml"))
}

// TestEveryAlertIsTested looks for a unit test in which the alert fires and one in which it stays silent.
func TestEveryAlertIsTested(t *testing.T) {
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readYAML(t, filepath.Join(prometheus, "binlogstreamer.rules.test.yml"), &file)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, a := range test.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Expected) > 0
			silent[a.Name] = silent[a.Name] || len(a.Expected) == 0
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !silent[a.Alert] {
			t.Errorf("%s: tested to fire: %v, to stay silent: %v", a.Alert, fires[a.Alert], silent[a.Alert])
		}
	}
}

// TestAlertsSayWhatToDo holds each alert's labels and annotations, and its paragraph in the runbook.
func TestAlertsSayWhatToDo(t *testing.T) {
	book := runbook(t)
	seen := map[string]bool{}
	for _, a := range alerts(t) {
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", a.Alert, s)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s has no summary or no description", a.Alert)
		}
		_, anchor, _ := strings.Cut(a.Annotations["runbook_url"], "/docs/RUNBOOK.md#")
		if anchor != strings.ToLower(a.Alert) || !book.has(anchor) {
			t.Errorf("%s: its runbook_url is %q, and docs/RUNBOOK.md has no heading for it", a.Alert, a.Annotations["runbook_url"])
		}
		seen[anchor] = true
	}
	for anchor := range book.sections {
		if strings.HasPrefix(anchor, "binlogstreamer") && !seen[anchor] {
			t.Errorf("docs/RUNBOOK.md tells of an alert that does not exist: %s", anchor)
		}
	}
}

var ours = regexp.MustCompile(`\bbinlogstreamer_[a-z_]+`)

// TestRulesUseDocumentedMetrics finds names in the rules that no metric has.
func TestRulesUseDocumentedMetrics(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "METRICS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readRules(t) {
		for _, name := range ours.FindAllString(recorded.ReplaceAllString(r.Expr, ""), -1) {
			base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_count"), "_sum"), "_bucket")
			if !strings.Contains(string(doc), "`"+base+"`") && !strings.Contains(string(doc), "`"+base+"{") {
				t.Errorf("%s uses %s, which docs/METRICS.md does not have", r.Alert+r.Record, name)
			}
		}
	}
}

// recorded is the name of a series that a rule records.
var recorded = regexp.MustCompile(`[a-z_]+:binlogstreamer_[a-z_]+:[a-z0-9_]+`)
