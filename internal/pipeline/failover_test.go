package pipeline

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// cluster is a source and its replica behind one address.
type cluster struct {
	*bench
	a, b  *testservers.MySQLServer
	relay *testservers.Relay
	maria bool
}

// newCluster starts two servers that replicate by GTID. The replica's log has another name and other offsets, and,
// where the flavor allows it, a transaction that the source never had.
func newCluster(t *testing.T, maria bool) *cluster {
	t.Helper()
	start, flags := testservers.MySQL, []string{"--log-bin=other"}
	if maria {
		start, flags = testservers.MariaDB, []string{"--log-bin=other", "--log-slave-updates"}
	}
	c := &cluster{maria: maria, a: start(t), b: start(t, testservers.ServerID(2), testservers.Flags(flags...))}
	if maria {
		c.b.MustExec(t, "FLUSH BINARY LOGS", fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='root', MASTER_USE_GTID=slave_pos", c.a.Port), "START SLAVE")
	} else {
		c.b.MustExec(t, "FLUSH BINARY LOGS", "CREATE DATABASE errant", "CREATE TABLE errant.x (id INT PRIMARY KEY)",
			fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%d, SOURCE_USER='root', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1", c.a.Port), "START REPLICA")
	}
	c.relay = testservers.NewRelay(t, c.a.Addr())
	c.bench = newBench(t, c.a)
	c.a.MustExec(t, c.in("CREATE TABLE ticket (id INT PRIMARY KEY, v VARCHAR(20))")...)
	return c
}

func (c *cluster) in(statements ...string) []string {
	return append([]string{"USE `" + c.name + "`"}, statements...)
}

func (c *cluster) config() ReplicateConfig {
	cfg := c.bench.config(CDC)
	cfg.Source.Port = c.relay.Port16()
	cfg.Grace = 2 * time.Second
	return cfg
}

// caughtUp waits until the replica has everything of the source.
func (c *cluster) caughtUp() {
	c.t.Helper()
	if c.maria {
		pos := c.a.MustQuery(c.t, "SELECT @@gtid_binlog_pos")[0][0]
		if got := c.b.MustQuery(c.t, "SELECT MASTER_GTID_WAIT('"+pos+"', 60)"); got[0][0] != "0" {
			c.t.Fatalf("the replica does not catch up: %v", c.b.MustQuery(c.t, "SHOW SLAVE STATUS"))
		}
		return
	}
	set := c.a.MustQuery(c.t, "SELECT @@gtid_executed")[0][0]
	if got := c.b.MustQuery(c.t, "SELECT WAIT_FOR_EXECUTED_GTID_SET('"+set+"', 60)"); got[0][0] != "0" {
		c.t.Fatalf("the replica does not catch up: %v", c.b.MustQuery(c.t, "SHOW REPLICA STATUS"))
	}
}

func (c *cluster) stopReplica() {
	c.t.Helper()
	c.b.MustExec(c.t, map[bool]string{true: "STOP SLAVE", false: "STOP REPLICA"}[c.maria])
}

// promote makes the replica the source.
func (c *cluster) promote() {
	c.t.Helper()
	c.stopReplica()
	c.relay.Point(c.b.Addr())
}

// kept is what a reader of the stream keeps, shard by shard, with the rule that drops what was sent twice.
func (c *cluster) kept() (list []summary, headers []record.Header) {
	c.t.Helper()
	for _, shard := range []string{"shardId-000000000000", "shardId-000000000001"} {
		filter := dedupe.New()
		it, err := c.api.GetShardIterator(c.t.Context(), &kinesis.GetShardIteratorInput{
			StreamName: aws.String("tickets"), ShardId: aws.String(shard), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		must(c.t, err)
		for next := it.ShardIterator; ; {
			out, err := c.api.GetRecords(c.t.Context(), &kinesis.GetRecordsInput{ShardIterator: next})
			must(c.t, err)
			for _, r := range out.Records {
				if filter.Check(r.Data) != dedupe.Keep {
					continue
				}
				h, err := record.Parse(r.Data)
				must(c.t, err)
				if h.RecordType != "data" {
					continue
				}
				s := summarize(c.t, r.Data)
				list, headers = append(list, s), append(headers, h)
			}
			if next = out.NextShardIterator; len(out.Records) == 0 {
				break
			}
		}
	}
	return list, headers
}

// complete checks that each id was inserted exactly once, and that exactly those behind the failover carry a new epoch.
func (c *cluster) checkKept(first, last int, before func(id string) bool) {
	c.t.Helper()
	list, headers := c.kept()
	seen := map[string]int{}
	epochs := map[bool]map[uint64]bool{true: {}, false: {}}
	for i, s := range list {
		seen[s.ID]++
		epochs[before(s.ID)][headers[i].Epoch] = true
	}
	for id := first; id <= last; id++ {
		if n := seen[fmt.Sprint(id)]; n != 1 {
			c.t.Errorf("id %d is kept %d times", id, n)
		}
	}
	if len(list) != last-first+1 {
		c.t.Errorf("%d records are kept, want %d", len(list), last-first+1)
	}
	for _, e := range []map[uint64]bool{epochs[true], epochs[false]} {
		if len(e) != 1 {
			c.t.Errorf("epochs %v, want one before and another behind the failover", epochs)
			return
		}
	}
	for old := range epochs[true] {
		for young := range epochs[false] {
			if young <= old {
				c.t.Errorf("epoch %d came before %d", old, young)
			}
		}
	}
}

// gate is a stream that takes so many records in each of its two shards, and then none.
type gate struct {
	kinesisout.API
	mu    sync.Mutex // covers what follows
	left  [2]int
	taken int
}

func newGate(api kinesisout.API, n int) *gate {
	return &gate{API: api, left: [2]int{n / 2, n / 2}}
}

func (g *gate) PutRecords(ctx context.Context, in *kinesis.PutRecordsInput, opts ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	hash := md5.Sum([]byte(*in.Records[0].PartitionKey))
	g.mu.Lock()
	left := &g.left[hash[0]>>7]
	n := min(*left, len(in.Records))
	*left -= n
	g.taken += n
	g.mu.Unlock()
	if n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	all := len(in.Records)
	some := *in
	some.Records = in.Records[:n]
	out, err := g.API.PutRecords(ctx, &some, opts...)
	for err == nil && len(out.Records) < all {
		out.Records = append(out.Records, types.PutRecordsResultEntry{ErrorCode: aws.String("ProvisionedThroughputExceededException"), ErrorMessage: aws.String("full")})
		*out.FailedRecordCount++
	}
	return out, err
}

func (g *gate) acknowledged() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.taken
}

// A planned failover: the process is stopped, the replica takes over, the process starts again.
func TestFailoverAfterACleanStop(t *testing.T) {
	for name, maria := range map[string]bool{"mysql": false, "mariadb": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, maria)
			stop := c.background(NewReplicate(c.config()).Run)
			for !c.savedIs(func(d replicateDoc) bool { return d.Position.File != "" && d.Started }) {
			}
			for i := 1; i <= 10; i++ {
				c.a.MustExec(t, c.in(fmt.Sprintf("INSERT INTO ticket VALUES (%d, 'a')", i))...)
			}
			c.awaitStream(10)
			must(t, stop())
			for i := 11; i <= 20; i++ {
				c.a.MustExec(t, c.in(fmt.Sprintf("INSERT INTO ticket VALUES (%d, 'not read yet')", i))...)
			}
			c.caughtUp()
			c.promote()
			for i := 21; i <= 30; i++ {
				c.b.MustExec(t, c.in(fmt.Sprintf("INSERT INTO ticket VALUES (%d, 'b')", i))...)
			}
			stop = c.background(NewReplicate(c.config()).Run)
			c.awaitStream(30)
			must(t, stop())
			old := func(id string) bool { return len(id) == 1 || id == "10" }
			c.checkKept(1, 30, old)

			// Going on there is no failover: the epoch stays.
			c.b.MustExec(t, c.in("INSERT INTO ticket VALUES (31, 'b')")...)
			stop = c.background(NewReplicate(c.config()).Run)
			c.awaitStream(31)
			must(t, stop())
			c.checkKept(1, 31, old)
		})
	}
}

// saved looks at the saved document.
func (b *bench) savedIs(is func(d replicateDoc) bool) bool {
	b.t.Helper()
	raw, _, err := b.store.Load(b.t.Context(), replicateDocument)
	if err != nil {
		time.Sleep(5 * time.Millisecond)
		return false
	}
	var d replicateDoc
	must(b.t, json.Unmarshal(raw, &d))
	if is(d) {
		return true
	}
	time.Sleep(5 * time.Millisecond)
	return false
}

// The source dies while a transaction is half acknowledged and other records wait: the process ends, to be started again,
// and the next one goes on within that transaction.
func TestFailoverInsideATransaction(t *testing.T) {
	for name, maria := range map[string]bool{"mysql": false, "mariadb": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, maria)
			g := newGate(c.api, 700)
			cfg := c.config()
			cfg.Stream.API = g
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- NewReplicate(cfg).Run(ctx) }()
			for !c.savedIs(func(d replicateDoc) bool { return d.Position.File != "" && d.Started }) {
			}
			values := make([]string, 2000)
			for i := range values {
				values[i] = fmt.Sprintf("(%d, 'a')", i+1)
			}
			c.a.MustExec(t, c.in("INSERT INTO ticket VALUES "+strings.Join(values, ","), "INSERT INTO ticket VALUES (2001, 'a')")...)
			for !c.savedIs(func(d replicateDoc) bool { return d.Done > 0 && d.Through != nil && d.Through.GTID != "" }) {
				if t.Context().Err() != nil {
					t.Fatal("nothing of the transaction is saved")
				}
			}
			c.caughtUp()
			c.a.Kill()
			c.promote()
			c.b.MustExec(t, c.in("INSERT INTO ticket VALUES (2002, 'b')")...)
			err := <-ended
			if again, ok := errors.AsType[*restartError](err); !ok || !errors.Is(err, binlog.ErrServerChanged) {
				t.Fatalf("the process ended with %v, %v", again, err)
			}
			if n := g.acknowledged(); n == 0 || n >= 2000 {
				t.Fatalf("%d records were taken: that is no middle", n)
			}
			stop := c.background(NewReplicate(c.config()).Run)
			old := map[string]bool{}
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
				list, headers := c.kept()
				first := slices.MinFunc(headers, func(a, b record.Header) int { return int(a.Epoch) - int(b.Epoch) }).Epoch
				for i, h := range headers {
					if h.Epoch == first {
						old[list[i].ID] = true
					}
				}
				if len(list) >= 2002 || time.Now().After(deadline) {
					break
				}
			}
			must(t, stop())
			if len(old) == 0 || len(old) >= 2000 {
				t.Errorf("%d records carry the first epoch", len(old))
			}
			c.checkKept(1, 2002, func(id string) bool { return old[id] })
		})
	}
}

// A replica that has not got yet what was read is waited for; without GTIDs nothing is carried over.
func TestFailoverToAReplicaThatLags(t *testing.T) {
	c := newCluster(t, false)
	stop := c.background(NewReplicate(c.config()).Run)
	for !c.savedIs(func(d replicateDoc) bool { return d.Position.File != "" && d.Started }) {
	}
	c.caughtUp()
	c.stopReplica()
	c.a.MustExec(t, c.in("INSERT INTO ticket VALUES (1, 'a')")...)
	c.awaitStream(1)
	must(t, stop())
	c.relay.Point(c.b.Addr())
	cfg := c.config()
	waits := make(chan struct{})
	cfg.Log = slog.New(onMessage{slog.DiscardHandler, "going on by GTID", sync.OnceFunc(func() { close(waits) })})
	stop = c.background(NewReplicate(cfg).Run)
	<-waits
	c.b.MustExec(t, "START REPLICA")
	c.caughtUp()
	c.stopReplica()
	c.b.MustExec(t, c.in("INSERT INTO ticket VALUES (2, 'b')")...)
	c.awaitStream(2)
	must(t, stop())
	c.checkKept(1, 2, func(id string) bool { return id == "1" })

	r := NewReplicate(c.config())
	s := &session{server: source.Server{UUID: "b", Flavor: source.MySQL}, state: &stateFile{store: c.store}}
	s.state.doc.Position = source.Position{File: "binlog.000001", Offset: 4, ServerUUID: "a", GTIDSet: "x"}
	if _, err := r.resume(t.Context(), s); !errors.Is(err, binlog.ErrOtherServer) || !strings.Contains(err.Error(), "load anew") {
		t.Errorf("without GTIDs: %v", err)
	}
}

// onMessage calls f when a message is logged.
type onMessage struct {
	slog.Handler
	part string
	f    func()
}

func (h onMessage) Enabled(context.Context, slog.Level) bool { return true }

func (h onMessage) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.part) {
		h.f()
	}
	return nil
}
