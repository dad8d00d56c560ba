package localstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// startChild starts a process that serves dir.
func startChild(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOCALSTREAM_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	return cmd
}

// kill ends the process as kill -9 does.
func kill(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// journal is what one writer of its own key was told.
type journal struct {
	key   string
	sent  int
	acked map[int]string // attempt -> shard and sequence number
	told  atomic.Int64   // acknowledgements so far
}

// write puts records one after the other until ctx ends. Each attempt has its own number and is never repeated, so a
// number may be stored without having been acknowledged, but never the other way round and never twice.
func (j *journal) write(ctx context.Context, c *kinesis.Client) {
	for ctx.Err() == nil {
		batch := 1 + j.sent%3
		var entries []types.PutRecordsRequestEntry
		for i := range batch {
			entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: &j.key, Data: []byte(strconv.Itoa(j.sent + i))})
		}
		first := j.sent
		j.sent += batch
		out, err := c.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: entries}, once)
		if err != nil {
			continue
		}
		for i, r := range out.Records {
			if r.ErrorCode == nil {
				j.acked[first+i] = *r.ShardId + " " + *r.SequenceNumber
				j.told.Add(1)
			}
		}
	}
}

// stored reads all shards and returns, by key, the attempts in their order and where each is.
func stored(t *testing.T, c *kinesis.Client) (order map[string][]int, place map[string]map[int]string) {
	t.Helper()
	order, place = map[string][]int{}, map[string]map[int]string{}
	shards, err := c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})
	if err != nil {
		t.Fatal(err)
	}
	for _, sh := range shards.Shards {
		it, err := c.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: aws.String("s"), ShardId: sh.ShardId,
			ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			t.Fatal(err)
		}
		last := ""
		for next := it.ShardIterator; next != nil; {
			out, err := c.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(1000)})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.Records {
				if *r.SequenceNumber <= last {
					t.Fatalf("%s: %s comes after %s", *sh.ShardId, *r.SequenceNumber, last)
				}
				last = *r.SequenceNumber
				n, err := strconv.Atoi(string(r.Data))
				if err != nil {
					t.Fatal(err)
				}
				key := *r.PartitionKey
				if place[key] == nil {
					place[key] = map[int]string{}
				}
				if before, twice := place[key][n]; twice {
					t.Fatalf("attempt %d of %s is stored twice: %s and %s", n, key, before, *sh.ShardId+" "+last)
				}
				place[key][n] = *sh.ShardId + " " + last
				order[key] = append(order[key], n)
			}
			next = out.NextShardIterator
			if len(out.Records) == 0 {
				break
			}
		}
	}
	return order, place
}

// compare fails the test unless all that was acknowledged is stored, where it was said to be, in the order of each key.
func compare(t *testing.T, c *kinesis.Client, journals []*journal) (total int) {
	t.Helper()
	order, place := stored(t, c)
	for _, j := range journals {
		total += len(j.acked)
		for n, where := range j.acked {
			if got := place[j.key][n]; got != where {
				t.Fatalf("attempt %d of %s was acknowledged at %s and is stored at %q", n, j.key, where, got)
			}
		}
		last := -1
		for _, n := range order[j.key] {
			if n <= last {
				t.Fatalf("key %s: attempt %d is stored after %d", j.key, n, last)
			}
			last = n
		}
	}
	return total
}

func newJournals(n int) []*journal {
	var out []*journal
	for i := range n {
		out = append(out, &journal{key: fmt.Sprintf("writer %d", i), acked: map[int]string{}})
	}
	return out
}

// acknowledgements counts what the writers were told so far. It may be called while they write.
func acknowledgements(journals []*journal) (n int64) {
	for _, j := range journals {
		n += j.told.Load()
	}
	return n
}

// awaitMore waits until the writers have been told of more than before.
func awaitMore(t *testing.T, journals []*journal, before int64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); acknowledgements(journals) <= before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is acknowledged any more")
		}
	}
}

// writeAll lets all journals write until stop is called, which waits for them. Meanwhile the shards change.
func writeAll(t *testing.T, c *kinesis.Client, journals []*journal) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for backoff.Sleep(ctx, time.Duration(rand.IntN(100))*time.Millisecond) == nil {
			c.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: aws.String("s"), // may fail as any other call
				TargetShardCount: aws.Int32(2 + rand.Int32N(2)), ScalingType: types.ScalingTypeUniformScaling}, once)
		}
	})
	for _, j := range journals {
		wg.Go(func() { j.write(ctx, c) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	n, err := New(Config{Dir: dir, Logger: quiet()}) // leads the clients; never runs
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, n)
	journals := newJournals(8)
	total := 0
	for range 10 {
		child, before := startChild(t, dir), acknowledgements(journals)
		stop := writeAll(t, c, journals)
		awaitMore(t, journals, before)
		time.Sleep(time.Duration(20+rand.IntN(300)) * time.Millisecond)
		kill(child)
		stop()

		child = startChild(t, dir)
		total = compare(t, c, journals)
		kill(child)
	}
	t.Logf("%d acknowledged records survived 20 kills", total)
}

// Two processes on one directory: when the serving one is killed, the other goes on, and no client has to be told.
func TestTakeOver(t *testing.T) {
	dir := t.TempDir()
	first := startChild(t, dir)
	leader, err := New(Config{Dir: dir, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := leader.Address(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := startChild(t, dir)
	journals := newJournals(4)
	c := client(t, leader)
	stop := writeAll(t, c, journals)
	awaitMore(t, journals, 0)
	time.Sleep(300 * time.Millisecond) // for the second one to take over where it must not
	if now, err := leader.Address(t.Context()); err != nil || now != addr {
		t.Errorf("the second process took over from a living one: %s, then %s, %v", addr, now, err)
	}
	kill(first)
	killed := time.Now()
	var now string
	for now == "" || now == addr {
		if now, err = leader.Address(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("taken over after %s", time.Since(killed))

	// A client that repeats, as all do but the journals, does not notice.
	if _, err := c.ListStreams(t.Context(), &kinesis.ListStreamsInput{}); err != nil {
		t.Errorf("a call after the take-over: %v", err)
	}
	awaitMore(t, journals, acknowledgements(journals))
	stop()
	compare(t, c, journals)
	kill(second)
}

// A clean end hands over as well: what was acknowledged is there, and Run returns nil.
func TestHandOverBetweenNodes(t *testing.T) {
	dir := t.TempDir()
	one, stopOne := start(t, Config{Dir: dir, Stream: "s", Shards: 2})
	if _, err := one.Address(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := client(t, one).DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})
	if err != nil {
		t.Fatal(err)
	}
	two, stopTwo := start(t, Config{Dir: dir, Stream: "s", Shards: 5})
	c := client(t, two)
	journals := newJournals(4)
	stop := writeAll(t, c, journals)
	awaitMore(t, journals, 0)
	if err := stopOne(); err != nil {
		t.Errorf("Run: %v", err)
	}
	awaitMore(t, journals, acknowledgements(journals))
	stop()
	compare(t, c, journals)
	after, err := c.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})
	if err != nil || *after.StreamDescriptionSummary.OpenShardCount > 3 ||
		!after.StreamDescriptionSummary.StreamCreationTimestamp.Equal(*before.StreamDescriptionSummary.StreamCreationTimestamp) {
		t.Errorf("the second Node made the stream anew: %+v, %v", after, err)
	}
	if err := stopTwo(); err != nil {
		t.Errorf("Run: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := two.Address(ctx); err == nil || !strings.Contains(err.Error(), "is a process running") {
		t.Errorf("nobody serves, but Address says: %v", err)
	}
}
