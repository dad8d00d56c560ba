package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// livePipeline is a running pipeline that uses as many parts as one can: both halves, leases in DynamoDB, the
// embedded stream, oversized records stored apart. Rows are written to its source as long as it runs.
type livePipeline struct {
	registry *prometheus.Registry
	addr     string // of its console
}

// startLive starts the pipeline and waits until every part of it has done something.
func startLive(t *testing.T) *livePipeline {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", testservers.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testservers.SecretKey)
	table, server := testservers.Dynalite(t), testservers.MariaDB(t)
	if err := server.Exec(t.Context(), "CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(20))",
		"CREATE TABLE a.large (id INT PRIMARY KEY, v LONGTEXT)", "USE a", "INSERT INTO a.t SELECT seq, 'x' FROM seq_1_to_2000"); err != nil {
		t.Fatal(err)
	}
	file, dir := sourceConfigFile(t, server, "")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	full := strings.NewReplacer(
		`http: {listen: ""}`, `http: {listen: "127.0.0.1:0"}`,
		"endpoint: embedded}", fmt.Sprintf("endpoint: embedded, embedded_directory: %s/stream, oversized_records: spill}", dir),
		fmt.Sprintf(`{store: "file://%s/state"}`, dir), fmt.Sprintf(`{store: "dynamodb://tickets", region: %s, endpoint: "%s"}`, testservers.Region, table.Endpoint),
	).Replace(string(text))
	if err := os.WriteFile(file, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := load(file, config.Both)
	if err != nil {
		t.Fatal(err)
	}
	live := &livePipeline{registry: newRegistry(cfg)}
	newReloadMetrics(live.registry)
	live.run(t, cfg, io.Discard)
	live.await(t, "rows of the full load", func(m map[string]float64) bool { return m["binlogstreamer_full_load_rows_total"] == 2000 })
	live.write(t, server)
	server.MustExec(t, "INSERT INTO a.large VALUES (1, REPEAT('x', 11000000))") // more than the stream takes
	live.await(t, "objects of changes", func(m map[string]float64) bool {
		return m["binlogstreamer_objects_total"] >= 3 && m["binlogstreamer_changes_total"] > 10 &&
			m["binlogstreamer_oversized_records_total"] > 0 && m["binlogstreamer_leases_held"] > 0
	})
	return live
}

// run runs the pipeline until the test ends.
func (l *livePipeline) run(t *testing.T, cfg *config.Pipeline, logs io.Writer) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended, listening := make(chan error, 1), make(chan string, 1)
	log := newLogger(logs, cfg.Log, new(slog.LevelVar), l.registry)
	go func() {
		ended <- serve(ctx, cfg, log, l.registry, false, func(addr string, _ func() *status.Report) { listening <- addr }, nil)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && ctx.Err() == nil {
			t.Errorf("the pipeline ended: %v", err)
		}
	})
	select {
	case l.addr = <-listening:
	case err := <-ended:
		ended <- err
		t.Fatalf("the pipeline ended: %v", err)
	}
}

// write changes rows until the test ends: one of each operation some times a second.
func (l *livePipeline) write(t *testing.T, server *testservers.MySQLServer) {
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			statements := []string{
				fmt.Sprintf("INSERT INTO a.t VALUES (%d, 'new')", 10_000+i),
				fmt.Sprintf("UPDATE a.t SET v = 'changed' WHERE id = %d", 10_000+i),
				fmt.Sprintf("DELETE FROM a.t WHERE id = %d", 1+i),
			}
			if err := server.Exec(ctx, statements...); err != nil && ctx.Err() == nil {
				t.Errorf("write to the source: %v", err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() {
		stop()
		group.Wait()
	})
}

// await waits until the sums of metrics are as they should.
func (l *livePipeline) await(t *testing.T, what string, enough func(map[string]float64) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		sums := map[string]float64{}
		for _, f := range l.gather(t) {
			for _, m := range f.GetMetric() {
				if !strings.HasPrefix(f.GetName(), "binlogstreamer_") {
					continue
				}
				sums[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		if enough(sums) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("there are no %s: %v", what, sums)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (l *livePipeline) gather(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	families, err := l.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// described is a metric as its collector describes it, also where there is nothing to collect yet.
type described struct {
	name, help string
	labels     []string
}

var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// describe lists our own metrics.
func (l *livePipeline) describe(t *testing.T) (all []described) {
	t.Helper()
	descs := make(chan *prometheus.Desc, 1000)
	l.registry.Describe(descs)
	close(descs)
	seen := map[string]bool{}
	for d := range descs {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("a description of another form: %s", d)
		}
		if seen[m[1]] || !strings.HasPrefix(m[1], "binlogstreamer_") {
			continue
		}
		seen[m[1]] = true
		help, err := strconv.Unquote(m[2])
		if err != nil {
			t.Fatal(err)
		}
		var labels []string
		for pair := range strings.SplitSeq(m[3], ",") {
			if name, _, ok := strings.Cut(pair, "="); ok {
				labels = append(labels, name)
			}
		}
		if m[4] != "" {
			labels = append(labels, strings.Split(m[4], ",")...)
		}
		all = append(all, described{m[1], help, labels})
	}
	slices.SortFunc(all, func(a, b described) int { return strings.Compare(a.name, b.name) })
	return all
}

// row is the metric's row in docs/METRICS.md.
func (d *described) row() string {
	name := d.name
	if len(d.labels) > 0 {
		name += "{" + strings.Join(d.labels, ",") + "}"
	}
	return fmt.Sprintf("| `%s` | %s |", name, d.help)
}

// fixed are the names and labels that dashboards outside of this project use.
var fixed = []string{
	"binlogstreamer_source_lag_seconds", "binlogstreamer_target_lag_seconds", "binlogstreamer_delivery_freshness_seconds",
	"binlogstreamer_changes_total{schema,table,operation}", "binlogstreamer_full_load_rows_total{schema,table}",
	"binlogstreamer_table_state{schema,table,state}", "binlogstreamer_stream_records_total", "binlogstreamer_stream_throttled_total{shard}",
	"binlogstreamer_objects_total", "binlogstreamer_object_bytes_total", "binlogstreamer_duplicates_dropped_total{reason}",
	"binlogstreamer_binlog_retention_seconds", "binlogstreamer_checkpoint_age_seconds",
}

// TestMetrics looks at a running pipeline: what is wrong with its metrics' names, units and help, whether each of them is
// documented, and each that is documented exists, and whether every query of the dashboard finds data in a Prometheus
// that collects them.
func TestMetrics(t *testing.T) {
	live := startLive(t)
	all := live.describe(t)
	if problems, err := promlint.NewWithMetricFamilies(live.gather(t)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	var rows []string
	for _, d := range all {
		rows = append(rows, d.row())
	}
	for _, name := range fixed {
		if !slices.ContainsFunc(rows, func(row string) bool { return strings.HasPrefix(row, "| `"+name+"` |") }) {
			t.Errorf("there is no metric %s", name)
		}
	}
	compareWithDocument(t, rows)
	queryDashboard(t, live)
}

func compareWithDocument(t *testing.T, rows []string) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "METRICS.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(doc), "\n")
	for _, row := range rows {
		if !slices.Contains(lines, row) {
			t.Errorf("docs/METRICS.md does not have this row:\n%s", row)
		}
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "| `binlogstreamer_") && !slices.Contains(rows, line) {
			t.Errorf("docs/METRICS.md has a row that the running pipeline has not:\n%s", line)
		}
	}
}
