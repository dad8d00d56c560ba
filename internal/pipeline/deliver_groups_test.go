package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin/kinesistest"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// byGroup is a layout under which a record's group says where it belongs.
func byGroup(c *DeliverConfig) {
	c.Layout.Partitioned, c.Layout.Query = true, "{g: .g}"
	c.Layout.Prefix, c.Layout.ErrorOutputPrefix = "g=!{partitionKeyFromQuery:g}/", "errors/!{firehose:error-output-type}/"
}

func (w *world) putGroups(from int, groups ...string) {
	for i, g := range groups {
		w.stream.Put(shard0, fmt.Appendf(nil, `{"g":%q,"n":%d}`+"\n", g, from+i))
	}
}

// runs gives the objects as "first-last: prefix=count …", a run at a time.
func (b *memBucket) runs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	byFirst := map[string][]string{}
	var firsts []string
	name := map[string]int{}
	number := func(sequence string) int { return name[sequence] }
	for _, o := range b.objects {
		name[o.Meta.First], name[o.Meta.Last] = 0, 0
	}
	var all []string
	for s := range name {
		all = append(all, s)
	}
	slices.SortFunc(all, s3sink.CompareSequence)
	for i, s := range all {
		name[s] = i
	}
	for _, o := range b.objects {
		if byFirst[o.Meta.First] == nil {
			firsts = append(firsts, o.Meta.First)
		}
		prefix, _, _ := strings.Cut(o.Key, "/")
		byFirst[o.Meta.First] = append(byFirst[o.Meta.First], fmt.Sprintf("%d/%d to %d %s:%d", o.Meta.Part, o.Meta.Parts, number(o.Meta.Last), prefix, o.Meta.Records))
	}
	slices.SortFunc(firsts, s3sink.CompareSequence)
	var out []string
	for _, first := range firsts {
		slices.Sort(byFirst[first])
		out = append(out, fmt.Sprintf("%d: %s", number(first), strings.Join(byFirst[first], ", ")))
	}
	return out
}

func wantRuns(t *testing.T, b *memBucket, want ...string) {
	t.Helper()
	if got := b.runs(); !slices.Equal(got, want) {
		t.Errorf("runs are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDeliverGroups(t *testing.T) {
	t.Run("a run ends before a partition too many", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.putGroups(0, "a", "b", "a", "", "c", "a", "d", "d")
			w.drain(byGroup, func(c *DeliverConfig) { c.Partitions = 2 })
			wantRuns(t, w.bucket, "0: 1/3 to 1 g=a:2, 2/3 to 1 g=b:1, 3/3 to 1 errors:1", "2: 1/2 to 3 g=c:1, 2/2 to 3 g=a:1", "4: 0/0 to 5 g=d:2")
		})
	})
	t.Run("by commit time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			for i, at := range []string{"2026-01-02T00:59:59", "2026-01-02T01:00:00", "2026-01-02T00:10:00"} {
				w.stream.Put(shard0, fmt.Appendf(nil, `{"data":{"n":%d},"metadata":{"record-type":"data","operation":"insert","commit-timestamp":"%s.000000Z"}}`, i, at))
			}
			w.drain(func(c *DeliverConfig) {
				c.Layout.Prefix, c.Layout.PartitionTime = "!{timestamp:yyyy-MM-dd-HH}/", s3sink.ByCommit
			})
			wantRuns(t, w.bucket, "0: 1/2 to 1 2026-01-02-00:2, 2/2 to 1 2026-01-02-01:1")
		})
	})
	t.Run("a folder", func(t *testing.T) {
		dir := t.TempDir()
		w := newWorld(t, 1)
		w.putGroups(0, "a", "b", "a", "..")
		w.drain(byGroup, func(c *DeliverConfig) { c.Destination = s3sink.NewFile(dir) })
		var folders []string
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".gz") {
				rel, _ := filepath.Rel(dir, filepath.Dir(path))
				folders = append(folders, rel)
			}
			return err
		})
		if want := []string{"g=..", "g=a", "g=b"}; err != nil || !slices.Equal(folders, want) {
			t.Errorf("objects in %v, %v; want %v", folders, err, want)
		}
	})
}

// dyingBucket is a bucket whose user dies when it has stored some objects.
type dyingBucket struct {
	*memBucket
	puts int
	die  context.CancelFunc
	mu   sync.Mutex // covers puts
}

func (b *dyingBucket) Put(ctx context.Context, o *s3sink.Object) error {
	b.mu.Lock()
	alive := b.puts > 0
	b.puts--
	b.mu.Unlock()
	if !alive {
		b.die()
		<-ctx.Done()
		return ctx.Err()
	}
	return b.memBucket.Put(ctx, o)
}

// dieAfter runs a Deliver that dies, without saving anything more, when it has stored some objects.
func (w *world) dieAfter(puts int, change ...func(*DeliverConfig)) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	b := &dyingBucket{memBucket: w.bucket, puts: puts, die: cancel}
	_ = NewDeliver(w.config(append(change, func(c *DeliverConfig) {
		c.Once, c.Destination, c.Grace = true, b, time.Nanosecond
	})...)).Run(ctx)
	w.store.forget("deliver/s/" + fmt.Sprint(w.stream.Created.Unix()) + "/shards/")
}

// Whoever comes after a crash between the objects of a run makes those that are missing of the same records, however
// it would have cut itself.
func TestDeliverFinishesARun(t *testing.T) {
	groups := []string{"a", "b", "a", "c", "b", "a", "", "b", "c", "a"}
	for puts := 1; puts <= 4; puts++ {
		for name, successor := range map[string]func(*DeliverConfig){
			"that cuts earlier": func(c *DeliverConfig) { c.Size = 40 },
			"that cuts later":   func(*DeliverConfig) {},
			"of few partitions": func(c *DeliverConfig) { c.Partitions = 1 },
			"of little memory":  func(c *DeliverConfig) { c.MaxBytes = 1 << 16; c.Size = 40 },
		} {
			t.Run(fmt.Sprintf("%d of 4 objects, successor %s", puts, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 1)
					w.putGroups(0, groups...)
					w.dieAfter(puts, byGroup)
					w.putGroups(len(groups), "a", "b")
					w.drain(byGroup, successor)
					runs := w.bucket.runs()
					if want := "0: 1/4 to 1 g=a:4, 2/4 to 1 g=b:3, 3/4 to 1 g=c:2, 4/4 to 1 errors:1"; runs[0] != want {
						t.Errorf("the first run is %s, want %s", runs[0], want)
					}
					if n := len(w.bucket.lines(t)[shard0]); n != len(groups)+2 {
						t.Errorf("%d records are stored, want %d", n, len(groups)+2)
					}
				})
			})
		}
	}
}

// stalled is a stream that gives a few records and then nothing more.
type stalled struct {
	*kinesistest.Stream

	asked atomic.Bool
}

func (s *stalled) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, options ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	if s.asked.Swap(true) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	in.Limit = aws.Int32(3)
	return s.Stream.GetRecords(ctx, in, options...)
}

// Where a run ends that another process began to store is read from its objects, so whoever is to stop before it has read
// up to there stops at once, and says why.
func TestDeliverStopsWithinARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.putGroups(0, "a", "b", "a", "c", "b")
		w.dieAfter(1, byGroup)
		_, stop := w.start(byGroup, func(c *DeliverConfig) { c.Stream.API, c.Interval = &stalled{Stream: w.stream}, time.Second })
		time.Sleep(5 * time.Second)
		begin := time.Now()
		left, ok := errors.AsType[*UnstoredError](stop())
		if !ok || left.Records != 3 || left.Unread == "" || !strings.Contains(left.Error(), left.Unread) {
			t.Errorf("Run = %v", left)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("stopping took %s", took)
		}
		w.drain(byGroup)
		wantRuns(t, w.bucket, "0: 1/3 to 1 g=a:2, 2/3 to 1 g=b:2, 3/3 to 1 g=c:1")
	})
}

// A run of a former layout is finished under that layout.
func TestDeliverFinishesARunOfAFormerLayout(t *testing.T) {
	for name, change := range map[string]func(*DeliverConfig){
		"no partitions any more": func(*DeliverConfig) {},
		"another prefix":         func(c *DeliverConfig) { byGroup(c); c.Layout.Prefix = "other/!{partitionKeyFromQuery:g}/" },
		"another error prefix":   func(c *DeliverConfig) { byGroup(c); c.Layout.ErrorOutputPrefix = "e/" },
		"no deduplication":       func(c *DeliverConfig) { byGroup(c); c.Layout.Deduplicate = false },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				w.putGroups(0, "z")
				w.drain(byGroup)
				before := w.saved()
				w.putGroups(1, "a", "b", "", "a")
				w.drain(byGroup)
				w.putGroups(5, "b", "c", "b")
				w.dieAfter(1, byGroup) // the first of two objects
				w.store.docs[w.shardName()], w.store.revs[w.shardName()] = before, 1
				w.putGroups(8, "b", "c", "a")
				w.drain(change)
				w.drain(change)
				runs := w.bucket.runs()
				if len(runs) < 4 || !strings.Contains(runs[2], "g=b:2, 2/2") || !strings.Contains(runs[2], "g=c:1") {
					t.Errorf("runs are\n%s", strings.Join(runs, "\n"))
				}
				if n := len(w.bucket.lines(t)[shard0]); n != 11 {
					t.Errorf("%d records are stored, want 11:\n%s", n, strings.Join(runs, "\n"))
				}
			})
		})
	}
}

func (w *world) shardName() string {
	return "deliver/s/" + fmt.Sprint(w.stream.Created.Unix()) + "/shards/" + shard0
}

func (w *world) saved() []byte {
	doc, _, err := w.store.Load(w.t.Context(), w.shardName())
	if err != nil {
		w.t.Fatal(err)
	}
	return doc
}

// A record whose body was put elsewhere gets it back. As long as that cannot be read, or is another one, nothing
// behind it is stored; locations elsewhere are never read.
func TestDeliverPutsBodiesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		dir := t.TempDir()
		body := []byte(`{"data":{"id":1,"text":"` + strings.Repeat("x", 5000) + `"},"metadata":{"record-type":"data"}}` + "\n")
		reference := func(location string) []byte {
			return fmt.Appendf(nil, `{"data":{"id":1},"metadata":{"record-type":"data","oversized-record":{"location":%q,"bytes":%d,"sha256":"%x"}}}`+"\n",
				location, len(body), sha256.Sum256(body))
		}
		outside := reference("file:///etc/passwd")
		climbing := reference("file://" + dir + "/../passwd")
		w.put(shard0, 0, 3)
		for _, r := range [][]byte{reference("file://" + dir + "/p/s/t/x.json"), outside, climbing} {
			w.stream.Put(shard0, r)
		}
		w.put(shard0, 3, 5)
		var log bytes.Buffer
		reg := prometheus.NewPedanticRegistry()
		d, stop := w.start(func(c *DeliverConfig) {
			c.Bodies, c.Interval, c.Registerer = &s3sink.FileBodies{Dir: dir}, time.Second, reg
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
		time.Sleep(30 * time.Minute)
		if w.bucket.count() != 0 || len(d.Status().Trouble) == 0 || d.Status().Freshness < 29*time.Minute {
			t.Errorf("without the body: %d objects, status %+v", w.bucket.count(), d.Status())
		}
		if left, want := gauge(t, reg, "binlogstreamer_stream_retention_seconds"), d.keeps()-d.Status().Freshness; d.keeps() == 0 || left != want.Seconds() {
			t.Errorf("the oldest record leaves the stream in %v s, want %s", left, want)
		}
		if err := os.MkdirAll(filepath.Join(dir, "p/s/t"), 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "p/s/t/x.json")
		if err := os.WriteFile(file, bytes.ToUpper(body), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if w.bucket.count() != 0 || !strings.Contains(d.Status().Trouble[0], "SHA-256") {
			t.Errorf("with another body: %d objects, trouble %v", w.bucket.count(), d.Status().Trouble)
		}
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		got := strings.Join(w.bucket.lines(t)[shard0], "\n") + "\n"
		if want := "0\n1\n2\n" + string(body) + string(outside) + string(climbing) + "3\n4\n"; got != want {
			t.Errorf("stored is %.300q, want %.300q", got, want)
		}
		for _, o := range w.bucket.objects {
			if plain := w.bucket.plain(t, o); o.Meta.Bytes != int64(len(plain)) {
				t.Errorf("%s has %d bytes, its metadata says %d", o.Key, len(plain), o.Meta.Bytes)
			}
		}
		if d.Status().Memory != 0 || !strings.Contains(log.String(), "oversized records works again") {
			t.Errorf("%d bytes are held; the log is\n%s", d.Status().Memory, log.String())
		}
	})
}

func gauge(t *testing.T, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func (b *memBucket) plain(t *testing.T, o *s3sink.Object) []byte {
	t.Helper()
	r, err := b.reader(o)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// counted is a destination that counts its calls, and refuses them all while it is away.
type counted struct {
	s3sink.Destination
	puts, heads atomic.Int64
	away        atomic.Bool
}

func (c *counted) Put(ctx context.Context, o *s3sink.Object) error {
	c.puts.Add(1)
	if c.away.Load() {
		return errFlaky
	}
	return c.Destination.Put(ctx, o)
}

func (c *counted) Head(ctx context.Context, key string) (s3sink.Meta, error) {
	c.heads.Add(1)
	if c.away.Load() {
		return s3sink.Meta{}, errFlaky
	}
	return c.Destination.Head(ctx, key)
}

// A worker that lost its checkpoint goes along the chain of objects that are there. It asks for them and sends none again;
// where one of a run is missing, it makes that one.
func TestDeliverAsksBeforeItSendsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		const runs = 20
		for range runs {
			w.putGroups(0, "a", "b", "", "a")
		}
		small := func(c *DeliverConfig) { byGroup(c); c.Size = 60 }
		w.drain(small)
		before, lines := w.bucket.runs(), w.bucket.lines(t)[shard0]
		if len(before) != runs {
			t.Fatalf("%d runs are stored, want %d:\n%s", len(before), runs, strings.Join(before, "\n"))
		}
		objects := w.bucket.count()
		w.store.forget("deliver/")
		for _, o := range w.bucket.objects {
			if o.Meta.Part == 2 {
				delete(w.bucket.objects, o.Key) // as if its writer had died before it
				break
			}
		}
		w.putGroups(0, "z")
		c := &counted{Destination: w.bucket}
		w.drain(small, func(cfg *DeliverConfig) { cfg.Destination = c })
		if puts, heads := c.puts.Load(), c.heads.Load(); puts != 2 || heads < int64(objects) {
			t.Errorf("%d objects were sent and %d asked for, want 2, the missing and the new one, and at least the %d of the chain", puts, heads, objects)
		}
		if got := w.bucket.lines(t)[shard0]; len(got) != len(lines)+1 {
			t.Errorf("%d records are stored, want %d", len(got), len(lines)+1)
		}
		// At the end of the chain nobody is asked any more.
		c.puts.Store(0)
		c.heads.Store(0)
		for range runs {
			w.putGroups(0, "a", "b", "", "a")
		}
		w.drain(small, func(cfg *DeliverConfig) { cfg.Destination = c })
		if puts, heads := c.puts.Load(), c.heads.Load(); puts != 3*runs || heads != 1 {
			t.Errorf("for %d new runs of 3 objects %d objects were sent and %d asked for, want one question", runs, puts, heads)
		}
	})
}

// While the destination is away, workers with many open partitions stop reading at the ceiling of memory, and do not spin.
func TestDeliverOutageWithPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		c := &counted{Destination: w.bucket}
		const limit, records = 1 << 20, 2000
		d, stop := w.start(byGroup, func(cfg *DeliverConfig) { cfg.Destination, cfg.MaxBytes, cfg.Size = c, limit, 200_000 })
		time.Sleep(time.Second)
		c.away.Store(true)
		for i := range records {
			for _, s := range w.stream.Open() {
				w.stream.Put(s, fmt.Appendf(nil, `{"g":"%d","pad":"%01000d"}`+"\n", i%50, i))
			}
		}
		time.Sleep(10 * time.Minute) // until nothing more fits
		c.puts.Store(0)
		c.heads.Store(0)
		reads, iterators := w.stream.Calls("GetRecords"), w.stream.Calls("GetShardIterator")
		const hours = 3
		for range hours * 60 {
			time.Sleep(time.Minute)
			if m := d.Status().Memory; m > limit*3/2 {
				t.Fatalf("%d bytes are held, the limit is %d", m, limit)
			}
		}
		if n := w.stream.Calls("GetRecords") - reads + w.stream.Calls("GetShardIterator") - iterators; n != 0 {
			t.Errorf("the stream was read %d times while there was no room", n)
		}
		// One object a shard is tried, with pauses of up to 20 s.
		if puts, heads := c.puts.Load(), c.heads.Load(); puts+heads > 3*hours*3600/5 || puts+heads < 3*hours*3600/40 {
			t.Errorf("%d attempts to store and %d to look in %d hours", puts, heads, hours)
		}
		c.away.Store(false)
		time.Sleep(10 * time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		for s, lines := range w.bucket.lines(t) {
			slices.Sort(lines)
			if n := len(slices.Compact(lines)); n != records || len(lines) != records {
				t.Errorf("%s: %d records are stored, %d different ones, want %d", s, len(lines), n, records)
			}
		}
	})
}

// Records of a run expire while it is being finished: another writer's first object says where it ends, and this process
// stood still for longer than the stream keeps records. Without accept_loss deliver ends; with it the run's other objects
// are made of what is left, the log says that records are lost, and what comes behind the run is stored.
func TestDeliverLosesTheRestOfARun(t *testing.T) {
	for _, accept := range []bool{false, true} {
		t.Run(fmt.Sprintf("accept_loss %t", accept), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				pad := func(from int, groups ...string) {
					for i, g := range groups {
						w.stream.Put(shard0, fmt.Appendf(nil, `{"g":%q,"n":%d,"pad":"%020000d"}`+"\n", g, from+i, 0))
					}
				}
				pad(0, "a", "b", "a", "c")
				gate := &gated{Destination: w.bucket, opens: make(chan struct{})}
				var log bytes.Buffer
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan error, 1)
				stands := NewDeliver(w.config(byGroup, func(c *DeliverConfig) {
					c.Destination, c.Size, c.MaxBytes, c.AcceptLoss = gate, 60_000, 1<<16, accept
					c.Log = slog.New(slog.NewTextHandler(&log, nil))
				}))
				go func() { ended <- stands.Run(ctx) }()
				time.Sleep(10 * time.Minute) // its first run is read, and waits
				pad(4, "b", "a", "c", "d")
				other := &world{t: t, stream: w.stream, store: newMemStore(), bucket: w.bucket}
				other.dieAfter(1, byGroup)
				if runs := w.bucket.runs(); len(runs) != 1 || !strings.Contains(runs[0], "1/4") {
					t.Fatalf("the other writer has stored %v", runs)
				}
				time.Sleep(30 * time.Hour)
				pad(8, "a", "b")
				close(gate.opens)
				time.Sleep(time.Hour)
				if !accept {
					if _, ok := errors.AsType[*kinesisin.ExpiredError](<-ended); !ok {
						t.Errorf("it did not end for the records that expired:\n%s", log.String())
					}
					if n := w.bucket.count(); n != 1 {
						t.Errorf("%d objects are stored, want the other writer's alone", n)
					}
					return
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				stored := strings.Join(w.bucket.lines(t)[shard0], "\n")
				for n, want := range []int{1, 1, 1, 1, 0, 1, 0, 0, 1, 1} { // 4, 6 and 7 are lost; 5 is in the first object
					if got := strings.Count(stored, fmt.Sprintf(`"n":%d,`, n)); got != want {
						t.Errorf("record %d is stored %d times, want %d", n, got, want)
					}
				}
				if !strings.Contains(log.String(), "DATALOSS") {
					t.Errorf("the log does not say that records are lost:\n%s", log.String())
				}
			})
		})
	}
}

// gated is a destination in which nothing can be stored before it opens.
type gated struct {
	s3sink.Destination
	opens chan struct{}
}

func (g *gated) wait(ctx context.Context) error {
	select {
	case <-g.opens:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gated) Put(ctx context.Context, o *s3sink.Object) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	return g.Destination.Put(ctx, o)
}

func (g *gated) Head(ctx context.Context, key string) (s3sink.Meta, error) {
	if err := g.wait(ctx); err != nil {
		return s3sink.Meta{}, err
	}
	return g.Destination.Head(ctx, key)
}
