package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/faultproxy"
	"github.com/binlogstreamer/binlogstreamer/internal/localstream"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// chaosTime is how long the faults of a schedule last.
const chaosTime = 5 * time.Second

// processes says how many there are of each half. Where nothing keeps them apart there are more of those that are disturbed,
// and one of the others, which would only get in its own way.
func (c *chaos) processes() (replicates, delivers int) {
	replicates, delivers = 2, 2
	switch {
	case !c.shape.unlocked && c.shape.checkpoints == "dynamodb": // they share the shards
		delivers = 3
	case c.shape.unlocked:
		delivers = 3
		switch c.focus {
		case "replicate":
			delivers = 1
		case "deliver":
			replicates = 1
		}
	}
	return replicates, delivers
}

// disturbed are the processes that are killed and stopped.
func (c *chaos) disturbed() (some []*actor) {
	for _, a := range c.actors {
		if c.focus == "" || a.args[0] == c.focus {
			some = append(some, a)
		}
	}
	return some
}

// quiet is for what runs inside the test.
var quiet = slog.New(slog.DiscardHandler)

// The faults of a schedule, before they are scaled.
var (
	streamFaults = faultproxy.Faults{
		"PutRecords": {
			faultproxy.Partial: 0.3, faultproxy.LoseAnswer: 0.05, faultproxy.HoldBack: 0.04, faultproxy.CutAnswer: 0.03, faultproxy.CutRequest: 0.03,
			faultproxy.Fail: 0.03, faultproxy.FailStored: 0.03, faultproxy.Throttle: 0.003, faultproxy.Delay: 0.1, faultproxy.LateAnswer: 0.05,
		},
		"GetRecords": {
			faultproxy.Throttle: 0.03, faultproxy.ExpireIterator: 0.05, faultproxy.Fail: 0.04, faultproxy.CutRequest: 0.02, faultproxy.CutAnswer: 0.04,
			faultproxy.LoseAnswer: 0.02, faultproxy.Delay: 0.05, faultproxy.LateAnswer: 0.05,
		},
		"*": {faultproxy.Throttle: 0.05, faultproxy.Fail: 0.05, faultproxy.CutAnswer: 0.05, faultproxy.LoseAnswer: 0.03, faultproxy.Delay: 0.1},
	}
	storeFaults = faultproxy.Faults{
		"PUT": {
			faultproxy.LoseAnswer: 0.06, faultproxy.HoldBack: 0.08, faultproxy.CutAnswer: 0.04, faultproxy.CutRequest: 0.05, faultproxy.Fail: 0.05,
			faultproxy.FailStored: 0.06, faultproxy.Throttle: 0.03, faultproxy.Conflict: 0.05, faultproxy.Twice: 0.05, faultproxy.Delay: 0.25, faultproxy.LateAnswer: 0.15,
		},
		"*": {faultproxy.Throttle: 0.05, faultproxy.Fail: 0.05, faultproxy.CutRequest: 0.02, faultproxy.CutAnswer: 0.03, faultproxy.LoseAnswer: 0.03, faultproxy.Delay: 0.1},
	}
	tableFaults = faultproxy.Faults{
		"DescribeTable": {faultproxy.Delay: 0.1},
		"*": {
			faultproxy.Throttle: 0.02, faultproxy.Fail: 0.03, faultproxy.FailStored: 0.03, faultproxy.CutRequest: 0.02, faultproxy.CutAnswer: 0.02,
			faultproxy.LoseAnswer: 0.02, faultproxy.HoldBack: 0.02, faultproxy.Delay: 0.1, faultproxy.LateAnswer: 0.05,
		},
	}
)

// chaos is one schedule.
type chaos struct {
	*pipelineUnderTest
	*rand.Rand

	t       *testing.T
	seed    uint64
	shape   shape
	db      *testservers.MySQLServer
	direct  *kinesis.Client // past the proxy
	proxies map[string]*faultproxy.Proxy
	faults  map[string]faultproxy.Faults
	actors  []*actor
	work    *workload
	events  map[string]int
	records int
	wrong   bool // what is stored, and nothing else

	streamName string
	interval   int    // of objects, in seconds
	focus      string // the half that is disturbed; "": both
	resharded  time.Time
	bodyBucket string // of spilled records, where these are in a bucket
}

// actor is a process of a schedule.
type actor struct {
	*daemon

	c       *chaos
	name    string
	due     time.Time // when it is started; zero: it runs, or is stopped
	stopped time.Time // until when; zero: it is not stopped
}

func newChaos(t *testing.T, number uint64, sh shape, servers *laneServers) *chaos {
	t.Helper()
	dir, err := os.MkdirTemp("", "bls-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if keep := os.Getenv("BINLOGSTREAMER_KEEP"); keep == "all" || keep != "" && t.Failed() {
			t.Logf("files are kept in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	c := &chaos{
		t: t, seed: number, shape: sh, Rand: rand.New(rand.NewPCG(number, 21)), events: map[string]int{},
		pipelineUnderTest: &pipelineUnderTest{dir: dir}, proxies: map[string]*faultproxy.Proxy{}, faults: map[string]faultproxy.Faults{},
	}
	c.build = sh.program()
	if _, err := c.build(); err != nil { // before anything waits for it
		t.Fatal(err)
	}
	c.db = servers.database()
	c.db.MustExec(t, "DROP DATABASE IF EXISTS "+schemaName)
	seed(t, c.db.Addr(), sh.rows)
	c.interval = c.IntN(3) / 2 // mostly 0
	c.focus = []string{"", "replicate", "deliver"}[c.IntN(3)]
	if of := mutation().focus; of != "" {
		c.focus = of
	}
	c.startStream(servers)
	c.startStore(servers)
	writers, readers := c.processes()
	for i := range writers {
		c.addActor("replicate", i)
	}
	for i := range readers {
		c.addActor("deliver", i)
	}
	return c
}

// program is how the program is built for schedules of a shape.
func (s shape) program() func() (string, error) {
	name, edits := "hasty", append([]edit(nil), hasty...)
	if s.small {
		name, edits = name+"-small", append(edits, smallWindow...)
	}
	if s.spilled {
		name, edits = name+"-records", append(edits, smallRecords...)
	}
	if s.unlocked {
		name, edits = name+"-unlocked", append(edits, unlocked...)
	}
	if mutant != "" {
		name, edits = name+"-mutant", append(edits, mutation().edits...)
	}
	return variant(name, os.Getenv("BINLOGSTREAMER_RACE") != "", edits)
}

// proxy puts a proxy in front of a server and gives its endpoint.
func (c *chaos) proxy(name string, service faultproxy.Service, target string, faults faultproxy.Faults) string {
	scale := 0.3 + 1.2*c.Float64()
	if name == "stream" && c.focus == "deliver" || name == "store" && c.focus == "replicate" {
		scale /= 5
	}
	c.faults[name] = faults.Scaled(scale)
	cfg := faultproxy.Config{Service: service, Target: target, Seed: c.Uint64(), Faults: c.faults[name], Throttled: 0.02}
	if name == "store" { // so that writers of one object meet
		cfg.Longest = 500 * time.Millisecond
	}
	c.proxies[name] = faultproxy.New(c.t, cfg)
	return c.proxies[name].Endpoint()
}

func (c *chaos) name() string { return fmt.Sprintf("chaos-%d-%d", c.seed, time.Now().UnixNano()%1e9) }

func (c *chaos) startStream(servers *laneServers) {
	var target string
	if c.shape.stream == "embedded" {
		node, err := localstream.New(localstream.Config{Dir: filepath.Join(c.dir, "stream"), Stream: streamName, Shards: shards, Logger: quiet})
		if err != nil {
			c.t.Fatal(err)
		}
		run(c.t, node.Run)
		addr, err := node.Address(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		target = "http://" + addr
		c.streamName = streamName
	} else {
		server := servers.server(c.shape.stream)
		c.streamName = c.name()
		server.CreateStream(c.t, c.streamName, shards)
		target = server.Endpoint
	}
	c.direct = (&testservers.AWSServer{Endpoint: target}).Kinesis()
	c.streamEndpoint = c.proxy("stream", faultproxy.Kinesis, target, streamFaults)
}

func (c *chaos) startStore(servers *laneServers) {
	c.destination = "file://" + filepath.Join(c.dir, "objects")
	if c.shape.destination == "s3" {
		c.store = servers.server("versitygw")
		c.bucket = c.name()
		c.store.CreateBucket(c.t, c.bucket)
		c.destination = "s3://" + c.bucket
		c.s3Endpoint = c.proxy("store", faultproxy.S3, c.store.Endpoint, storeFaults)
	}
	switch c.shape.checkpoints {
	case "s3":
		server := servers.server("versitygw")
		bucket := c.name()
		server.CreateBucket(c.t, bucket)
		endpoint := c.proxy("checkpoints", faultproxy.S3, server.Endpoint, storeFaults.Scaled(0.2))
		c.checkpoints = fmt.Sprintf("{store: \"s3://%s/state\", region: %s, endpoint: %q, use_path_style: true, failover_time: 2s}", bucket, testservers.Region, endpoint)
		c.openStore = func() (checkpoint.Store, error) {
			return checkpoint.NewS3(checkpoint.S3Config{API: server.S3(), Bucket: bucket, Prefix: "state", Compatible: true}), nil
		}
	case "dynamodb":
		server := servers.server("dynalite")
		table := &dynamo.Table{API: server.DynamoDB(), Name: c.name()}
		endpoint := c.proxy("checkpoints", faultproxy.DynamoDB, server.Endpoint, tableFaults.Scaled(0.4))
		c.checkpoints = fmt.Sprintf("{store: \"dynamodb://%s\", region: %s, endpoint: %q, failover_time: 2s}", table.Name, testservers.Region, endpoint)
		c.openStore = func() (checkpoint.Store, error) { return checkpoint.NewDynamoDB(table, 0), nil }
	default:
		c.checkpoints = fmt.Sprintf("{store: %q}", "file://"+filepath.Join(c.dir, "state"))
	}
}

// addActor adds a process, which is started when the schedule begins.
func (c *chaos) addActor(half string, i int) {
	name := fmt.Sprintf("%s-%d", half, i)
	dir := filepath.Join(c.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	config := writeConfig(c.t, dir, c.chaosConfig(5701+i))
	if i == 0 {
		c.config = config
	}
	d := newDaemon(c.t, name, half, "-c", config)
	d.build, d.log = c.build, filepath.Join(dir, "log")
	c.actors = append(c.actors, &actor{daemon: d, c: c, name: name, due: time.Now()})
}

// chaosConfig is the configuration of a schedule. Processes that work at once are told apart by the source by their ids.
func (c *chaos) chaosConfig(serverID int) string {
	if !c.shape.unlocked {
		serverID = 5701
	}
	text := fmt.Sprintf(`
name: tickets
source: {host: 127.0.0.1, port: %d, user: root, password: "", tls: disabled, server_id: %d}
replication:
  migration_type: full-load-and-cdc
  table_mappings:
    rules:
      - {rule-type: selection, rule-id: 1, rule-name: all, rule-action: include, object-locator: {schema-name: %s, table-name: "%%"}}
checkpoint: %s
http: {listen: "127.0.0.1:0"}
log: {level: info, format: text}
stream:
  name: %s
  region: %s
  endpoint: %q
  aggregation: %t
`, c.db.Port, serverID, schemaName, c.checkpoints, c.streamName, testservers.Region, c.streamEndpoint, c.shape.aggregated)
	if c.shape.keys != "" {
		text += "  partition_key_type: " + c.shape.keys + "\n"
	}
	if c.shape.spilled {
		text += fmt.Sprintf("  oversized_records: spill\n  oversized_destination: %q\n", c.spillDestination())
	}
	text += fmt.Sprintf(`
delivery:
  destination: %s
  region: %s
  endpoint: %q
  use_path_style: true
  buffering_hints: {interval_in_seconds: %d, size_in_mbs: 1}
`, c.destination, testservers.Region, c.s3Endpoint, c.interval)
	if c.shape.partitioned {
		text += "  prefix: \"table=!{partitionKeyFromQuery:table}/\"\n  error_output_prefix: \"errors/!{firehose:error-output-type}/\"\n  dynamic_partitioning: {enabled: true}\n"
	}
	return text
}

// spillDestination is where bodies go. It is beside the objects, so that listing these does not meet them.
func (c *chaos) spillDestination() string {
	if c.store == nil {
		return "file://" + filepath.Join(c.dir, "bodies")
	}
	if c.bodyBucket == "" {
		c.bodyBucket = c.bucket + "-b"
		c.store.CreateBucket(c.t, c.bodyBucket)
	}
	return "s3://" + c.bodyBucket + "/bodies/"
}

// run runs the schedule and verifies it.
func (c *chaos) run() {
	for _, a := range c.actors {
		a.tend()
	}
	c.work = startWorkload(c.db.Addr(), c.shape.rows, c.shape.pause)
	defer c.work.end()
	fat := startFatWriter(c.db.Addr())
	defer fat()
	c.storm()
	for _, p := range c.proxies {
		p.LetThrough()
	}
	for _, a := range c.actors {
		a.stopped, a.due = time.Time{}, earlier(a.due, time.Now())
		a.resume()
	}
	c.work.end()
	fat()
	if c.work.changes.Load() == 0 {
		c.t.Fatal("the workload wrote nothing")
	}
	if c.shape.unlocked { // the last ones would go on taking the work away from each other
		for i, a := range c.actors {
			if i > 0 && a.args[0] == c.actors[i-1].args[0] {
				a.end()
			}
		}
	}
	var living []interface{ alive() }
	for _, a := range c.actors {
		if a.cmd != nil || !a.due.IsZero() {
			living = append(living, a)
		}
	}
	c.awaitReplicated(c.t, c.db, living...)
	for _, half := range []string{"replicate", "deliver"} {
		for _, a := range c.actors {
			if a.args[0] == half {
				a.finish()
			}
		}
		for name, p := range c.proxies {
			if err := p.Settle(c.t.Context()); err != nil {
				c.t.Fatalf("the proxy of %s: %v", name, err)
			}
		}
	}
	if c.shape.stream == "kinesalite" {
		time.Sleep(time.Until(c.resharded.Add(2 * time.Second))) // it shows nobody what was put into a new shard before that is a second old
	}
	c.drainAgain()
	c.verify()
}

// drainAgain delivers what is left, with as many processes as it takes: one may lose its short lease on a busy machine.
func (c *chaos) drainAgain() {
	for range 5 {
		d := newDaemon(c.t, "drain", "deliver", "--once", "-c", c.config)
		d.build = c.build
		d.start()
		switch code := d.wait(2 * time.Minute); code {
		case 0:
			return
		case 75:
			c.events["drained again"]++
		default:
			c.t.Fatalf("deliver --once: exit code %d\n%s", code, tail(d.log, 6000))
		}
	}
	c.t.Fatal("deliver --once does not get through")
}

// storm is the time of the faults.
func (c *chaos) storm() {
	reshard := &faultproxy.Resharder{API: c.direct, Stream: c.streamName, Most: 6}
	calm := map[string]time.Time{} // when the outage of a server ends
	next := time.Now().Add(300 * time.Millisecond)
	for end := time.Now().Add(chaosTime); time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // random moments are the point; there is nothing to wait for
		for _, a := range c.actors {
			a.tend()
		}
		for name, until := range calm {
			if time.Now().After(until) {
				c.proxies[name].Set(c.faults[name])
				delete(calm, name)
			}
		}
		if time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(time.Duration(100+c.IntN(900)) * time.Millisecond)
		disturbed := c.disturbed()
		a := disturbed[c.IntN(len(disturbed))]
		span := time.Duration(c.IntN(1000)) * time.Millisecond
		switch n := c.IntN(12); {
		case n < 5 && a.cmd != nil:
			a.killed()
			a.due = time.Now().Add(span / 2)
			c.events["killed"]++
		case n < 8 && a.cmd != nil && a.stopped.IsZero():
			a.suspend(200*time.Millisecond + 3*span)
			c.events["stopped and continued"]++
		case n < 10:
			what, err := reshard.Reshard(c.t.Context(), c.Rand)
			if err != nil {
				c.t.Fatal(err)
			}
			if what != "" {
				c.events["shards "+what]++
				c.resharded = time.Now()
			}
		default:
			name := c.away()
			if name != "" && calm[name].IsZero() {
				c.proxies[name].Set(faultproxy.Outage)
				calm[name] = time.Now().Add(span)
				c.events["outages"]++
			}
		}
	}
}

// away chooses a server that is away for a while; "" where there is none that may be.
func (c *chaos) away() string {
	var names []string
	for _, name := range []string{"stream", "store", "checkpoints"} {
		if c.proxies[name] != nil && (name != "stream" || c.focus != "deliver") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[c.IntN(len(names))]
}

func earlier(a, b time.Time) time.Time {
	if !a.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// tend starts the process if it is due, continues it if it was stopped for long enough, and sees to one that has ended by
// itself: it may, if it says that a new one helps.
func (a *actor) tend() {
	if a.cmd != nil && !a.stopped.IsZero() && time.Now().After(a.stopped) {
		a.stopped = time.Time{}
		a.resume()
	}
	if a.cmd != nil {
		select {
		case err := <-a.done:
			a.cmd = nil
			a.ended(err)
			a.due = time.Now().Add(200 * time.Millisecond)
		default:
		}
	}
	if a.cmd == nil && !a.due.IsZero() && time.Now().After(a.due) {
		a.due = time.Time{}
		a.start()
		a.c.events["started"]++
	}
}

// ended judges the end of a process that nobody ended.
func (a *actor) ended(err error) {
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	a.c.events[fmt.Sprintf("ended with code %d", code)]++
	if code != 75 {
		a.c.t.Errorf("%s ended by itself: %v\n%s", a.name, err, tail(a.log, 3000))
	}
}

// alive implements what awaitReplicated asks of a process: it is started anew when it ends as it may.
func (a *actor) alive() { a.tend() }

func (a *actor) killed() {
	_ = a.cmd.Process.Kill()
	<-a.done
	a.cmd, a.stopped = nil, time.Time{}
}

// end ends the process for good.
func (a *actor) end() {
	if a.cmd != nil {
		a.killed()
	}
	a.due = time.Time{}
}

// finish ends the process as an operator does. One that has just taken over may have to leave what another one began.
func (a *actor) finish() {
	a.tend()
	a.due = time.Time{}
	if a.cmd == nil {
		return
	}
	code := a.terminate()
	if code == 75 && strings.Contains(tail(a.log, 1000), "another process had begun to store them") {
		a.c.events["left what another began"]++
		return
	}
	a.wantDone(code)
}

func (a *actor) suspend(d time.Duration) {
	_ = a.cmd.Process.Signal(syscall.SIGSTOP)
	a.stopped = time.Now().Add(d)
}

func (a *actor) resume() {
	if a.cmd != nil {
		_ = a.cmd.Process.Signal(syscall.SIGCONT)
	}
}

// startFatWriter changes some rows, of no other writer, whose records are large. The function that it returns ends it.
func startFatWriter(addr string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		r := rand.New(rand.NewPCG(11, 7))
		c := &conn{addr: addr}
		for version := uint64(1); ctx.Err() == nil; version++ {
			id := 10_000_000 + r.IntN(8)
			err := c.exec(fmt.Sprintf("REPLACE INTO %s.ticket VALUES %s", schemaName, values("ticket", id, 2*version, r)))
			if err == nil {
				_ = c.exec(fmt.Sprintf("UPDATE %s.ticket SET version = %d, details = REPEAT('y', %d) WHERE id = %d", schemaName, 2*version+1, r.IntN(6000), id))
			}
			_ = backoff.Sleep(ctx, 60*time.Millisecond)
		}
		if c.c != nil {
			c.c.Close()
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// verify is what has to hold after a schedule.
func (c *chaos) verify() {
	c.t.Helper()
	t := c.t
	if !t.Failed() {
		defer func() { c.wrong = t.Failed() }()
	}
	all := shardsInOrder(t, t.Context(), c.direct, c.streamName)
	raw := readStream(t, c.direct, c.streamName, &c.decoded)
	for i, r := range raw {
		raw[i] = c.whole(r)
	}
	kept := deduplicated(raw, parentsOf(all))
	objects := c.objectRecords(t)
	c.records = len(raw)
	t.Logf("%d changes committed; stream: %d records in %d shards, %d without what was sent twice; objects: %d records in %d objects; %v",
		c.work.changes.Load(), len(raw), len(all), len(kept), len(objects), c.objects, c.events)
	source := sourceRows(t, c.db.Addr())
	sameRecords(t, "objects against the stream without what was sent twice", objects, kept)
	nothingTwice(t, objects)
	allNumbered(t, objects)
	noKeyBackwards(t, "objects", objects)
	equalsTables(t, "replay of the stream", source, replay(kept))
	equalsTables(t, "replay of the objects", source, replay(objects))
}

// whole gives a record that refers to its body in full, as it is in the objects.
func (c *chaos) whole(r rec) rec {
	if !strings.Contains(r.Raw, `"oversized-record"`) {
		return r
	}
	var doc struct {
		Metadata struct {
			Oversized struct {
				Location string
				SHA256   string
				Bytes    int
			} `json:"oversized-record"`
		}
	}
	if err := json.Unmarshal([]byte(r.Raw), &doc); err != nil {
		c.t.Fatal(err)
	}
	of := doc.Metadata.Oversized
	body := c.body(of.Location)
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != of.SHA256 || len(body) != of.Bytes {
		c.t.Fatalf("the body of a record is another one than it says: %.400s", r.Raw)
	}
	c.events["spilled records"]++
	return c.decoded.parse(c.t, r.Shard, body)
}

func (c *chaos) body(location string) []byte {
	c.t.Helper()
	if path, ok := strings.CutPrefix(location, "file://"); ok {
		b, err := os.ReadFile(path)
		if err != nil {
			c.t.Fatal(err)
		}
		return bytes.Clone(b)
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(location, "s3://"), "/")
	out, err := c.store.S3().GetObject(c.t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		c.t.Fatalf("the body at %s: %v", location, err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}
