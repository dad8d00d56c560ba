// Package checkpointtest proves that a checkpoint.Store keeps its contract, and has a Store in memory for the tests of
// those who use one.
package checkpointtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
)

// Run tests a Store implementation. storage makes an empty storage for one test and returns a function that opens it:
// every call of that gives a Store of its own on the same storage, as another process would have it.
func Run(t *testing.T, storage func(t *testing.T) (open func() checkpoint.Store)) {
	for name, test := range map[string]func(t *testing.T, open func() checkpoint.Store){
		"SaveAndLoad":       saveAndLoad,
		"Conditions":        conditions,
		"RevisionsAreNew":   revisionsAreNew,
		"OneWinner":         oneWinner,
		"Names":             names,
		"BadNames":          badNames,
		"NamesAreApart":     namesAreApart,
		"List":              list,
		"Lock":              lock,
		"OneHolder":         oneHolder,
		"CancelledContexts": cancelledContexts,
	} {
		t.Run(name, func(t *testing.T) { test(t, storage(t)) })
	}
}

func saveAndLoad(t *testing.T, open func() checkpoint.Store) {
	s, other := open(), open()
	if _, _, err := s.Load(t.Context(), "task"); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Fatalf("Load before the first Save = %v, want ErrNotFound", err)
	}
	rev := checkpoint.None
	for _, doc := range []string{"one", "", "three\nwith \x00 bytes\xff", string(bytes.Repeat([]byte("x"), 1<<20))} {
		rev = save(t, s, "task", doc, rev)
		got, gotRev, err := other.Load(t.Context(), "task")
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != doc || gotRev != rev {
			t.Fatalf("Load = %.40q rev %q, want %.40q rev %q", got, gotRev, doc, rev)
		}
	}
}

func conditions(t *testing.T, open func() checkpoint.Store) {
	s, other := open(), open()
	if _, err := s.Save(t.Context(), "task", []byte("x"), "1-made-up"); !errors.Is(err, checkpoint.ErrConflict) {
		t.Errorf("Save over nothing with a revision = %v, want ErrConflict", err)
	}
	first := save(t, s, "task", "one", checkpoint.None)
	second := save(t, other, "task", "two", first)
	for _, rev := range []checkpoint.Revision{checkpoint.None, first, "1-made-up", second + "x"} {
		if _, err := s.Save(t.Context(), "task", []byte("late"), rev); !errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("Save with revision %q = %v, want ErrConflict", rev, err)
		}
	}
	if doc, rev, err := s.Load(t.Context(), "task"); err != nil || string(doc) != "two" || rev != second {
		t.Errorf("after conflicts Load = %q, %q, %v; want what was saved before them", doc, rev, err)
	}
}

func revisionsAreNew(t *testing.T, open func() checkpoint.Store) {
	s := open()
	seen := map[checkpoint.Revision]bool{checkpoint.None: true}
	for _, name := range []string{"a", "b"} {
		rev := checkpoint.None
		for range 5 {
			rev = save(t, s, name, "same", rev)
			if seen[rev] {
				t.Fatalf("revision %q was given twice", rev)
			}
			seen[rev] = true
		}
	}
}

func oneWinner(t *testing.T, open func() checkpoint.Store) {
	rev := save(t, open(), "task", "start", checkpoint.None)
	const rivals = 8
	errs := make([]error, rivals)
	var group sync.WaitGroup
	for i := range rivals {
		s := open()
		group.Go(func() {
			_, errs[i] = s.Save(t.Context(), "task", fmt.Append(nil, "rival ", i), rev)
		})
	}
	group.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("rivals %d and %d both saved over the same revision", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, checkpoint.ErrConflict):
			t.Errorf("rival %d: %v, want ErrConflict", i, err)
		}
	}
	doc, _, err := open().Load(t.Context(), "task")
	if err != nil || string(doc) != fmt.Sprint("rival ", winner) {
		t.Errorf("Load = %q, %v, want the document of rival %d", doc, err, winner)
	}
}

// oddNames are names that storages may trip over.
var oddNames = []string{
	"a", "a/b", "a/b/c", "a.checkpoint", "a.checkpoint/b", "a.lock", "a.lock/b", ".", "..", "../a", "a/..", ".hidden", "..new-a",
	"with space", "100%", "%41", "A/b", "ü/日本", "tab\there", "nul\x00", "back\\slash", "a:b", "a*?<>|\"", "arn:aws:kinesis:eu-west-1:1:stream/s",
	"new\nline", "shardId-000000000001", "x=y@z+1,2",
}

func names(t *testing.T, open func() checkpoint.Store) {
	s := open()
	for _, name := range oddNames {
		save(t, s, name, "of "+name, checkpoint.None)
	}
	for _, name := range oddNames {
		doc, _, err := open().Load(t.Context(), name)
		if err != nil || string(doc) != "of "+name {
			t.Errorf("Load(%q) = %q, %v", name, doc, err)
		}
	}
	want := slices.Sorted(slices.Values(oddNames))
	if got, err := s.List(t.Context(), ""); err != nil || !slices.Equal(got, want) {
		t.Errorf("List = %q, %v, want %q", got, err, want)
	}
}

func badNames(t *testing.T, open func() checkpoint.Store) {
	s := open()
	for _, name := range []string{"", "/", "/a", "a/", "a//b", "\xff\xfe"} {
		if _, err := s.Save(t.Context(), name, nil, checkpoint.None); !errors.Is(err, checkpoint.ErrName) {
			t.Errorf("Save(%q) = %v, want ErrName", name, err)
		}
		if _, _, err := s.Load(t.Context(), name); !errors.Is(err, checkpoint.ErrName) {
			t.Errorf("Load(%q) = %v, want ErrName", name, err)
		}
		if _, err := s.Lock(t.Context(), name); !errors.Is(err, checkpoint.ErrName) {
			t.Errorf("Lock(%q) = %v, want ErrName", name, err)
		}
	}
}

func namesAreApart(t *testing.T, open func() checkpoint.Store) {
	s := open()
	a := save(t, s, "a", "one", checkpoint.None)
	save(t, s, "b", "two", checkpoint.None)
	if _, err := s.Save(t.Context(), "b", nil, a); !errors.Is(err, checkpoint.ErrConflict) {
		t.Errorf("Save with another name's revision = %v, want ErrConflict", err)
	}
	save(t, s, "a", "three", a)
}

func list(t *testing.T, open func() checkpoint.Store) {
	s := open()
	if got, err := s.List(t.Context(), ""); err != nil || len(got) > 0 {
		t.Errorf("List of an empty store = %q, %v", got, err)
	}
	for _, name := range []string{"stream/b", "stream/a", "streams", "other"} {
		save(t, s, name, "", checkpoint.None)
	}
	held, err := s.Lock(t.Context(), "stream/locked")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Release() }()
	for prefix, want := range map[string][]string{
		"":        {"other", "stream/a", "stream/b", "streams"},
		"stream/": {"stream/a", "stream/b"},
		"str":     {"stream/a", "stream/b", "streams"},
		"stream":  {"stream/a", "stream/b", "streams"},
		"none":    nil,
	} {
		if got, err := s.List(t.Context(), prefix); err != nil || !slices.Equal(got, want) {
			t.Errorf("List(%q) = %q, %v, want %q", prefix, got, err, want)
		}
	}
}

func lock(t *testing.T, open func() checkpoint.Store) {
	s, other := open(), open()
	held, err := s.Lock(t.Context(), "folder/task")
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	for _, rival := range []checkpoint.Store{s, other} {
		_, err := rival.Lock(t.Context(), "folder/task")
		locked, ok := errors.AsType[*checkpoint.LockedError](err)
		if !ok {
			t.Fatalf("second Lock = %v, want a LockedError", err)
		}
		if locked.Host != host || locked.PID != os.Getpid() || locked.Since.IsZero() {
			t.Errorf("the lock is said to be held by host %q process %d since %v", locked.Host, locked.PID, locked.Since)
		}
	}
	free, err := other.Lock(t.Context(), "folder/task2")
	if err != nil {
		t.Fatalf("Lock of another name: %v", err)
	}
	save(t, other, "folder/task", "a lock is not in the way of a save", checkpoint.None)
	for range 2 {
		if err := errors.Join(held.Release(), free.Release()); err != nil {
			t.Fatalf("release: %v", err)
		}
	}
	again, err := other.Lock(t.Context(), "folder/task")
	if err != nil {
		t.Fatalf("Lock after release: %v", err)
	}
	_ = held.Release() // must not give back what another holder has
	if _, err := s.Lock(t.Context(), "folder/task"); err == nil {
		t.Error("releasing twice gave the next holder's lock away")
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}

func oneHolder(t *testing.T, open func() checkpoint.Store) {
	var mu sync.Mutex
	var holders, most, wins int
	var group sync.WaitGroup
	for range 8 {
		s := open()
		group.Go(func() {
			for range 20 {
				held, err := s.Lock(t.Context(), "task")
				if err != nil {
					continue
				}
				mu.Lock()
				holders, wins = holders+1, wins+1
				most = max(most, holders)
				mu.Unlock()
				mu.Lock()
				holders--
				mu.Unlock()
				if err := held.Release(); err != nil {
					t.Errorf("release: %v", err)
				}
			}
		})
	}
	group.Wait()
	if most != 1 || wins == 0 {
		t.Errorf("%d locks were held, up to %d at a time", wins, most)
	}
}

func cancelledContexts(t *testing.T, open func() checkpoint.Store) {
	s := open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Save(ctx, "task", nil, checkpoint.None); !errors.Is(err, context.Canceled) {
		t.Errorf("Save = %v, want the context's error", err)
	}
	if _, _, err := s.Load(ctx, "task"); !errors.Is(err, context.Canceled) {
		t.Errorf("Load = %v, want the context's error", err)
	}
	if _, err := s.Lock(ctx, "task"); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock = %v, want the context's error", err)
	}
}

func save(t *testing.T, s checkpoint.Store, name, doc string, rev checkpoint.Revision) checkpoint.Revision {
	t.Helper()
	next, err := s.Save(t.Context(), name, []byte(doc), rev)
	if err != nil {
		t.Fatalf("Save(%q): %v", name, err)
	}
	return next
}
