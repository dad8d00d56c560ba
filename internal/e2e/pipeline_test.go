package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// scenario is one combination of real servers.
type scenario struct {
	name        string
	database    string // mysql or mariadb
	stream      string // embedded, kinesalite or kinesis-local
	destination string // file or s3
	dedupe      bool
	rows        int  // seeded rows of both tables together
	kills       int  // of each half
	plain       bool // the program without the race detector
	zombies     bool // a process that was taken for dead goes on
}

// TestPipeline runs the whole pipeline on each combination of servers while three writers write, and kills both halves
// again and again. Afterwards nothing may be missing, doubled or out of order anywhere. The race detector, which makes the
// program many times slower, is in it for every pair of servers once.
func TestPipeline(t *testing.T) {
	var all []scenario
	for i, db := range []string{"mysql", "mariadb"} {
		for j, stream := range []string{"embedded", "kinesalite"} {
			for k, dest := range []string{"file", "s3"} {
				all = append(all, scenario{
					name: db + "-" + stream + "-" + dest, database: db, stream: stream, destination: dest,
					dedupe: true, rows: 50_000, kills: 10, plain: (i+j+k)%2 == 1,
				})
			}
		}
	}
	// kinesis-local is the closest to AWS and slow: few rows, and DMS's bytes and nothing else.
	all = append(all, scenario{name: "mysql-kinesislocal-file-plain", database: "mysql", stream: "kinesis-local", destination: "file", rows: 600, kills: 2})
	for _, sc := range all {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			runScenario(t, sc)
		})
	}
}

func runScenario(t *testing.T, sc scenario) {
	db := startDatabase(t, sc.database)
	seed(t, db.Addr(), sc.rows)
	p := newPipeline(t, sc, db)

	replicate, deliver := newDaemon(t, "replicate", "replicate", "-c", p.config), newDaemon(t, "deliver", "deliver", "-c", p.config)
	replicate.build, deliver.build = p.build, p.build
	replicate.start()
	deliver.start()
	w := startWorkload(db.Addr(), sc.rows, 5*time.Millisecond)
	defer w.end()
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range sc.kills {
		for _, d := range []*daemon{replicate, deliver} {
			time.Sleep(time.Duration(100+r.IntN(1500)) * time.Millisecond) // a random moment is the point, there is nothing to wait for
			d.kill()
			d.start()
		}
	}
	w.end()
	t.Logf("workload: %d changes committed, %d transactions broken off", w.changes.Load(), w.errs.Load())
	if w.changes.Load() == 0 {
		t.Fatal("the workload wrote nothing")
	}
	p.awaitReplicated(t, db, replicate, deliver)
	replicate.stop()
	deliver.stop()
	p.drain(t)
	p.verify(t, db.Addr(), sc)
}

// verify is what has to hold after every scenario.
func (p *pipelineUnderTest) verify(t *testing.T, addr string, sc scenario) {
	t.Helper()
	stream := p.streamRecords(t)
	objects := p.objectRecords(t)
	loads := 0
	for _, r := range stream {
		if r.Meta.Operation == "load" {
			loads++
		}
	}
	t.Logf("stream: %d records, %d of them load; objects: %d records in %d objects", len(stream), loads, len(objects), p.objects)
	if loads == 0 {
		t.Error("no load records in the stream")
	}
	source := sourceRows(t, addr)
	counts := stream
	if sc.zombies { // what such a process had under way may come behind its successor's records, under its lower term
		counts = deduplicated(stream, nil)
	}
	equalsTables(t, "replay of the stream", source, replay(counts))
	equalsTables(t, "replay of the objects", source, replay(objects))
	if sc.dedupe {
		sameRecords(t, "objects against the stream without what was sent twice", objects, deduplicated(stream, nil))
		nothingTwice(t, objects)
		allNumbered(t, objects)
		noKeyBackwards(t, "objects", objects)
	} else {
		sameRecords(t, "objects against the stream", objects, stream)
	}
}

// config writes a pipeline.yaml into a folder of the test's own.
func writeConfig(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "pipeline.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// yaml is the configuration of a scenario.
func (p *pipelineUnderTest) yaml(sc scenario, host string, port int) string {
	embedded := ""
	if p.streamEndpoint == "embedded" {
		embedded = fmt.Sprintf("  embedded_directory: %s\n  embedded_shards: %d\n", p.embeddedDir, shards)
	}
	checkpoints := p.checkpoints
	if checkpoints == "" {
		checkpoints = fmt.Sprintf(`{store: "file://%s"}`, filepath.Join(p.dir, "state"))
	}
	return fmt.Sprintf(`
name: tickets
source: {host: %s, port: %d, user: root, password: "", tls: disabled}
replication:
  migration_type: full-load-and-cdc
  table_mappings:
    rules:
      - {rule-type: selection, rule-id: 1, rule-name: all, rule-action: include, object-locator: {schema-name: %s, table-name: "%%"}}
stream:
  name: tickets
  region: us-east-1
  endpoint: %q
%s  include_transaction_details: %t
delivery:
  destination: %s
  region: us-east-1
  endpoint: %q
  use_path_style: true
  buffering_hints: {interval_in_seconds: 1, size_in_mbs: 1}
  deduplicate: %t
checkpoint: %s
http: {listen: "127.0.0.1:0"}
log: {level: info, format: text}
`, host, port, schemaName, p.streamEndpoint, embedded, sc.dedupe, p.destination, p.s3Endpoint, sc.dedupe, checkpoints)
}
