package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/lease"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestShardsAreShared runs several deliver processes over one stream with their leases in DynamoDB, while records come. One
// is killed, one is stopped for so long that its shards are taken and then goes on, one joins, and one ends cleanly. Every
// record must be stored once.
func TestShardsAreShared(t *testing.T) {
	t.Parallel()
	const shards = 8
	server, table := testservers.Kinesalite(t), testservers.Dynalite(t)
	server.CreateStream(t, streamName, shards)
	dir := t.TempDir()
	p := &pipelineUnderTest{dir: dir, streamEndpoint: server.Endpoint, kinesis: server, destination: "file://" + filepath.Join(dir, "objects"),
		checkpoints: fmt.Sprintf("{store: \"dynamodb://state\", region: us-east-1, endpoint: %q, failover_time: 3s}", table.Endpoint)}
	p.config = writeConfig(t, dir, p.yaml(scenario{dedupe: true}, "127.0.0.1", 1))
	l := &leaseTable{t: t, server: server, table: &dynamo.Table{API: table.DynamoDB(), Name: "state"}, shards: shards}

	records := startRecords(t, server.Kinesis())
	processes := map[string]*daemon{}
	for _, name := range []string{"a", "b", "c", "d"} {
		processes[name] = newDaemon(t, "deliver-"+name, "deliver", "-c", p.config)
	}
	a, b, c, d := processes["a"], processes["b"], processes["c"], processes["d"]
	for _, process := range []*daemon{a, b, c} {
		process.start()
	}
	l.await("three processes to have two or three shards each", func(n map[*daemon]int) bool { return n[a] >= 2 && n[b] >= 2 && n[c] >= 2 }, a, b, c)

	killed := a.pid()
	a.kill()
	signal(t, b, syscall.SIGSTOP)
	d.start()
	began := time.Now()
	l.await("the two that are left to have four shards each", func(n map[*daemon]int) bool { return n[c] == 4 && n[d] == 4 }, c, d)
	t.Logf("the shards of two silent processes (%d killed) were shared %v later", killed, time.Since(began).Round(100*time.Millisecond))
	signal(t, b, syscall.SIGCONT)
	b.awaitLog("a shard is lost", 1)
	l.await("the one that goes on to take its part again", func(n map[*daemon]int) bool { return n[b] >= 2 && n[c] >= 2 && n[d] >= 2 }, b, c, d)
	c.stop()
	began = time.Now()
	l.await("the shards of the one that ended to be taken", func(n map[*daemon]int) bool { return n[b] == 4 && n[d] == 4 }, b, d)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("a clean end did not hand the shards over at once: they were taken after %v", took)
	}
	total := records.end()
	b.stop()
	d.stop()

	drains := []*daemon{newDaemon(t, "once-1", "deliver", "--once", "-c", p.config), newDaemon(t, "once-2", "deliver", "--once", "-c", p.config)}
	for _, once := range drains {
		once.start()
	}
	for _, once := range drains {
		if code := once.wait(time.Minute); code != 0 {
			t.Fatalf("deliver --once: exit code %d\n%s", code, tail(once.log, 6000))
		}
	}
	stored := map[string]int{}
	for _, o := range p.listObjects(t) {
		for line := range strings.Lines(string(o.plain)) {
			stored[line]++
		}
	}
	for i := range total {
		if n := stored[recordLine(i)]; n != 1 {
			t.Errorf("record %d is stored %d times", i, n)
		}
	}
	if len(stored) != total || total == 0 {
		t.Errorf("%d different records are stored, %d were sent", len(stored), total)
	}
	t.Logf("%d records are stored once each", total)
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }

// leaseTable looks at who has which shard.
type leaseTable struct {
	t      *testing.T
	server *testservers.AWSServer
	table  *dynamo.Table
	shards int
}

// await waits until all shards have one of the processes for an owner, and a condition on their numbers holds.
func (l *leaseTable) await(what string, ok func(map[*daemon]int) bool, processes ...*daemon) {
	l.t.Helper()
	about, err := l.server.Kinesis().DescribeStreamSummary(l.t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(streamName)})
	if err != nil {
		l.t.Fatal(err)
	}
	account := "000000000000"
	if part := strings.Split(aws.ToString(about.StreamDescriptionSummary.StreamARN), ":"); len(part) > 4 {
		account = part[4]
	}
	leases := lease.NewDynamoDB(l.table, lease.StreamID(account, streamName, *about.StreamDescriptionSummary.StreamCreationTimestamp))
	await(l.t, time.Minute, what, func() error {
		for _, d := range processes {
			d.alive()
		}
		all, err := leases.Scan(l.t.Context())
		if err != nil {
			return err
		}
		counts, owned := map[*daemon]int{}, 0
		for i := range all {
			for _, d := range processes {
				if strings.Contains(all[i].Owner, fmt.Sprintf(":%d:", d.pid())) && all[i].CheckpointOwner == "" {
					counts[d]++
					owned++
				}
			}
		}
		if owned != l.shards || !ok(counts) {
			return fmt.Errorf("the leases are %+v", all)
		}
		return nil
	})
}

// recordStream sends records until it ends.
type recordStream struct {
	stop  context.CancelFunc
	group sync.WaitGroup
	sent  int
}

func recordLine(i int) string { return fmt.Sprintf("{\"record\":%d}\n", i) }

func startRecords(t *testing.T, api *kinesis.Client) *recordStream {
	ctx, stop := context.WithCancel(t.Context())
	s := &recordStream{stop: stop}
	s.group.Go(func() {
		for ctx.Err() == nil {
			in := &kinesis.PutRecordsInput{StreamName: aws.String(streamName)}
			for i := range 20 {
				in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: []byte(recordLine(s.sent + i)), PartitionKey: aws.String(fmt.Sprint(s.sent + i))})
			}
			out, err := api.PutRecords(context.WithoutCancel(ctx), in) // to its end: what was sent must be known
			if err != nil || aws.ToInt32(out.FailedRecordCount) > 0 {
				t.Errorf("put records: %v", err)
				return
			}
			s.sent += len(in.Records)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { s.end() })
	return s
}

// end stops sending and says how many records there are.
func (s *recordStream) end() int {
	s.stop()
	s.group.Wait()
	return s.sent
}
