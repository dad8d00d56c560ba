package e2e

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/faultproxy"
	"github.com/binlogstreamer/binlogstreamer/internal/localstream"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// neverLoads keeps a program from reading the first row of a full load.
var neverLoads = []edit{
	{"internal/pipeline/replicate.go", "return source.Connect(ctx, r.cfg.Source) },\n		Load:", "<-ctx.Done(); return nil, ctx.Err() },\n		Load:"},
}

// TestLoadBesideAZombie begins a full load while a former writer, which should be dead and cannot hear that it is, goes on
// sending changes. What the former writer sends is newer than the chunks that its successor has read, and reaches the
// stream first; the successor's own copies of those changes come behind the chunks. If the former writer's counted, the
// chunks would put older rows behind them, and the copies would be dropped as known.
func TestLoadBesideAZombie(t *testing.T) {
	t.Parallel()
	const rows, lanes = 900, 160
	db := testservers.MySQL(t)
	seed(t, db.Addr(), rows)
	c := &chaos{
		t: t, Rand: rand.New(rand.NewPCG(1, 2)), db: db, events: map[string]int{}, streamName: streamName, interval: 1, shape: shape{unlocked: true},
		pipelineUnderTest: &pipelineUnderTest{dir: t.TempDir()}, proxies: map[string]*faultproxy.Proxy{},
	}
	c.build = variant("unlocked", false, slices.Concat(unlocked, mutation().edits))
	node, err := localstream.New(localstream.Config{Dir: filepath.Join(c.dir, "stream"), Stream: streamName, Shards: lanes, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	run(t, node.Run)
	addr, err := node.Address(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	target := "http://" + addr
	c.direct = (&testservers.AWSServer{Endpoint: target}).Kinesis()
	server := testservers.Dynalite(t)
	table := &dynamo.Table{API: server.DynamoDB(), Name: "state"}
	c.openStore = func() (checkpoint.Store, error) { return checkpoint.NewDynamoDB(table, 0), nil }
	c.destination = "file://" + filepath.Join(c.dir, "objects")

	state := faultproxy.New(t, faultproxy.Config{Service: faultproxy.DynamoDB, Target: server.Endpoint})
	slow := faultproxy.New(t, faultproxy.Config{
		Service: faultproxy.Kinesis, Target: target, Longest: time.Second, Faults: faultproxy.Faults{"PutRecords": {faultproxy.Delay: 1}},
	})
	writer := func(name, stream, checkpoints string, id int) *daemon {
		c.streamEndpoint = stream
		c.checkpoints = fmt.Sprintf("{store: \"dynamodb://state\", region: %s, endpoint: %q}", testservers.Region, checkpoints)
		c.config = writeConfig(t, t.TempDir(), c.chaosConfig(id))
		return newDaemon(t, name, "replicate", "-c", c.config)
	}
	former := writer("former", target, state.Endpoint(), 5701)
	former.build = variant("never-loads", false, slices.Concat(unlocked, neverLoads)) // with a lease of ten seconds, so it goes on for that long
	for _, build := range []func() (string, error){former.build, c.build} {           // before the moments that matter
		if _, err := build(); err != nil {
			t.Fatal(err)
		}
	}
	former.start()
	c.work = startWorkload(db.Addr(), rows, 150*time.Millisecond)
	defer c.work.end()
	await(t, time.Minute, "the former writer to send changes", func() error {
		if n := len(readStream(t, c.direct, streamName, &c.decoded)); n < 60 {
			return fmt.Errorf("%d records are in the stream", n)
		}
		return nil
	})

	state.Set(faultproxy.Faults{"*": {faultproxy.CutRequest: 1}})
	successor := writer("successor", slow.Endpoint(), server.Endpoint, 5702)
	successor.build = c.build
	successor.start()
	successor.awaitLog("full load is read", 1)
	time.Sleep(time.Second) // the longest that a record of it is on its way
	c.work.end()
	former.kill()
	slow.LetThrough()
	c.awaitReplicated(t, db, successor)
	successor.stop()
	c.drain(t)
	c.verify()
	late := 0 // records of the former writer behind ones of its successor
	term := map[string]int64{}
	for _, r := range readStream(t, c.direct, streamName, &c.decoded) {
		n, _ := r.Meta.Term.Int64()
		if n < term[r.Shard] {
			late++
		}
		term[r.Shard] = max(n, term[r.Shard])
	}
	if late == 0 {
		t.Error("the former writer fell silent: nothing was tried")
	}
	t.Logf("%d records of the former writer came behind those of its successor", late)
}
