package localstream

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// dirLock is the right to serve a directory. The kernel takes it from a process that dies.
type dirLock struct{ file *os.File }

// tryLock takes the lock if nobody has it; nil and no error if somebody has.
func tryLock(path string) (*dirLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return &dirLock{f}, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w; the directory has to be on a local file system that knows flock", path, err)
}

func (l *dirLock) release() error { return l.file.Close() }
