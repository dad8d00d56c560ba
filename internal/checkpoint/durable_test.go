package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func openTest(t *testing.T) *FileStore {
	t.Helper()
	s, err := OpenFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSave(t *testing.T, s *FileStore, doc string, rev Revision) Revision {
	t.Helper()
	next, err := s.Save(t.Context(), "task", []byte(doc), rev)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func wantStored(t *testing.T, s *FileStore, doc string, rev Revision) {
	t.Helper()
	got, gotRev, err := s.Load(t.Context(), "task")
	if err != nil || string(got) != doc || gotRev != rev {
		t.Errorf("Load = %q, %q, %v; want %q, %q", got, gotRev, err, doc, rev)
	}
}

func TestFailedSaveLeavesTheOldDocument(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, fault := range map[string]struct {
		damage func(d *disk)
		want   error
	}{
		"full after some bytes": {func(d *disk) {
			d.write = func(f *os.File, b []byte) error {
				_, _ = f.Write(b[:len(b)/2])
				return syscall.ENOSPC
			}
		}, syscall.ENOSPC},
		"not durable": {func(d *disk) {
			d.write = func(f *os.File, b []byte) error {
				_, _ = f.Write(b)
				return broken
			}
		}, broken},
		"no rename": {func(d *disk) { d.rename = func(string, string) error { return broken } }, broken},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t)
			rev := mustSave(t, s, "old", None)
			fault.damage(&s.disk)
			if _, err := s.Save(t.Context(), "task", []byte("new"), rev); !errors.Is(err, fault.want) {
				t.Fatalf("Save = %v, want %v", err, fault.want)
			}
			wantStored(t, s, "old", rev)
			if left, _ := filepath.Glob(s.dir + "/.new*"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			s.disk = realDisk()
			rev = mustSave(t, s, "new", rev)
			wantStored(t, s, "new", rev)
		})
	}
}

// A Save that fails when the new document is already in place must be repeatable, but only for who made it.
func TestSaveOfOpenOutcomeIsRepeated(t *testing.T) {
	s := openTest(t)
	first := mustSave(t, s, "one", None)
	real := s.disk.sync
	s.disk.sync = func(string) error { return syscall.EIO }
	for range 2 {
		if _, err := s.Save(t.Context(), "task", []byte("two"), first); !errors.Is(err, syscall.EIO) {
			t.Fatalf("Save = %v, want the error of the folder", err)
		}
	}
	other, err := OpenFile(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Save(t.Context(), "task", []byte("rival"), first); !errors.Is(err, ErrConflict) {
		t.Errorf("Save of a rival = %v, want ErrConflict", err)
	}
	s.disk.sync = real
	second := mustSave(t, s, "two", first)
	wantStored(t, s, "two", second)
	if _, err := s.Save(t.Context(), "task", []byte("late"), first); !errors.Is(err, ErrConflict) {
		t.Errorf("Save with the settled revision = %v, want ErrConflict", err)
	}
}

func TestOrderOfDurability(t *testing.T) {
	s := openTest(t)
	var steps []string
	real := s.disk
	s.disk = disk{
		write:  func(f *os.File, b []byte) error { steps = append(steps, "write"); return real.write(f, b) },
		rename: func(a, b string) error { steps = append(steps, "rename"); return real.rename(a, b) },
		sync: func(dir string) error {
			steps = append(steps, "sync "+strings.TrimPrefix(dir, s.dir))
			return real.sync(dir)
		},
	}
	if _, err := s.Save(t.Context(), "a/b", nil, None); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(steps, ","), "sync ,write,rename,sync /a"; got != want {
		t.Errorf("steps %q, want %q", got, want)
	}
}

func TestEveryDamageIsNoticed(t *testing.T) {
	s := openTest(t)
	rev := mustSave(t, s, `{"position": 1}`, None)
	path := filepath.Join(s.dir, "task.checkpoint")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.Load(t.Context(), "task")
		corrupt, ok := errors.AsType[*CorruptError](err)
		if !ok || !errors.Is(err, ErrCorrupt) || corrupt.File != path || corrupt.Cure == "" {
			t.Fatalf("Load of a document that is %s = %v, want an ErrCorrupt that names %s and a cure", what, err, path)
		}
		if _, err := s.Save(t.Context(), "task", []byte("new"), rev); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("Save over a document that is %s = %v, want ErrCorrupt", what, err)
		}
		if now, _ := os.ReadFile(path); !bytes.Equal(now, b) {
			t.Fatalf("a damaged document was changed")
		}
	}
	for n := range good {
		try("cut", good[:n])
		for _, bit := range []byte{1, 32} {
			b := bytes.Clone(good)
			b[n] ^= bit
			try("changed in a bit", b)
		}
	}
	try("longer", append(bytes.Clone(good), ' '))
	try("all zeros", make([]byte, len(good)))
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	wantStored(t, s, `{"position": 1}`, rev)
}

func TestNewerVersionAndForeignFile(t *testing.T) {
	s := openTest(t)
	mustSave(t, s, "doc", None)
	path := filepath.Join(s.dir, "task.checkpoint")
	good, _ := os.ReadFile(path)
	newer := bytes.Replace(good, []byte(`"version":1`), []byte(`"version":2`), 1)
	if err := os.WriteFile(path, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Load(t.Context(), "task")
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "run the release that wrote it") {
		t.Errorf("Load of a newer version = %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "copy.checkpoint"), good, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Load(t.Context(), "copy"); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), `"task"`) {
		t.Errorf("Load of another name's file = %v", err)
	}
}

// A store whose files cannot be read must not look like an empty one.
func TestUnreadableIsNotAbsent(t *testing.T) {
	s := openTest(t)
	if err := os.Mkdir(filepath.Join(s.dir, "task.checkpoint"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Load(t.Context(), "task"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Load = %v, want an error that is not ErrNotFound", err)
	}
	file := filepath.Join(s.dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(file); err == nil {
		t.Error("a file was opened as a store")
	}
	if _, err := OpenFile(filepath.Join(file, "below")); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder below a file = %v", err)
	}
}

func TestHeaderIsReadable(t *testing.T) {
	s := openTest(t)
	mustSave(t, s, "doc", None)
	b, _ := os.ReadFile(filepath.Join(s.dir, "task.checkpoint"))
	line, doc, _ := bytes.Cut(b, []byte("\n"))
	var h map[string]any
	if err := json.Unmarshal(line, &h); err != nil || h["format"] != "binlogstreamer checkpoint" || h["version"] != 1.0 {
		t.Errorf("header %s: %v", line, err)
	}
	if string(doc) != "doc" {
		t.Errorf("document %q is not stored as it is", doc)
	}
}

func FuzzDecodeDocument(f *testing.F) {
	good, err := encodeDocument("task", "1-A", time.Unix(1700000000, 0), []byte(`{"a":1}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"format":"binlogstreamer checkpoint","version":1,"name":"task","bytes":0,"sha256":""}` + "\n"))
	f.Fuzz(func(t *testing.T, stored []byte) {
		doc, rev, err := decodeDocument("task", stored)
		if err != nil {
			return
		}
		if rev == None || !bytes.HasSuffix(stored, doc) {
			t.Errorf("accepted %q as %q, %q", stored, doc, rev)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, name := range []string{"a", "a/b", "..", "x.checkpoint/y", "%2E", "ü"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		path, err := pathOf(name)
		if err != nil {
			return
		}
		if got, ok := nameOf(path); !ok || got != name {
			t.Errorf("%q became the path %q and that the name %q, %v", name, path, got, ok)
		}
		if !filepath.IsLocal(path) {
			t.Errorf("%q leads out of the store: %q", name, path)
		}
		for part := range strings.SplitSeq(filepath.Dir(path), "/") {
			if strings.HasSuffix(part, documentSuffix) || strings.HasSuffix(part, lockSuffix) {
				t.Errorf("folder %q of name %q looks like a file of ours", part, name)
			}
		}
	})
}
