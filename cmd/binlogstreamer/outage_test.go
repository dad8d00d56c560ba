package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// cutOff is something that the pipeline depends on, behind a relay that can take it away.
type cutOff struct {
	*testservers.Relay

	target string
}

func behindRelay(t *testing.T, target string) *cutOff {
	return &cutOff{testservers.NewRelay(t, target), target}
}

func (c *cutOff) endpoint() string { return "http://" + c.Addr() }

// relayed is a pipeline whose source, stream, destination and store of checkpoints can be taken away.
type relayed struct {
	livePipeline
	server                             *testservers.MySQLServer
	source, stream, destination, store *cutOff
	log                                *output
}

func startRelayed(t *testing.T) *relayed {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", testservers.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testservers.SecretKey)
	kinesis, s3, dynamo := testservers.Kinesalite(t), testservers.VersityGW(t), testservers.Dynalite(t)
	kinesis.CreateStream(t, "tickets", 2)
	s3.CreateBucket(t, "tickets")
	plain := func(endpoint string) string { return strings.TrimPrefix(endpoint, "http://") }
	r := &relayed{server: testservers.MariaDB(t), log: new(output)}
	r.source, r.stream = behindRelay(t, r.server.Addr()), behindRelay(t, plain(kinesis.Endpoint))
	r.destination, r.store = behindRelay(t, plain(s3.Endpoint)), behindRelay(t, plain(dynamo.Endpoint))
	r.server.MustExec(t, "CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(20))")
	file := rewrite(t, writeConfig(t, `http: {listen: "127.0.0.1:0"}`), map[string]string{
		"source:":   fmt.Sprintf(`source: {host: 127.0.0.1, port: %d, user: root, password: "", tls: disabled}`, r.source.Port16()),
		"stream:":   fmt.Sprintf(`stream: {name: tickets, region: %s, endpoint: "%s"}`, testservers.Region, r.stream.endpoint()),
		"delivery:": fmt.Sprintf(`delivery: {destination: "s3://tickets", region: %s, endpoint: "%s", use_path_style: true, buffering_hints: {interval_in_seconds: 1}}`, testservers.Region, r.destination.endpoint()),
		// A store that is away for longer than this costs the lock, and the work begins anew.
		"checkpoint:": fmt.Sprintf(`checkpoint: {store: "dynamodb://tickets", region: %s, endpoint: "%s", failover_time: 60s}`, testservers.Region, r.store.endpoint()),
	})
	cfg, err := load(file, config.Both)
	if err != nil {
		t.Fatal(err)
	}
	r.registry = newRegistry(cfg)
	r.run(t, cfg, r.log)
	r.write(t, r.server)
	r.await(t, "objects", func(m map[string]float64) bool { return m["binlogstreamer_objects_total"] >= 2 })
	return r
}

// lines gives what was logged behind an offset, and the offset behind that.
func (o *output) lines(t *testing.T, from int) (lines []map[string]any, end int) {
	t.Helper()
	text := o.String()
	s := bufio.NewScanner(strings.NewReader(text[from:]))
	for s.Scan() {
		var line map[string]any
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, s.Text())
		}
		lines = append(lines, line)
	}
	return lines, len(text)
}

// outages gives for how long each thing has been failing, by half and dependency.
func (l *livePipeline) outages(t *testing.T) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, f := range l.gather(t) {
		if f.GetName() != "binlogstreamer_outage_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, pair := range m.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			out[labels["half"]+" "+labels["dependency"]] = m.GetGauge().GetValue()
		}
	}
	return out
}

// TestOutagesAreToldInTwoLines takes everything away that a pipeline depends on. Each of these outages is one line when it
// begins and one when it is over, and there is hardly anything else in the log. (internal/outage tests in fake time what
// longer ones say.)
func TestOutagesAreToldInTwoLines(t *testing.T) {
	r := startRelayed(t)
	_, begin := r.log.lines(t, 0)
	failing := func(atLeast float64, what ...string) {
		t.Helper()
		r.await(t, "outages of "+strings.Join(what, ", "), func(map[string]float64) bool {
			lasts := r.outages(t)
			for _, w := range what {
				if lasts[w] < atLeast {
					return false
				}
			}
			return true
		})
	}
	const least = 4 // seconds, which is a dozen of attempts at some things
	r.destination.Point("")
	failing(.001, "deliver destination")
	r.stream.Point("")
	failing(.001, "deliver stream", "replicate stream")
	r.store.Point("")
	r.source.Point("")
	failing(least, "deliver destination", "deliver stream", "deliver checkpoint_store", "replicate stream", "replicate source", "replicate checkpoint_store")
	for _, c := range []*cutOff{r.destination, r.stream, r.store, r.source} {
		c.Point(c.target)
	}
	r.await(t, "recoveries", func(map[string]float64) bool {
		for _, lasts := range r.outages(t) {
			if lasts > 0 {
				return false
			}
		}
		return true
	})
	lines, _ := r.log.lines(t, begin)
	fails, works := map[string]int{}, map[string]int{}
	for _, line := range lines {
		text, _ := line["msg"].(string)
		if what, is := strings.CutSuffix(text, " fails; trying again until it works"); is && line["level"] == "WARN" && line["error"] != "" {
			fails[what]++
		}
		if what, is := strings.CutSuffix(text, " works again"); is {
			works[what]++
			if after, ok := line["after"].(float64); !ok || time.Duration(after) < least*time.Second || time.Duration(after) > time.Minute {
				t.Errorf("%s: after %v", text, line["after"])
			}
		}
	}
	for what, n := range map[string]int{
		"source 127.0.0.1": 1, "writing to stream tickets": 1, "reading stream tickets": 1, "storing in s3://tickets": 1,
		"checkpoint store": 2, // of replicate and of deliver
	} {
		if fails[what] != n || works[what] != n {
			t.Errorf("%q is told %d times to fail and %d times to work again, want %d", what, fails[what], works[what], n)
		}
	}
	if len(lines) > 14 {
		t.Errorf("%d lines in all", len(lines))
	}
	if t.Failed() {
		for _, line := range lines {
			t.Log(line)
		}
	}
}
