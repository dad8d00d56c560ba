package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// holder is the content of a lock file: for people and for LockedError. What holds is the file lock, which the kernel
// takes back when its process is gone.
type holder struct {
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

// Lock implements Store. The lock file stays behind, empty, when the lock is given back.
func (s *FileStore) Lock(ctx context.Context, name string) (Lock, error) {
	path, err := s.path(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := s.lock(ctx, name, path+lockSuffix)
	if err != nil {
		if _, locked := errors.AsType[*LockedError](err); locked {
			return nil, err
		}
		return nil, fmt.Errorf("lock checkpoint %q: %w", name, err)
	}
	return &fileLock{sync.OnceValue(func() error {
		return errors.Join(f.Truncate(0), f.Close())
	})}, nil
}

// fileLock is a lock that the kernel keeps: it cannot be lost.
type fileLock struct{ release func() error }

func (l *fileLock) Lost() <-chan struct{} { return nil }
func (l *fileLock) Release() error        { return l.release() }

func (s *FileStore) lock(ctx context.Context, name, path string) (*os.File, error) {
	if err := s.disk.makeDirs(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	held, err := tryLock(f)
	if err == nil && !held {
		err = lockedBy(ctx, name, f)
	}
	if err == nil {
		err = sign(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sign writes who we are over what the last holder left.
func sign(f *os.File) error {
	b, err := json.Marshal(self())
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(b)))
}

// lockedBy reads who holds the lock. A holder that has just taken it may not have signed yet.
func lockedBy(ctx context.Context, name string, f *os.File) error {
	locked := &LockedError{Name: name}
	for range 20 {
		var h holder
		b, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
		if err == nil && json.Unmarshal(b, &h) == nil {
			locked.Host, locked.PID, locked.Since = h.Host, h.PID, h.Since
			break
		}
		if err := backoff.Sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return locked
}
