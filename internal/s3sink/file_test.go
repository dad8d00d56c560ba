package s3sink_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFileDestination(t *testing.T) {
	root := filepath.Join(t.TempDir(), "not", "yet", "there")
	d := s3sink.NewFile(root)
	sinktest.Run(t, d, func(t *testing.T, key string) []byte {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(key)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
	// Only objects are visible, and nothing temporary is left.
	left, err := os.ReadDir(filepath.Join(root, ".binlogstreamer", "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
	if err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if e.IsDir() && e.Name() == ".binlogstreamer" {
			return fs.SkipDir
		}
		if !e.IsDir() && !strings.Contains(e.Name(), "once-") && !strings.Contains(e.Name(), "race-") {
			t.Errorf("%s is visible", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func object(key string) *s3sink.Object {
	return &s3sink.Object{Key: key, Body: []byte("x"), Meta: s3sink.Meta{Stream: "s", Shard: "h", First: "1", Last: "2"}}
}

// A crash between the two steps of an uncompressed object leaves its name to be linked by whoever comes next.
func TestFileFinishesWhatWasCutOff(t *testing.T) {
	for name, finish := range map[string]func(d *s3sink.File, o *s3sink.Object) error{
		"by head": func(d *s3sink.File, o *s3sink.Object) error { _, err := d.Head(t.Context(), o.Key); return err },
		"by put": func(d *s3sink.File, o *s3sink.Object) error {
			other := *o
			other.Body = []byte("longer")
			if err := d.Put(t.Context(), &other); !errors.Is(err, s3sink.ErrExists) {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			d := s3sink.NewFile(root)
			o := object("a/b")
			if err := d.Put(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			// back to the state before the link
			hidden := filepath.Join(root, ".binlogstreamer", "objects", "a", "b", "data")
			if err := os.Rename(filepath.Join(root, "a", "b"), hidden); err != nil {
				t.Fatal(err)
			}
			if err := finish(d, o); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(filepath.Join(root, "a", "b")); err != nil || string(b) != "x" {
				t.Errorf("object holds %q, %v", b, err)
			}
			if _, err := os.Stat(hidden); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the hidden name stays: %v", err)
			}
		})
	}
}

// Deleting a visible object frees its space, and it is still known to have been stored.
func TestFileDeletedObjectIsStillStored(t *testing.T) {
	root := t.TempDir()
	d := s3sink.NewFile(root)
	o := object("a/b")
	if err := d.Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, "a", "b")); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), o); !errors.Is(err, s3sink.ErrExists) {
		t.Errorf("Put = %v", err)
	}
	if m, err := d.Head(t.Context(), o.Key); err != nil || m != o.Meta {
		t.Errorf("Head = %+v, %v", m, err)
	}
}

func TestFileFaults(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := s3sink.NewFile(root)
	for _, key := range []string{"a/b", "../outside", "/abs"} {
		err := d.Put(t.Context(), object(key))
		if _, ok := errors.AsType[*s3sink.Error](err); !ok {
			t.Errorf("Put of %q = %v", key, err)
		}
	}
	old := filepath.Join(root, ".binlogstreamer", "tmp", "left")
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := d.Probe(t.Context(), "probe"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an old temporary file stays: %v", err)
	}
}

// built is the object of a run of one record.
func built(t *testing.T, l *s3sink.Layout) *s3sink.Object {
	t.Helper()
	run := s3sink.NewRun(l, 1, nil)
	run.Add("7", time.Unix(1_700_000_000, 0), []byte("x"))
	chain := s3sink.Chain{Stream: "s", Created: time.Unix(1, 0), Shard: "h"}
	o, err := run.Object(t.Context(), chain, &run.Groups(chain)[0], new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	return o
}
