package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
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

	refused sync.Map // ids of rows that the source would not take any more
}

// newCluster starts two servers that replicate by GTID. The replica's log has another name and other offsets, and,
// where the flavor allows it, a transaction that the source never had.
func newCluster(t *testing.T, maria bool) *cluster {
	t.Helper()
	start := testservers.MySQL
	if maria {
		start = testservers.MariaDB
	}
	c := &cluster{
		maria: maria, a: start(t, testservers.Flags("--log-slave-updates")),
		b: start(t, testservers.ServerID(2), testservers.Flags("--log-slave-updates", "--log-bin=other")),
	}
	if maria {
		c.b.MustExec(t, "FLUSH BINARY LOGS", fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='root', MASTER_USE_GTID=slave_pos", c.a.Port), "START SLAVE")
	} else {
		c.b.MustExec(t, "FLUSH BINARY LOGS", "CREATE DATABASE errant", "CREATE TABLE errant.x (id INT PRIMARY KEY)",
			fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%d, SOURCE_USER='root', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1", c.a.Port), "START REPLICA")
	}
	c.relay = testservers.NewRelay(t, c.a.Addr())
	c.begin(t)
	return c
}

// begin makes a new pipeline on the present source.
func (c *cluster) begin(t *testing.T) {
	t.Helper()
	c.bench = newBench(t, c.a)
	c.refused.Clear()
	c.a.MustExec(t, c.in("CREATE TABLE ticket (id INT PRIMARY KEY, v VARCHAR(20))")...)
}

// swap makes the former source the replica of the present one, and a new pipeline.
func (c *cluster) swap(t *testing.T) {
	t.Helper()
	c.a, c.b = c.b, c.a
	if c.maria {
		c.b.MustExec(t, fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='root', MASTER_USE_GTID=current_pos", c.a.Port), "START SLAVE")
	} else {
		c.b.MustExec(t, "SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF",
			fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%d, SOURCE_USER='root', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1", c.a.Port), "START REPLICA")
	}
	c.begin(t)
}

// follow waits until a process has begun to read.
func (c *cluster) follow() {
	c.t.Helper()
	c.awaitSaved("has begun to read", func(d replicateDoc) bool { return d.Position.File != "" && d.Started })
}

// One cluster after the other is failed over from server to server, each time with a new pipeline.
func TestFailover(t *testing.T) {
	t.Run("mysql", func(t *testing.T) {
		c := newCluster(t, false)
		c.cleanStop()
		c.swap(t)
		c.underLoad()
		c.swap(t)
		c.laggingReplica()
		c.swap(t)
		c.insideATransaction()
	})
	t.Run("mariadb", func(t *testing.T) {
		c := newCluster(t, true)
		c.cleanStop()
		c.swap(t)
		c.insideATransaction()
	})
}

func (c *cluster) in(statements ...string) []string {
	return append([]string{"USE `" + c.name + "`"}, statements...)
}

func (c *cluster) config() ReplicateConfig {
	cfg := c.bench.config(CDC)
	cfg.Source.Port = c.relay.Port16()
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
	for _, shard := range shards {
		filter := dedupe.New()
		for _, data := range c.shard(shard) {
			if filter.Check(data) != dedupe.Keep {
				continue
			}
			h, err := record.Parse(data)
			must(c.t, err)
			if h.RecordType == "data" {
				list, headers = append(list, summarize(c.t, data)), append(headers, h)
			}
		}
	}
	return list, headers
}

// checkKept checks that each id was inserted exactly once, and that exactly those behind the failover carry a new epoch.
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

// gate is a stream that takes the changes of the rows up to an id, and throttles all others.
type gate struct {
	kinesisout.API
	t    *testing.T
	last int
}

// PutRecords implements kinesisout.API.
func (g gate) PutRecords(ctx context.Context, in *kinesis.PutRecordsInput, opts ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	some := *in
	some.Records = nil
	out := &kinesis.PutRecordsOutput{FailedRecordCount: aws.Int32(0), Records: make([]types.PutRecordsResultEntry, len(in.Records))}
	var at []int
	for i, r := range in.Records {
		id, _ := strconv.Atoi(summarize(g.t, r.Data).ID) // control records have none
		if id <= g.last {
			some.Records, at = append(some.Records, r), append(at, i)
			continue
		}
		out.Records[i] = types.PutRecordsResultEntry{ErrorCode: aws.String("ProvisionedThroughputExceededException"), ErrorMessage: aws.String("the gate is shut")}
		*out.FailedRecordCount++
	}
	if len(at) == 0 {
		return out, nil
	}
	taken, err := g.API.PutRecords(ctx, &some, opts...)
	if err != nil {
		return nil, err
	}
	for i, r := range taken.Records {
		out.Records[at[i]] = r
	}
	*out.FailedRecordCount += aws.ToInt32(taken.FailedRecordCount)
	return out, nil
}

// A planned failover: the process is stopped, the replica takes over, the process starts again.
func (c *cluster) cleanStop() {
	t := c.t
	stop := c.background(NewReplicate(c.config()).Run)
	c.follow()
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
}

// awaitSaved waits until what a process has saved says something.
func (c *cluster) awaitSaved(what string, is func(d replicateDoc) bool) {
	c.t.Helper()
	var d replicateDoc
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		raw, _, err := c.store.Load(c.t.Context(), replicateDocument)
		if err != nil {
			continue // there is none yet
		}
		d = replicateDoc{}
		must(c.t, json.Unmarshal(raw, &d))
		if is(d) {
			return
		}
	}
	c.t.Fatalf("no process %s; saved is %+v", what, d)
}

// saves waits until everything that a server has is saved.
func (c *cluster) saves(s *testservers.MySQLServer) {
	c.t.Helper()
	flavor, query := source.MySQL, "SELECT @@gtid_executed"
	if c.maria {
		flavor, query = source.MariaDB, "SELECT @@gtid_binlog_pos"
	}
	due := s.MustQuery(c.t, query)[0][0]
	c.awaitSaved("gets to the end", func(d replicateDoc) bool {
		set, err := binlog.ParseGTIDSet(flavor, d.Position.GTIDSet)
		must(c.t, err)
		all, err := set.Contains(due)
		must(c.t, err)
		return all
	})
}

// The source dies while a transaction is half acknowledged and other records wait: the process ends, to be started again,
// and the next one goes on within that transaction.
func (c *cluster) insideATransaction() {
	t := c.t
	const taken = 700
	cfg := c.config()
	cfg.Stream.API, cfg.Grace = gate{c.api, t, taken}, 2*time.Second // what waits at the gate is never taken
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- NewReplicate(cfg).Run(ctx) }()
	c.follow()
	values := make([]string, 2000)
	for i := range values {
		values[i] = fmt.Sprintf("(%d, 'a')", i+1)
	}
	c.a.MustExec(t, c.in("INSERT INTO ticket VALUES "+strings.Join(values, ","), "INSERT INTO ticket VALUES (2001, 'a')")...)
	c.awaitSaved("saves a part of the transaction", func(d replicateDoc) bool { return d.Done == taken && d.Through.GTID != "" })
	c.caughtUp()
	c.a.Kill()
	c.promote()
	c.b.MustExec(t, c.in("INSERT INTO ticket VALUES (2002, 'b')")...)
	err := within(t, ended)
	if again, ok := errors.AsType[*restartError](err); !ok || !errors.Is(err, source.ErrServerChanged) {
		t.Fatalf("the process ended with %v, %v", again, err)
	}
	stop := c.background(NewReplicate(c.config()).Run)
	c.saves(c.b)
	must(t, stop())
	old := map[string]bool{}
	list, headers := c.kept()
	first := slices.MinFunc(headers, func(a, b record.Header) int { return cmp.Compare(a.Epoch, b.Epoch) }).Epoch
	for i, h := range headers {
		if h.Epoch == first {
			old[list[i].ID] = true
		}
	}
	if len(old) != taken {
		t.Errorf("%d records carry the first epoch, want %d", len(old), taken)
	}
	c.checkKept(1, 2002, func(id string) bool { return old[id] })
}

// write inserts rows in several sessions until the server refuses, and returns how many ids are taken. before is called
// ahead of each row.
func (c *cluster) write(s *testservers.MySQLServer, first, sessions, each int, before func(id int64), refused func() bool) int {
	var next atomic.Int64
	next.Store(int64(first))
	var writers sync.WaitGroup
	for range sessions {
		conn := s.Conn(c.t, c.name)
		writers.Go(func() {
			for range each {
				id := next.Add(1)
				before(id)
				_, err := conn.Execute(fmt.Sprintf("INSERT INTO ticket VALUES (%d, 'x')", id))
				switch {
				case err != nil && refused():
					c.refused.Store(id, true)
					return
				case err != nil:
					c.t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	return int(next.Load())
}

// A switch-over under load: the source refuses writes, the replica catches up and takes over, the address moves. The
// process notices by itself that another server answers, ends, and is started again.
func (c *cluster) underLoad() {
	t := c.t
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- NewReplicate(c.config()).Run(ctx) }()
	c.follow()
	var closed atomic.Bool
	n := c.write(c.a, 0, 4, 1_000_000, func(id int64) {
		if id != 400 { // by then all four are at work
			return
		}
		closed.Store(true)
		if err := c.a.Exec(t.Context(), "SET GLOBAL super_read_only = ON"); err != nil {
			t.Error(err)
		}
	}, closed.Load)
	c.caughtUp()
	c.promote()
	all := c.write(c.b, n, 4, 50, func(int64) {}, func() bool { return false })
	if err := within(t, ended); !errors.Is(err, source.ErrServerChanged) {
		t.Fatalf("the process ended with %v", err)
	}
	stop := c.background(NewReplicate(c.config()).Run)
	c.saves(c.b)
	must(t, stop())
	counts := map[string]int{}
	var epochs []uint64
	list, headers := c.kept()
	for i, s := range list {
		counts[s.ID]++
		if !slices.Contains(epochs, headers[i].Epoch) {
			epochs = append(epochs, headers[i].Epoch)
		}
	}
	t.Logf("%d rows, up to %d of them before the switch-over", len(list), n)
	for id := 1; id <= all; id++ {
		want := 1
		if _, refused := c.refused.Load(int64(id)); refused {
			want = 0
		}
		if got := counts[fmt.Sprint(id)]; got != want {
			t.Errorf("id %d is kept %d times, want %d", id, got, want)
		}
	}
	if len(epochs) != 2 {
		t.Errorf("epochs %v, want one before and one behind the switch-over", epochs)
	}
}

// A replica that has not got yet what was read is waited for; without GTIDs nothing is carried over.
func (c *cluster) laggingReplica() {
	t := c.t
	stop := c.background(NewReplicate(c.config()).Run)
	c.follow()
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
	select {
	case <-waits:
	case <-time.After(2 * time.Minute):
		t.Fatal("the process does not go on by GTID")
	}
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
	if _, err := r.resume(t.Context(), nil, s); !errors.Is(err, binlog.ErrOtherServer) || !strings.Contains(err.Error(), "load anew") {
		t.Errorf("without GTIDs: %v", err)
	}
}

// A server that took over without the transaction of which a part was sent is refused: nobody has the rest any more.
func TestFailoverWithoutTheTransactionThatWasBegun(t *testing.T) {
	defer func(d time.Duration) { catchUp = d }(catchUp)
	catchUp = 300 * time.Millisecond
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		name := db.Database(t)
		l := newTail(t, db, name)
		db.MustExec(t, "USE "+name, "CREATE TABLE ticket (id INT PRIMARY KEY)")
		end := l.end()
		lost := "3e11fa47-71ca-11e1-9e33-c80aa9429562:6"
		if strings.HasSuffix(t.Name(), "mariadb") {
			lost = "0-9-999999"
		}
		doc := replicateDoc{
			Version: replicateVersion, Task: "tickets", Term: 5, Epoch: 3, Done: 2,
			Position: source.Position{File: "log.000007", Offset: 100, GTIDSet: end.GTIDSet, ServerUUID: "another"},
			Through:  &throughDoc{File: "log.000007", EventStart: 300, Row: 1, GTID: lost},
		}
		raw, err := json.Marshal(&doc)
		must(t, err)
		_, err = l.store.Save(t.Context(), replicateDocument, raw, checkpoint.None)
		must(t, err)
		if err := l.read(l.config(), end); !errors.Is(err, binlog.ErrAhead) || !strings.Contains(err.Error(), "not on this server: "+lost) {
			t.Errorf("%v", err)
		}
	})
}

// within takes what a process ended with.
func within(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(2 * time.Minute):
		t.Fatal("the process does not end")
		return nil
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

// A server that took over may have logged another transaction in front of the one of which a part was sent. Changes of the
// one are not counted as changes of the other, which a second failover would leave out.
func TestFailoverWithATransactionInFront(t *testing.T) {
	onBoth(t, func(t *testing.T, db *testservers.MySQLServer) {
		name := db.Database(t)
		l := newTail(t, db, name)
		db.MustExec(t, "USE "+name, "CREATE TABLE ticket (id INT PRIMARY KEY)")
		start := l.end()
		db.MustExec(t, "USE "+name, "INSERT INTO ticket VALUES (1), (2), (3)", "INSERT INTO ticket VALUES (4), (5), (6)")
		end := l.end()
		cfg := l.config()
		cfg.Start = fmt.Sprintf("%s:%d", start.File, start.Offset)
		var gtid string
		l.after = func(s *session) { gtid = s.emitter.tx.tx.GTID }
		must(t, l.read(cfg, end))

		l = newTail(t, db, name)
		doc := replicateDoc{
			Version: replicateVersion, Task: "tickets", Term: 5, Epoch: 3, Done: 2,
			Position: source.Position{File: "log.000007", Offset: 100, GTIDSet: start.GTIDSet, ServerUUID: "another"},
			Through:  &throughDoc{File: "log.000007", EventStart: 300, Row: 1, GTID: gtid},
		}
		raw, err := json.Marshal(&doc)
		must(t, err)
		_, err = l.store.Save(t.Context(), replicateDocument, raw, checkpoint.None)
		must(t, err)
		var done []uint64
		l.after = func(s *session) { done = append(done, s.tracker.Frontier().Done) }
		must(t, l.read(l.config(), end))
		if want := []uint64{1, 2, 3, 1}; !slices.Equal(done, want) {
			t.Errorf("behind the records %v changes are done, want %v", done, want)
		}
		var ids []string
		for _, r := range l.got {
			ids = append(ids, strings.Fields(short(r))[2])
		}
		if want := []string{"1", "2", "3", "6"}; !slices.Equal(ids, want) {
			t.Errorf("sent are %v, want %v", ids, want)
		}
	})
}

// Where positions are file and offset now, no set of former times is kept: it would lead a failover, or this server once it
// has GTIDs again, back to what was sent long ago.
func TestWithoutGTIDsNoSetIsKept(t *testing.T) {
	db := testservers.MySQL(t, testservers.NoGTID())
	name := db.Database(t)
	l := newTail(t, db, name)
	db.MustExec(t, "USE "+name, "CREATE TABLE ticket (id INT PRIMARY KEY)")
	saved := l.end()
	saved.GTIDSet = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"
	db.MustExec(t, "INSERT INTO "+name+".ticket VALUES (1)")
	doc := replicateDoc{Version: replicateVersion, Task: "tickets", Term: 5, Epoch: 3, Position: saved}
	raw, err := json.Marshal(&doc)
	must(t, err)
	_, err = l.store.Save(t.Context(), replicateDocument, raw, checkpoint.None)
	must(t, err)
	must(t, l.read(l.config(), l.end()))
	if got := l.s.state.doc; got.Position.GTIDSet != "" || got.Position.File != saved.File || got.Epoch != 3 || len(l.got) != 1 {
		t.Errorf("%d changes, saved is %+v", len(l.got), got)
	}
}
