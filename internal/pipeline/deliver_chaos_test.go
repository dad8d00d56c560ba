package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/lease"
	"github.com/binlogstreamer/binlogstreamer/internal/lease/leasetest"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

var chaosSchedules = flag.Int("deliver-schedules", 8, "random schedules of TestDeliverChaos")

// TestDeliverChaos runs Delivers that are killed, left behind as zombies, cut off from the store and the bucket, and
// lose answers, over a stream that is written, resent to, split and merged meanwhile, and into which copies of loads come
// late, with checkpoints that are lost now and then. However it goes, every change must be stored once, in the order of
// its key, and every load once, not behind newer changes. In every other schedule
// the records of a run belong under several prefixes, and some have none; writers cut at different places and die
// between the objects of a run. In half of the schedules the processes share the shards by leases, and all live ones work at
// the same time.
func TestDeliverChaos(t *testing.T) {
	for seed := range uint64(*chaosSchedules) {
		synctest.Test(t, func(t *testing.T) {
			c := &chaos{world: newWorld(t, 2), Rand: rand.New(rand.NewPCG(seed, 7)), partitioned: seed%2 == 1}
			if seed%4 >= 2 {
				c.leases = leasetest.NewService()
			}
			c.run()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// TestDeliverChaosCanFail makes sure that the schedules need what they test.
func TestDeliverChaosCanFail(t *testing.T) {
	for name, mutant := range map[string]chaos{
		"loads without numbers":    {bare: true},
		"a bucket that overwrites": {mutant: func(b *memBucket) s3sink.Destination { return rewriting{b} }},
		"a first object that does not settle where the run ends": {partitioned: true, mutant: func(b *memBucket) s3sink.Destination {
			return &unsettled{memBucket: b, mine: map[string]s3sink.Meta{}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			faults := 0
			for seed := uint64(0); seed < 8 && faults == 0; seed++ {
				synctest.Test(t, func(t *testing.T) {
					c := mutant
					c.world, c.Rand = newWorld(t, 2), rand.New(rand.NewPCG(seed, 7))
					c.run()
					faults += len(c.faults)
				})
			}
			if faults == 0 {
				t.Error("it loses and doubles nothing")
			}
		})
	}
}

type chaos struct {
	*world
	*rand.Rand
	mutant      func(*memBucket) s3sink.Destination // what each process has in place of the bucket; nil: the bucket
	partitioned bool
	leases      *leasetest.Service // nil: by the lock
	next        int                // the next change
	junk        int                // records of which no partition can be made
	term        int
	bare        bool       // loads have no numbers
	loads       []lateLoad // of all terms
	number      int        // of the newest load of the term
	live        []*incarnation
	faults      []string
}

// lateLoad is a load that is in the stream and may come again.
type lateLoad struct {
	id   string
	key  int
	data []byte
}

type incarnation struct {
	process *process
	cancel  context.CancelFunc
	ended   chan error
}

// rewriting is a bucket without conditional writes.
type rewriting struct{ *memBucket }

func (b rewriting) Put(_ context.Context, o *s3sink.Object) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := *o
	kept.Body = slices.Clone(o.Body)
	b.objects[o.Key] = &kept
	return nil
}

// unsettled is a bucket in which a process takes every object that it finds for its own.
type unsettled struct {
	*memBucket
	own  sync.Mutex // covers mine
	mine map[string]s3sink.Meta
}

func (b *unsettled) Put(ctx context.Context, o *s3sink.Object) error {
	b.own.Lock()
	b.mine[o.Key] = o.Meta
	b.own.Unlock()
	return b.memBucket.Put(ctx, o)
}

func (b *unsettled) Head(ctx context.Context, key string) (s3sink.Meta, error) {
	_, err := b.memBucket.Head(ctx, key)
	b.own.Lock()
	defer b.own.Unlock()
	own, ok := b.mine[key]
	if err == nil && !ok {
		err = s3sink.ErrNotFound // it asks before it has tried to store its own
	}
	return own, err
}

func (c *chaos) run() {
	c.term = 1
	var current *incarnation
	for range 60 {
		c.write()
		if c.IntN(12) == 0 {
			c.reshard()
		}
		if current != nil && c.IntN(3) == 0 {
			switch c.IntN(3) {
			case 0: // killed
				current.process.dead.Store(true)
				current.cancel()
				<-current.ended
			case 1: // stopped
				current.cancel()
				<-current.ended
			default: // left behind, perhaps to wake up later
				current.process.dead.Store(c.IntN(2) == 0)
				c.live = append(c.live, current)
			}
			current = nil
		}
		if current == nil {
			current = c.begin(20)
		}
		for _, z := range c.live {
			if c.IntN(4) == 0 {
				z.process.dead.Store(false)
			}
		}
		if c.IntN(20) == 0 {
			open := c.stream.Open() // the windows of ended shards are what their children begin with
			c.store.forget("deliver/s/" + fmt.Sprint(c.stream.Created.Unix()) + "/windows/" + open[c.IntN(len(open))])
		}
		if c.IntN(30) == 0 {
			c.store.forget("deliver/")
			if c.leases != nil {
				c.leases.Clear() // they are in the same table
			}
		}
		time.Sleep(time.Duration(c.IntN(90_000)) * time.Millisecond)
	}
	for _, i := range append(c.live, current) {
		i.cancel()
		<-i.ended
	}
	last := c.begin(0, func(cfg *DeliverConfig) { cfg.Once = true })
	if err := <-last.ended; err != nil {
		c.t.Fatalf("the last run: %v", err)
	}
	c.check()
}

// begin starts a Deliver whose calls fail now and then.
func (c *chaos) begin(faults int, change ...func(*DeliverConfig)) *incarnation {
	var bucket s3sink.Destination = c.bucket
	if c.mutant != nil {
		bucket = c.mutant(c.bucket)
	}
	p := &process{store: c.store, bucket: bucket, rand: rand.New(rand.NewPCG(c.Uint64(), 1)), faults: faults, slow: 3 * time.Second, dies: faults / 4}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	i := &incarnation{process: p, cancel: cancel, ended: make(chan error, 1)}
	cfg := c.config(append(change, func(cfg *DeliverConfig) {
		cfg.Store, cfg.Destination = p, p
		cfg.Size, cfg.Interval = int64(500+c.IntN(5000)), time.Duration(c.IntN(120))*time.Second
		cfg.MaxBytes = 1 << 20
		if c.leases != nil {
			cfg.Leases = func(string) lease.Table {
				table := c.leases.Table()
				table.Around = p.share
				return table
			}
		}
		if c.partitioned {
			cfg.Partitions = 1 + c.IntN(4)
			cfg.Layout.Partitioned, cfg.Layout.Query = true, "{k: (.data.key % 3)}"
			cfg.Layout.Prefix, cfg.Layout.ErrorOutputPrefix = "k=!{partitionKeyFromQuery:k}/", "errors/!{firehose:error-output-type}/"
		}
	})...)
	go func() {
		for {
			err := NewDeliver(cfg).Run(ctx)
			if ctx.Err() != nil || err == nil {
				i.ended <- nil
				return
			}
			if (!errors.Is(err, checkpoint.ErrConflict) || c.leases != nil) && !errors.Is(err, errFlaky) && !errors.Is(err, errUnusable) {
				i.ended <- err
				c.t.Errorf("Run = %v", err)
				return
			}
			time.Sleep(time.Second) // the supervisor starts it again
		}
	}()
	return i
}

// write sends new changes, and some of the last ones again, as a writer does that was started anew.
func (c *chaos) write() {
	if c.IntN(5) == 0 {
		c.term++
		c.number = 0
		for n := max(0, c.next-c.IntN(30)); n < c.next; n++ {
			c.putChange(n)
		}
	}
	for range c.IntN(30) {
		c.putChange(c.next)
		c.next++
		if c.IntN(4) == 0 {
			c.putLoad()
		}
		if len(c.loads) > 0 && c.IntN(8) == 0 {
			l := c.loads[len(c.loads)-1-c.IntN(min(len(c.loads), 20))]
			c.stream.Put(c.home(l.key), l.data)
		}
		if c.partitioned && c.IntN(20) == 0 {
			open := c.stream.Open()
			c.stream.Put(open[c.IntN(len(open))], fmt.Appendf(nil, "junk %d", c.junk))
			c.junk++
		}
	}
}

const chaosKeys = 16

// putChange sends a change of one of the keys to the shard that has it now.
func (c *chaos) putChange(n int) {
	key := n * 7 % chaosKeys
	place := record.AppendStreamPosition(nil, record.Place{File: "bin.000001", EventStart: uint64(100 + n*10), EventEnd: 1}, 1)
	data := fmt.Appendf(nil, `{"data":{"key":%d,"n":%d},"metadata":{"record-type":"data","operation":"update","stream-position":%q,"writer-term":%d,"source-epoch":1}}`+"\n",
		key, n, place, c.term)
	c.stream.Put(c.home(key), data)
}

// putLoad sends a row as the changes so far have made it.
func (c *chaos) putLoad() {
	n := c.next - 1 - c.IntN(min(c.next, chaosKeys)) // the newest of its key
	key := n * 7 % chaosKeys
	c.number++
	number := fmt.Sprintf(`,"writer-sequence":%d`, c.number)
	if c.bare {
		number = ""
	}
	l := lateLoad{key: key, id: fmt.Sprintf("%d-%d", c.term, c.number)}
	l.data = fmt.Appendf(nil, `{"data":{"key":%d,"n":%d,"load":%q},"metadata":{"record-type":"data","operation":"load","writer-term":%d,"source-epoch":1%s}}`+"\n",
		key, n, l.id, c.term, number)
	c.loads = append(c.loads, l)
	c.stream.Put(c.home(key), l.data)
}

// home is the open shard of a key: the open shards share the keys in order of their names, but a child has its keys
// from its parent. It is enough that a key moves only from parents to children.
func (c *chaos) home(key int) string {
	at := []string{shard0, shard1}[key%2]
	for {
		next := ""
		for _, s := range c.children(at) {
			if next == "" || key/2%2 == 1 {
				next = s
			}
		}
		if next == "" {
			return at
		}
		at = next
		key /= 2
	}
}

func (c *chaos) children(id string) []string {
	s := kinesisin.New(kinesisin.Config{API: c.stream, Stream: "s", Health: outage.New(c.config().Log, ""), Gate: newBudget(1)})
	shards, err := s.Shards(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	var children []string
	for _, sh := range shards {
		if slices.Contains(sh.Parents, id) {
			children = append(children, sh.ID)
		}
	}
	return children
}

func (c *chaos) reshard() {
	open := c.stream.Open()
	if len(open) > 1 && c.IntN(2) == 0 {
		i := c.IntN(len(open) - 1)
		c.stream.Merge(open[i], open[i+1])
		return
	}
	c.stream.Split(open[c.IntN(len(open))])
}

// check reads what is stored, parents before children, as a reader of the objects would.
func (c *chaos) check() {
	lines := c.bucket.lines(c.t)
	seen := map[int]int{}
	loads := map[string]int{}
	junk := map[int]int{}
	last := map[int]int{}
	fault := func(format string, args ...any) {
		c.faults = append(c.faults, fmt.Sprintf(format, args...))
		if c.mutant == nil && !c.bare && len(c.faults) < 5 {
			c.t.Errorf(format, args...)
		}
	}
	for _, shard := range slices.Sorted(maps.Keys(lines)) { // a child's name is higher than its parents'
		for _, line := range lines[shard] {
			var key, n int
			var failed struct{ RawData []byte }
			if json.Unmarshal([]byte(line), &failed) == nil && failed.RawData != nil {
				if _, err := fmt.Sscanf(string(failed.RawData), "junk %d", &n); err != nil {
					c.t.Fatalf("error output of %q", failed.RawData)
				}
				junk[n]++
				continue
			}
			row, id, isLoad := strings.Cut(line, `,"load":`)
			if _, err := fmt.Sscanf(strings.TrimPrefix(row, `{"data":{`), `"key":%d,"n":%d`, &key, &n); err != nil {
				c.t.Fatalf("stored line %q: %v", line, err)
			}
			if isLoad {
				id, _, _ = strings.Cut(id[1:], `"`)
				loads[id]++
			} else {
				seen[n]++
			}
			if before, ok := last[key]; ok && n < before {
				fault("%s: key %d: %d comes after %d", shard, key, n, before)
			}
			last[key] = n
		}
	}
	for n := range c.next {
		if seen[n] != 1 {
			fault("change %d of key %d is stored %d times", n, n*7%chaosKeys, seen[n])
		}
	}
	for _, l := range c.loads {
		if loads[l.id] != 1 {
			fault("load %s of key %d is stored %d times", l.id, l.key, loads[l.id])
		}
	}
	for n := range c.junk {
		if junk[n] != 1 {
			fault("record %d without a partition is stored %d times", n, junk[n])
		}
	}
}
