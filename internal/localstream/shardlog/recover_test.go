package shardlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// written makes a log of several commits and returns the bytes of its only segment, the values, and for each commit
// the file size behind it and the number of values up to it.
type written struct {
	data   []byte
	values []string
	ends   []int
	counts []int
}

func writeCommits(t testing.TB) written {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	w := written{}
	for i := 1; i <= 5; i++ {
		values := numbers(i*10, i*10+i)
		mustAppend(t, l, values...)
		w.values = append(w.values, values...)
		w.counts = append(w.counts, len(w.values))
		w.ends = append(w.ends, int(l.Size()))
	}
	l.Close()
	var err error
	if w.data, err = os.ReadFile(filepath.Join(dir, segmentName(1))); err != nil {
		t.Fatal(err)
	}
	return w
}

func openBytes(t testing.TB, data []byte) (*Log, error) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return Open(Config{Dir: dir, Logger: quiet()})
}

func TestTornTailIsCutOff(t *testing.T) {
	w := writeCommits(t)
	for cut := range w.data {
		l, err := openBytes(t, w.data[:cut])
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		got := contents(t, l, 100)
		complete := 0
		for i, end := range w.ends {
			if end <= cut {
				complete = w.counts[i]
			}
		}
		if len(got) < complete || !slices.Equal(got, w.values[:len(got)]) {
			t.Fatalf("cut at %d: got %q, want at least %q", cut, got, w.values[:complete])
		}
		if first := mustAppend(t, l, "after"); first != uint64(len(got)+1) {
			t.Fatalf("cut at %d: the next record is %d after %d", cut, first, len(got))
		}
		dir := l.cfg.Dir
		l.Close()
		if again := contents(t, mustOpen(t, Config{Dir: dir}), 100); !slices.Equal(again, append(got, "after")) {
			t.Fatalf("cut at %d, appended, reopened: got %q", cut, again)
		}
		os.RemoveAll(dir)
	}
}

// Damage in a commit that another one follows must be an error; in the last commit it may be what a crash left.
func TestDamageBeforeALaterCommitIsAnError(t *testing.T) {
	w := writeCommits(t)
	lastCommit := w.ends[len(w.ends)-2]
	for at := range w.data {
		data := slices.Clone(w.data)
		data[at] ^= 0x20
		l, err := openBytes(t, data)
		if at < lastCommit {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("damage at %d: %v, want a CorruptError", at, err)
			}
			if corrupt.Offset > int64(at) {
				t.Fatalf("damage at %d is reported at %d", at, corrupt.Offset)
			}
			continue
		}
		if err != nil {
			t.Fatalf("damage at %d, in the last commit: %v", at, err)
		}
		if got := contents(t, l, 100); len(got) < w.counts[3] || !slices.Equal(got, w.values[:len(got)]) {
			t.Fatalf("damage at %d: got %q", at, got)
		}
		l.Close()
	}
}

func TestDamageFoundWhileReadingIsAnError(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir, SegmentBytes: 200})
	mustAppend(t, l, numbers(1, 20)...)
	mustAppend(t, l, numbers(21, 40)...)
	path := filepath.Join(dir, segmentName(1))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2]++
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, _, err := l.Read(Cursor{Counter: 1}, 100, 1<<20); !errors.As(err, &corrupt) || corrupt.File != path {
		t.Errorf("reading damage: %v, want a CorruptError about %s", err, path)
	}
	if err := os.Truncate(path, int64(len(data)/2)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Read(Cursor{Counter: 1}, 100, 1<<20); !errors.As(err, &corrupt) {
		t.Errorf("reading a shortened segment: %v, want a CorruptError", err)
	}
	l.Close()
	// The last segment is intact, so the log opens; the damage shows when it is read, as it does above.
	l = mustOpen(t, Config{Dir: dir})
	if _, _, err := l.Read(Cursor{Counter: 1}, 100, 1<<20); !errors.As(err, &corrupt) {
		t.Errorf("after reopening: %v, want a CorruptError", err)
	}
}

func TestMissingSegmentIsAnError(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir, SegmentBytes: 100})
	for i := range 6 {
		mustAppend(t, l, numbers(i*10, i*10+9)...)
	}
	if len(l.segs) != 6 {
		t.Fatalf("%d segments", len(l.segs))
	}
	l.Close()
	if err := os.Remove(filepath.Join(dir, segmentName(21))); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := Open(Config{Dir: dir, Logger: quiet()}); !errors.As(err, &corrupt) {
		t.Errorf("open without a segment in the middle: %v, want a CorruptError", err)
	}
}

func TestCrashWhileASegmentIsMade(t *testing.T) {
	for _, size := range []int{0, 5, headerSize - 1, headerSize} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpen(t, Config{Dir: dir})
			mustAppend(t, l, "one", "two")
			l.Close()
			if err := os.WriteFile(filepath.Join(dir, segmentName(3)), make([]byte, size), 0o600); err != nil {
				t.Fatal(err)
			}
			l = mustOpen(t, Config{Dir: dir})
			mustAppend(t, l, "three")
			if got := contents(t, l, 10); !slices.Equal(got, []string{"one", "two", "three"}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A record that holds the bytes of a whole segment must not look like one.
func TestStoredSegmentInsideARecord(t *testing.T) {
	w := writeCommits(t)
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	mustAppend(t, l, "one")
	mustAppend(t, l, string(w.data))
	size := l.Size()
	l.Close()
	if err := os.Truncate(filepath.Join(dir, segmentName(1)), size-1); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, mustOpen(t, Config{Dir: dir}), 10); !slices.Equal(got, []string{"one"}) {
		t.Errorf("got %q", got)
	}
}

// FuzzOpen feeds damaged segment files to recovery. Whatever they hold: no panic, and either a CorruptError or a log
// that works.
func FuzzOpen(f *testing.F) {
	s := segment{first: 1, salt: 7, size: int64(headerSize)}
	good := s.header()
	for i, v := range []string{"a", "bb", "ccc"} {
		good = appendFrame(good, 7, flagCommit, Record{Counter: uint64(i + 1), Arrival: int64(i), Key: []byte("key of " + v), Data: []byte(v)})
	}
	f.Add(good, 0, byte(0))
	f.Add(good, headerSize+9, byte(1))
	f.Add(good[:len(good)-1], 0, byte(0))
	f.Add(append(slices.Clone(good), 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, byte(0))
	f.Add(s.header(), 3, byte(1))
	f.Add([]byte{}, 0, byte(0))
	f.Fuzz(func(t *testing.T, data []byte, at int, flip byte) {
		data = slices.Clone(data)
		if at >= 0 && at < len(data) {
			data[at] ^= flip
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(Config{Dir: dir, Logger: quiet()})
		if err != nil {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("%v is no CorruptError", err)
			}
			return
		}
		defer l.Close()
		before := l.Bounds().Next
		if _, err := l.Append(entries("after")); err != nil {
			t.Fatal(err)
		}
		got, _, err := l.Read(Cursor{Counter: 1}, 1<<20, 1<<20)
		if err != nil || uint64(len(got)) != before || string(got[len(got)-1].Data) != "after" {
			t.Fatalf("%d records of %d, %v", len(got), before, err)
		}
	})
}

func FuzzParseFrame(f *testing.F) {
	f.Add(appendFrame(nil, 1, 0, Record{Counter: 1, Key: []byte("k"), Data: []byte("d")}), uint32(1))
	f.Add([]byte{19, 0, 0, 0, 0, 0, 0, 0}, uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, salt uint32) {
		fr, err := parseFrame(b, salt)
		if err != nil {
			return
		}
		if again := appendFrame(nil, salt, fr.flags, fr.Record); string(again) != string(b[:fr.size]) {
			t.Fatalf("%x reads as %+v and is written as %x", b[:fr.size], fr, again)
		}
	})
}
