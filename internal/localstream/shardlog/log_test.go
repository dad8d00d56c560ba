package shardlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func mustOpen(t testing.TB, cfg Config) *Log {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func entries(values ...string) []Record {
	out := make([]Record, len(values))
	for i, v := range values {
		out[i] = Record{Key: []byte("key of " + v), Data: []byte(v)}
	}
	return out
}

func mustAppend(t testing.TB, l *Log, values ...string) uint64 {
	t.Helper()
	first, err := l.Append(entries(values...))
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// contents reads everything in steps of limit and checks counters, keys and times on the way.
func contents(t testing.TB, l *Log, limit int) []string {
	t.Helper()
	b := l.Bounds()
	var out []string
	c, arrival := Cursor{Counter: b.First}, int64(0)
	for {
		records, next, err := l.Read(c, limit, 1<<20)
		if err != nil {
			t.Fatalf("read from %+v: %v", c, err)
		}
		if len(records) == 0 {
			if c.Counter != b.Next {
				t.Fatalf("reading ended at %d, the log ends at %d", c.Counter, b.Next)
			}
			return out
		}
		for i, r := range records {
			if r.Counter != c.Counter+uint64(i) {
				t.Fatalf("record %d stands where %d is due", r.Counter, c.Counter+uint64(i))
			}
			if string(r.Key) != "key of "+string(r.Data) || r.Arrival < arrival {
				t.Fatalf("record %d reads back as key %q, data %q, time %d after %d", r.Counter, r.Key, r.Data, r.Arrival, arrival)
			}
			arrival = r.Arrival
			out = append(out, string(r.Data))
		}
		c = next
	}
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprintf("%d%s", i, strings.Repeat("x", i%40)))
	}
	return out
}

func TestReadsBackWhatWasAppended(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	cfg := Config{Dir: dir, SegmentBytes: 1000}
	l := mustOpen(t, cfg)
	if got := contents(t, l, 10); got != nil {
		t.Fatalf("an empty log holds %q", got)
	}
	want := numbers(1, 300)
	for chunk := range slices.Chunk(want, 7) {
		mustAppend(t, l, chunk...)
	}
	for _, limit := range []int{1, 3, 1000} {
		if got := contents(t, l, limit); !slices.Equal(got, want) {
			t.Fatalf("with limit %d: got %q, want %q", limit, got, want)
		}
	}
	if len(l.segs) < 10 {
		t.Errorf("only %d segments: the test means to cross their borders", len(l.segs))
	}
	l.Close()
	if _, err := l.Append(entries("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v, want ErrClosed", err)
	}
	again := mustOpen(t, cfg)
	if got := contents(t, again, 50); !slices.Equal(got, want) {
		t.Fatalf("after reopening: got %q, want %q", got, want)
	}
	if first := mustAppend(t, again, "next"); first != 301 {
		t.Errorf("the counter goes on with %d after 300", first)
	}
}

// An answer holds what was there when it was asked for: against a writer that does not pause, it would never be complete.
func TestReadLeavesWhatComesMeanwhile(t *testing.T) {
	for name, segment := range map[string]int64{"in one segment": 1 << 20, "in several": 100} {
		l := mustOpen(t, Config{Dir: t.TempDir(), SegmentBytes: segment})
		mustAppend(t, l, "a", "b", "c")
		asked := l.Bounds().Next
		mustAppend(t, l, "d")
		mustAppend(t, l, "e")
		got, c, err := l.readUpTo(asked, Cursor{Counter: 1}, 100, 1<<20)
		if err != nil || len(got) != 3 || c.Counter != asked {
			t.Fatalf("%s: got %d records and %+v, %v", name, len(got), c, err)
		}
		if got, c, err = l.Read(c, 100, 1<<20); err != nil || len(got) != 2 || string(got[0].Data) != "d" || c.Counter != asked+2 {
			t.Errorf("%s: then got %d records and %+v, %v", name, len(got), c, err)
		}
	}
}

// Whoever reads while others write is not sent to the start of the segment again for what they have appended meanwhile.
func TestReadingGoesOnWhereItWas(t *testing.T) {
	l := mustOpen(t, Config{Dir: t.TempDir(), SegmentBytes: 1 << 20})
	mustAppend(t, l, "a", "b", "c")
	c := Cursor{Counter: 1}
	s, following, err := l.segmentOf(c.Counter)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.readSegment(s, following, &c, func(r frame) bool {
		if r.Counter == 3 {
			mustAppend(t, l, "d", "e")
		}
		return true
	}); err != nil || c.Counter != 4 {
		t.Fatalf("read up to %+v, %v", c, err)
	}
	s, _, err = l.segmentOf(c.Counter)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(l.path(s.first))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, at := s.open(f, "segment", c); at != c.Counter {
		t.Errorf("record %d is looked for from record %d on", c.Counter, at)
	}
}

func TestReadKeepsToItsLimits(t *testing.T) {
	l := mustOpen(t, Config{Dir: t.TempDir(), SegmentBytes: 300})
	big := strings.Repeat("b", 5000)
	mustAppend(t, l, "a", big, "c")
	got, c, err := l.Read(Cursor{Counter: 1}, 10, 100)
	if err != nil || len(got) != 1 || c.Counter != 2 {
		t.Fatalf("got %d records, next %d, %v; want the first alone", len(got), c.Counter, err)
	}
	got, c, err = l.Read(c, 10, 100)
	if err != nil || len(got) != 1 || len(got[0].Data) != 5000 || c.Counter != 3 {
		t.Fatalf("got %d records, next %d, %v; want the large one alone although it is over the limit", len(got), c.Counter, err)
	}
	if _, _, err := l.Read(Cursor{Counter: 5}, 1, 1); err == nil {
		t.Error("reading behind the end is not refused")
	}
	for _, wrong := range []Cursor{{2, 1, 3}, {2, 1, 1 << 40}, {2, 1, -5}, {2, 9, 50}, {2, 1, 50}} {
		got, _, err := l.Read(wrong, 1, 1)
		if err != nil || len(got) != 1 || got[0].Counter != 2 {
			t.Errorf("with the wrong hint %+v: %v, %v", wrong, got, err)
		}
	}
}

func TestConcurrentAppendsShareSyncs(t *testing.T) {
	var syncs atomic.Int64
	l := mustOpen(t, Config{Dir: t.TempDir(), create: func(path string) (file, error) {
		f, err := createFile(path)
		return &slowFile{file: f, syncs: &syncs}, err
	}})
	const writers, each = 32, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				v := fmt.Sprintf("%d-%d", w, i)
				first, err := l.Append(entries(v, v+"b"))
				if err != nil {
					t.Error(err)
					return
				}
				got, _, err := l.Read(Cursor{Counter: first}, 2, 1000)
				if err != nil || len(got) != 2 || string(got[0].Data) != v || string(got[1].Data) != v+"b" {
					t.Errorf("what Append returned as %d is not readable there: %v %v", first, got, err)
				}
			}
		})
	}
	wg.Wait()
	if got := contents(t, l, 100); len(got) != writers*each*2 {
		t.Errorf("%d records stored, want %d", len(got), writers*each*2)
	}
	if n := syncs.Load(); n > writers*each/2 {
		t.Errorf("%d syncs for %d appends of %d writers: they do not share", n, writers*each, writers)
	}
}

// slowFile counts syncs and makes them take as long as a disk's.
type slowFile struct {
	file
	syncs *atomic.Int64
}

func (f *slowFile) Sync() error {
	f.syncs.Add(1)
	time.Sleep(time.Millisecond)
	return f.file.Sync()
}

// faulty fails the calls that a test switches off. room is what a full disk has left.
type faulty struct {
	file
	f *faults
}

type faults struct {
	room                         int64 // -1: endless
	failSync, failTruncate, fail bool
}

func (f *faults) wrap(open func(string) (file, error)) func(string) (file, error) {
	return func(path string) (file, error) {
		if f.fail {
			return nil, syscall.ENOSPC
		}
		under, err := open(path)
		if err != nil {
			return nil, err
		}
		return &faulty{under, f}, nil
	}
}

func (f *faulty) WriteAt(b []byte, off int64) (int, error) {
	if f.f.room < 0 || int64(len(b)) <= f.f.room {
		return f.file.WriteAt(b, off)
	}
	n, err := f.file.WriteAt(b[:f.f.room], off)
	return n, errors.Join(err, syscall.ENOSPC)
}

func (f *faulty) Sync() error {
	if f.f.failSync {
		return syscall.EIO
	}
	return f.file.Sync()
}

func (f *faulty) Truncate(n int64) error {
	if f.f.failTruncate {
		return syscall.EIO
	}
	return f.file.Truncate(n)
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	for _, test := range []struct {
		name    string
		break_  func(*faults)
		wantErr error
	}{
		{"disk full at the first byte", func(f *faults) { f.room = 0 }, syscall.ENOSPC},
		{"disk full inside a record", func(f *faults) { f.room = 100 }, syscall.ENOSPC},
		{"disk full after a record", func(f *faults) { f.room = int64(frameSize(len("key of bad"), len("bad"))) }, syscall.ENOSPC},
		{"sync fails", func(f *faults) { f.failSync = true }, syscall.EIO},
		{"sync and truncate fail", func(f *faults) { f.failSync, f.failTruncate = true, true }, syscall.EIO},
		{"disk full and truncate fails", func(f *faults) { f.room, f.failTruncate = 100, true }, syscall.ENOSPC},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			f := &faults{room: -1}
			l := mustOpen(t, Config{Dir: dir, create: f.wrap(createFile), open: f.wrap(openFile)})
			mustAppend(t, l, "one", "two")
			test.break_(f)
			for i := range 2 { // the second may fail at repairing the first already
				if _, err := l.Append(entries("bad", strings.Repeat("bad", 100))); err == nil || i == 0 && !errors.Is(err, test.wantErr) {
					t.Fatalf("append: %v, want %v", err, test.wantErr)
				}
				if got := contents(t, l, 10); !slices.Equal(got, []string{"one", "two"}) {
					t.Fatalf("after a failed write the log shows %q", got)
				}
			}
			*f = faults{room: -1}
			if first := mustAppend(t, l, "three"); first != 3 {
				t.Errorf("after the failure the counter goes on with %d, want 3", first)
			}
			want := []string{"one", "two", "three"}
			if got := contents(t, l, 10); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			l.Close()
			if got := contents(t, mustOpen(t, Config{Dir: dir}), 10); !slices.Equal(got, want) {
				t.Errorf("after reopening: got %q, want %q", got, want)
			}
		})
	}
}

func TestFailureToMakeASegmentLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f := &faults{room: -1}
	cfg := Config{Dir: dir, SegmentBytes: 10, create: f.wrap(createFile), open: f.wrap(openFile)}
	l := mustOpen(t, cfg)
	for i, break_ := range []func(){func() { f.fail = true }, func() { f.room = 7 }, func() { f.failSync = true }} {
		break_()
		if _, err := l.Append(entries("bad")); err == nil {
			t.Fatal("no error")
		}
		*f = faults{room: -1}
		mustAppend(t, l, fmt.Sprint(i))
	}
	want := []string{"0", "1", "2"}
	if got := contents(t, l, 10); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	l.Close()
	if got := contents(t, mustOpen(t, cfg), 10); !slices.Equal(got, want) {
		t.Errorf("after reopening: got %q, want %q", got, want)
	}
}

func TestSeal(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	mustAppend(t, l, "one")
	end, err := l.Seal()
	if err != nil || end != 2 {
		t.Fatalf("seal: %d, %v", end, err)
	}
	if _, err := l.Append(entries("no")); !errors.Is(err, ErrSealed) {
		t.Fatalf("append to a sealed log: %v", err)
	}
	l.Unseal()
	mustAppend(t, l, "two")
	if end, err = l.Seal(); err != nil || end != 3 {
		t.Fatalf("seal: %d, %v", end, err)
	}
	l.Close()
	l = mustOpen(t, Config{Dir: dir, Sealed: 3})
	if _, err := l.Append(entries("no")); !errors.Is(err, ErrSealed) {
		t.Errorf("append to a log opened as sealed: %v", err)
	}
	if _, err := Open(Config{Dir: dir, Sealed: 4, Logger: quiet()}); err == nil {
		t.Error("a sealed log that misses a record opens without an error")
	}
	if l := mustOpen(t, Config{Dir: filepath.Join(dir, "gone"), Sealed: 4}); l.Bounds().Next != 4 {
		t.Errorf("a sealed log that has expired ends before %d", l.Bounds().Next)
	}
}

func TestTrimAndSeekTime(t *testing.T) {
	dir := t.TempDir()
	clock := int64(1000)
	cfg := Config{Dir: dir, SegmentBytes: 400, now: func() time.Time { return time.UnixMilli(clock) }}
	l := mustOpen(t, cfg)
	for i := 1; i <= 40; i++ {
		mustAppend(t, l, fmt.Sprint(i))
		clock += 10
	}
	for _, test := range []struct {
		t    int64
		want uint64
	}{{0, 1}, {1000, 1}, {1001, 2}, {1010, 2}, {1195, 21}, {1390, 40}, {1391, 41}, {1 << 50, 41}} {
		c, err := l.SeekTime(test.t)
		if err != nil || c.Counter != test.want {
			t.Errorf("SeekTime(%d) = %d, %v; want %d", test.t, c.Counter, err, test.want)
		}
		if got, _, err := l.Read(c, 1, 1); err != nil || len(got) == 1 && got[0].Counter != test.want {
			t.Errorf("reading at SeekTime(%d): %v, %v", test.t, got, err)
		}
	}

	size := l.Size()
	removed, err := l.Trim(1200)
	if err != nil || removed == 0 {
		t.Fatalf("trim: %d, %v", removed, err)
	}
	b := l.Bounds()
	if b.First > 21 || b.First < 10 || l.Size() >= size {
		t.Errorf("after trimming what is older than record 21 the log begins with %d and has %d of %d bytes", b.First, l.Size(), size)
	}
	if _, _, err := l.Read(Cursor{Counter: b.First - 1}, 1, 1); !errors.Is(err, ErrTrimmed) {
		t.Errorf("reading what was trimmed: %v, want ErrTrimmed", err)
	}
	contents(t, l, 3)
	if c, err := l.SeekTime(0); err != nil || c.Counter != b.First {
		t.Errorf("SeekTime(0) after trimming: %d, %v; want %d", c.Counter, err, b.First)
	}

	if _, err := l.Trim(1391); err != nil { // all of it, the active segment too
		t.Fatal(err)
	}
	if b := l.Bounds(); b.First != 41 || b.Next != 41 {
		t.Errorf("after trimming everything: %+v", b)
	}
	if n, err := l.Trim(1 << 50); n != 0 || err != nil {
		t.Errorf("trimming an empty log: %d, %v", n, err)
	}
	l.Close()
	l = mustOpen(t, cfg)
	if first := mustAppend(t, l, "next"); first != 41 {
		t.Errorf("after everything expired the counter goes on with %d, want 41", first)
	}
	if b := l.Bounds(); b.Arrival < 1390 {
		t.Errorf("the time went back to %d", b.Arrival)
	}
	if _, err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Trim(1 << 50); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("a sealed log that has expired keeps %v", left)
	}
}

func TestOldSegmentIsClosed(t *testing.T) {
	clock := time.UnixMilli(1000)
	l := mustOpen(t, Config{Dir: t.TempDir(), SegmentAge: time.Hour, now: func() time.Time { return clock }})
	mustAppend(t, l, "a")
	clock = clock.Add(59 * time.Minute)
	mustAppend(t, l, "b")
	clock = clock.Add(time.Minute)
	mustAppend(t, l, "c")
	if len(l.segs) != 2 || l.segs[1].first != 3 {
		t.Errorf("segments %+v, want a second one from record 3 on", l.segs)
	}
}

func TestClockGoingBackKeepsTimesInOrder(t *testing.T) {
	clock := int64(5000)
	l := mustOpen(t, Config{Dir: t.TempDir(), now: func() time.Time { return time.UnixMilli(clock) }})
	mustAppend(t, l, "a")
	clock = 10
	mustAppend(t, l, "b")
	contents(t, l, 10)
	if b := l.Bounds(); b.Arrival != 5000 {
		t.Errorf("arrival %d, want 5000", b.Arrival)
	}
}
