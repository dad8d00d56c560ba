package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// disk is what the file store does to the file system, so that tests can let each step fail.
type disk struct {
	write  func(f *os.File, b []byte) error // also makes it durable
	rename func(from, to string) error
	sync   func(dir string) error
}

func realDisk() disk {
	return disk{
		write: func(f *os.File, b []byte) error {
			if n, err := f.Write(b); err != nil {
				return err
			} else if n < len(b) {
				return io.ErrShortWrite
			}
			return f.Sync()
		},
		rename: os.Rename,
		sync:   syncDir,
	}
}

// replace makes path hold b: the old content or the new, never anything between. renamed tells after an error whether
// path holds the new content, which then may not be durable yet. The caller sees to it that nobody else replaces the
// same path at the same time.
func (d disk) replace(path string, b []byte) (renamed bool, err error) {
	dir := filepath.Dir(path)
	temp := filepath.Join(dir, ".new-"+filepath.Base(path)) // one name, so that kills leave at most one behind
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return false, err
	}
	err = d.write(f, b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = d.rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp) // best effort: a left-over is ignored by readers
		return false, err
	}
	if err := d.sync(dir); err != nil {
		return true, fmt.Errorf("make folder %s durable: %w", dir, err)
	}
	return true, nil
}

// makeDirs makes a folder and its missing parents, durably.
func (d disk) makeDirs(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a folder", dir)
		}
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := d.makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return d.sync(parent)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
