package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin/kinesistest"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// Reading goes on while an object cannot be stored, and full runs wait for it, up to a limit. What another writer stores
// meanwhile, however it cuts and wherever it stops, is taken out of the runs that wait: nothing is lost or doubled.
func TestDeliverQueuesRuns(t *testing.T) {
	const size, first, second, third = 50_000, 60, 600, 80
	for name, layout := range map[string]func(*DeliverConfig){
		"one object a run": func(*DeliverConfig) {},
		"by group":         byGroup,
		"uncompressed":     func(c *DeliverConfig) { c.Layout.Compression = s3sink.Uncompressed },
	} {
		for _, other := range []struct{ size, puts int64 }{{0, 0}, {20_000, 1}, {50_000, 2}, {70_000, 1}, {110_000, 1}, {110_000, 3}, {180_000, 1}, {110_000, 1000}, {1 << 20, 1}, {1 << 20, 1000}} {
			t.Run(fmt.Sprintf("%s, %d objects of %d of another writer", name, other.puts, other.size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 1)
					n := 0
					put := func(records int) {
						for range records {
							w.stream.Put(shard0, fmt.Appendf(nil, `{"g":"%c","n":%d,"pad":"%01000d"}`+"\n", 'a'+rune(n%3), n, n))
							n++
						}
					}
					p := &process{store: w.store, bucket: w.bucket}
					d, stop := w.start(layout, func(c *DeliverConfig) { c.Destination, c.Size = p, size })
					put(first) // the first object tells that there are no others
					time.Sleep(10 * time.Minute)
					p.dead.Store(true)
					put(second)
					time.Sleep(10 * time.Minute)
					held := d.Status().Memory
					if held < (2+maxWaiting)*size {
						t.Errorf("%d bytes are held: reading waits for the object", held)
					}
					if other.puts > 0 {
						w2 := &world{t: t, stream: w.stream, store: newMemStore(), bucket: w.bucket}
						w2.dieAfter(int(other.puts), layout, func(c *DeliverConfig) { c.Size = other.size })
					}
					p.dead.Store(false)
					time.Sleep(10 * time.Minute)
					put(third)
					time.Sleep(10 * time.Minute)
					if m := d.Status().Memory; m != 0 {
						t.Errorf("%d bytes are held when everything is stored", m)
					}
					if err := stop(); err != nil {
						t.Error(err)
					}
					stored := w.bucket.lines(t)[shard0]
					slices.SortFunc(stored, func(a, b string) int { return strings.Compare(a[len(`{"g":"a"`):], b[len(`{"g":"a"`):]) })
					want := make([]string, n)
					for i := range want {
						want[i] = fmt.Sprintf(`{"g":"%c","n":%d,"pad":"%01000d"}`, 'a'+rune(i%3), i, i)
					}
					slices.SortFunc(want, func(a, b string) int { return strings.Compare(a[len(`{"g":"a"`):], b[len(`{"g":"a"`):]) })
					if !slices.Equal(stored, want) {
						t.Errorf("%d records are stored, want %d, each once", len(stored), n)
					}
				})
			})
		}
	}
}

// What waits in the queue is stored at the end.
func TestDeliverStoresTheQueueAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := &process{store: w.store, bucket: w.bucket, rand: rand.New(rand.NewPCG(1, 1)), slow: 5 * time.Second}
		d, stop := w.start(func(c *DeliverConfig) { c.Destination, c.Size = p, 50_000 })
		for i := range 260 {
			w.stream.Put(shard0, fmt.Appendf(nil, "%01000d\n", i))
		}
		time.Sleep(2 * time.Second)
		if n := w.bucket.count(); n > 1 {
			t.Fatalf("%d objects are stored: nothing waits", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		stored := len(w.bucket.lines(t)[shard0])
		if stored < (2+maxWaiting)*50 {
			t.Errorf("%d records are stored", stored)
		}
		if m := d.Status().Memory; m != 0 {
			t.Errorf("%d bytes are held at the end", m)
		}
		w.drain()
		if n := len(w.bucket.lines(t)[shard0]); n != 260 {
			t.Errorf("%d records are stored, want 260; %d were before", n, stored)
		}
	})
}

// What waits in the queue when the time for storing it is over is told, and read again.
func TestDeliverTellsOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := &process{store: w.store, bucket: w.bucket}
		d, stop := w.start(func(c *DeliverConfig) { c.Destination, c.Size = p, 50_000 })
		time.Sleep(10 * time.Minute)
		p.dead.Store(true)
		for i := range 300 {
			w.stream.Put(shard0, fmt.Appendf(nil, "%01000d\n", i))
		}
		time.Sleep(10 * time.Minute)
		left, ok := errors.AsType[*UnstoredError](stop())
		if full := (2 + maxWaiting) * 50; !ok || left.Records != full || left.Bytes != int64(full)*1001 {
			t.Errorf("stop says %v", left)
		}
		if m := d.Status().Memory; m != 0 {
			t.Errorf("%d bytes are held at the end", m)
		}
		w.drain()
		if n := len(w.bucket.lines(t)[shard0]); n != 300 {
			t.Errorf("%d records are stored, want 300", n)
		}
	})
}

// expiring is a stream of which a shard is gone after some answers, with records that nobody has read.
type expiring struct {
	*kinesistest.Stream
	answers atomic.Int64 // that are left of the shard
	read    atomic.Int64 // records in them
}

func (e *expiring) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, options ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	if !strings.HasPrefix(*in.ShardIterator, shard0) {
		return e.Stream.GetRecords(ctx, in, options...)
	}
	if e.answers.Add(-1) < 0 {
		e.Forget(shard0)
		return nil, &types.ExpiredIteratorException{}
	}
	out, err := e.Stream.GetRecords(ctx, in, options...)
	if err == nil {
		e.read.Add(int64(len(out.Records)))
	}
	return out, err
}

// A shard that expires as a whole while nothing can be stored ends behind what was read of it, and what lies between
// reader and worker is a part of that.
func TestDeliverStoresWhatWasReadOfAnExpiredShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		s := &expiring{Stream: w.stream}
		s.answers.Store(1 << 20)
		p := &process{store: w.store, bucket: w.bucket}
		d, stop := w.start(func(c *DeliverConfig) { c.Stream.API, c.Destination, c.Size, c.AcceptLoss = s, p, 50_000, true })
		time.Sleep(10 * time.Minute)
		p.dead.Store(true)
		s.answers.Store(2)
		for i := range 2000 {
			w.stream.Put(shard0, fmt.Appendf(nil, "%01000d\n", i))
		}
		child, _ := w.stream.Split(shard0)
		w.put(child, 0, 10)
		time.Sleep(10 * time.Minute)
		read := int(s.read.Load())
		if full := (2 + maxWaiting) * 50; read <= full || read == 2000 {
			t.Fatalf("%d records were read: nothing lies, or nothing is left", read)
		}
		p.dead.Store(false)
		time.Sleep(10 * time.Minute)
		synctest.Wait() // a question to the stream that is made at this very moment is answered
		if m := d.Status().Memory; m != 0 {
			t.Errorf("%d bytes are held when everything is stored", m)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		stored := w.bucket.lines(t)[shard0]
		for i, line := range stored {
			if want := fmt.Sprintf("%01000d", i); line != want {
				t.Fatalf("record %d is %s", i, line[len(line)-10:])
			}
		}
		if len(stored) != read {
			t.Errorf("%d records are stored of %d that were read", len(stored), read)
		}
		w.want(child, 0, 10)
	})
}

// A batch that lies between reader and worker when the worker ends is not counted any more.
func TestDeliverGivesBackWhatLies(t *testing.T) {
	w := &shardWorker{Deliver: &Deliver{budget: newBudget(1 << 20)}, batches: make(chan *kinesisin.Batch, 1)}
	taken, lies := &kinesisin.Batch{Reserved: 1000}, &kinesisin.Batch{Reserved: 300}
	w.budget.Add(taken.Reserved + lies.Reserved)
	w.batch = taken
	if err := w.hand(t.Context(), lies); err != nil {
		t.Fatal(err)
	}
	w.giveBack()
	if n := w.budget.inUse(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}
