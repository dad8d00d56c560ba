package checkpoint

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// FileStore is a Store in a folder of a local disk: one file per document. Several processes may use one folder.
type FileStore struct {
	dir  string
	disk disk

	// busy holds one token; who has it may save. It covers unsure, and is taken before the lock file of the folder.
	busy   chan struct{}
	unsure map[string]outcome
}

// outcome is a Save whose error left open whether the new document is durable.
type outcome struct{ from, to Revision }

var _ Store = (*FileStore)(nil)

// OpenFile opens the store in dir, and makes the folder if there is none.
func OpenFile(dir string) (*FileStore, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint store %s: %w", dir, err)
	}
	s := &FileStore{dir: dir, disk: realDisk(), busy: make(chan struct{}, 1), unsure: make(map[string]outcome)}
	if err := s.disk.makeDirs(dir); err != nil {
		return nil, fmt.Errorf("open checkpoint store %s: %w", dir, err)
	}
	return s, nil
}

// Load implements Store.
func (s *FileStore) Load(ctx context.Context, name string) ([]byte, Revision, error) {
	path, err := s.path(ctx, name)
	if err != nil {
		return nil, None, err
	}
	return load(name, path+documentSuffix)
}

func load(name, path string) ([]byte, Revision, error) {
	stored, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, None, fmt.Errorf("load checkpoint %q: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, None, fmt.Errorf("load checkpoint %q: %w", name, err)
	}
	doc, rev, err := decodeDocument(name, stored)
	if err == nil {
		return doc, rev, nil
	}
	corrupt := &CorruptError{
		Name: name, File: path, Reason: err.Error(),
		Cure: "restore the file from a backup, or move it away to start anew, knowing that everything it remembered is then forgotten",
	}
	if _, newer := errors.AsType[newerError](err); newer {
		corrupt.Cure = newerCure
	}
	return nil, None, corrupt
}

// Save implements Store.
func (s *FileStore) Save(ctx context.Context, name string, doc []byte, rev Revision) (Revision, error) {
	path, err := s.path(ctx, name)
	if err != nil {
		return None, err
	}
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return None, context.Cause(ctx)
	}
	next, err := s.save(ctx, name, path+documentSuffix, doc, rev)
	if err != nil {
		return None, fmt.Errorf("save checkpoint %q: %w", name, err)
	}
	return next, nil
}

// save is called with busy held.
func (s *FileStore) save(ctx context.Context, name, path string, doc []byte, rev Revision) (Revision, error) {
	unlock, err := s.exclude(ctx)
	if err != nil {
		return None, err
	}
	defer unlock()

	_, stored, err := load(name, path)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return None, err
	}
	if stored != rev && s.unsure[name] != (outcome{rev, stored}) {
		return None, fmt.Errorf("%w: revision %q is stored, %q was expected", ErrConflict, stored, rev)
	}
	next := nextRevision(stored)
	encoded, err := encodeDocument(name, next, time.Now(), doc)
	if err != nil {
		return None, err
	}
	if err := s.disk.makeDirs(filepath.Dir(path)); err != nil {
		return None, err
	}
	renamed, err := s.disk.replace(path, encoded)
	if err != nil {
		if renamed {
			s.unsure[name] = outcome{rev, next}
		}
		return None, err
	}
	delete(s.unsure, name)
	return next, nil
}

// nextRevision counts up, and adds what makes it unlike any revision of another history of the same name.
func nextRevision(rev Revision) Revision {
	return Revision(fmt.Sprintf("%d-%s", revisionCount(rev)+1, rand.Text()[:12]))
}

// revisionCount is how many saves there were up to a revision.
func revisionCount(rev Revision) uint64 {
	count, _, _ := strings.Cut(string(rev), "-")
	n, _ := strconv.ParseUint(count, 10, 64) // None counts as 0
	return n
}

// exclude keeps other processes from saving until unlock is called.
func (s *FileStore) exclude(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, ".saving"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	for {
		held, err := tryLock(f)
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if held {
			return func() { _ = f.Close() }, nil // closing gives the lock back
		}
		if err := backoff.Sleep(ctx, 2*time.Millisecond); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
}

// List implements Store.
func (s *FileStore) List(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		base, found := strings.CutSuffix(path, documentSuffix)
		if d.IsDir() || !found {
			return nil
		}
		relative, err := filepath.Rel(s.dir, base)
		if err != nil {
			return err
		}
		if name, ok := nameOf(relative); ok {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list checkpoints in %s: %w", s.dir, err)
	}
	return withPrefix(names, prefix), nil
}

// withPrefix gives the names that begin with prefix, sorted.
func withPrefix(names []string, prefix string) []string {
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, prefix) })
	slices.Sort(names)
	return names
}

// path gives the place of a name's files without their ending.
func (s *FileStore) path(ctx context.Context, name string) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	relative, err := pathOf(name)
	if err != nil {
		return "", err
	}
	return filepath.Join(s.dir, relative), nil
}
