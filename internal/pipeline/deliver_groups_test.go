package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
