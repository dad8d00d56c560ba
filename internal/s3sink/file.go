package s3sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// File is a directory with the promise of a bucket: an object appears whole or not at all, stays after a power cut,
// and is never overwritten.
//
// A gzip object is written under a temporary name, synced, and linked to its name, which fails if the name is taken;
// its header says what it holds. Other formats have no place for that, and two files cannot appear in one step, so
// for them the step is another: a hidden directory with both the bytes and their metadata is renamed to the name that
// belongs to the key, which fails if there is one. Then the bytes are linked to their visible name; whoever finds a
// hidden directory first repeats that link, so a crash in between leaves nothing half done. Extended attributes
// would lose the metadata in most copies, and a visible file beside each object would be read as data.
type File struct{ root string }

// NewFile makes the destination; nothing is created yet.
func NewFile(root string) *File { return &File{root: root} }

// String is the destination as the configuration spells it.
func (d *File) String() string { return "file://" + d.root }

const (
	hiddenDir  = ".binlogstreamer"
	tempDir    = "tmp"
	metaDir    = "objects"
	metaFile   = "meta"
	dataFile   = "data"
	gzipCoding = "gzip"
	staleAfter = 24 * time.Hour
)

// Put creates the object.
func (d *File) Put(_ context.Context, o *Object) error {
	if err := d.put(o); err != nil {
		if errors.Is(err, ErrExists) {
			return ErrExists
		}
		return &Error{Step: "store object", Key: d.path(o.Key), Err: err, Hint: fileHint(err)}
	}
	return nil
}

func (d *File) put(o *Object) error {
	if !filepath.IsLocal(filepath.FromSlash(o.Key)) {
		return fmt.Errorf("the key leads out of the directory: %w", fs.ErrInvalid)
	}
	if err := makeDirs(filepath.Dir(d.path(o.Key))); err != nil {
		return err
	}
	if err := makeDirs(d.hidden(tempDir)); err != nil {
		return err
	}
	temp := d.hidden(tempDir, uuid.NewString())
	if o.ContentEncoding == gzipCoding {
		return d.putLinked(o, temp)
	}
	return d.putPair(o, temp)
}

// putLinked stores an object that carries its metadata in itself.
func (d *File) putLinked(o *Object, temp string) error {
	defer os.Remove(temp)
	if err := writeSynced(temp, o.Body); err != nil {
		return err
	}
	return linkNew(temp, d.path(o.Key))
}

// putPair stores an object and its metadata.
func (d *File) putPair(o *Object, temp string) error {
	meta, err := json.Marshal(gzipMeta{metaFormat, o.Meta})
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.Mkdir(temp, 0o755); err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(temp, metaFile), meta); err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(temp, dataFile), o.Body); err != nil {
		return err
	}
	if err := syncDir(temp); err != nil {
		return err
	}
	pair := d.hidden(metaDir, filepath.FromSlash(o.Key))
	if err := makeDirs(filepath.Dir(pair)); err != nil {
		return err
	}
	if err := os.Rename(temp, pair); err != nil {
		if _, statErr := os.Stat(pair); statErr == nil {
			return errors.Join(ErrExists, d.reveal(o.Key))
		}
		return err
	}
	if err := syncDir(filepath.Dir(pair)); err != nil {
		return err
	}
	return d.reveal(o.Key)
}

// reveal links the bytes of a committed pair to their visible name and removes the hidden one, so that they go when
// the visible file is deleted. It may be repeated at any time.
func (d *File) reveal(key string) error {
	hidden := d.hidden(metaDir, filepath.FromSlash(key), dataFile)
	err := linkNew(hidden, d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(hidden); errors.Is(err, fs.ErrNotExist) {
			return nil // revealed before
		}
	}
	if err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	if err := os.Remove(hidden); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Head reads a stored object's metadata.
func (d *File) Head(_ context.Context, key string) (Meta, error) {
	m, err := d.head(key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Meta{}, &Error{Step: "look at object", Key: d.path(key), Err: err, Hint: fileHint(err)}
	}
	return m, err
}

func (d *File) head(key string) (Meta, error) {
	text, err := os.ReadFile(d.hidden(metaDir, filepath.FromSlash(key), metaFile))
	if err == nil {
		m, err := decodeMeta(text)
		return m, errors.Join(err, d.reveal(key))
	}
	f, err := os.Open(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return Meta{}, ErrNotFound
	}
	if err != nil {
		return Meta{}, err
	}
	defer f.Close()
	m, err := MetaFromGzip(f)
	if err != nil {
		return Meta{}, err
	}
	// A former writer may have been cut off between its link and its sync.
	return m, syncDir(filepath.Dir(d.path(key)))
}

// Describe is Head for whoever only reads: it repairs nothing that a crash has left half done.
func (d *File) Describe(key string) (Meta, error) {
	text, err := os.ReadFile(d.hidden(metaDir, filepath.FromSlash(key), metaFile))
	if err == nil {
		return decodeMeta(text)
	}
	f, err := os.Open(d.path(key))
	if err != nil {
		return Meta{}, err
	}
	defer f.Close()
	return MetaFromGzip(f)
}

// Probe makes sure that the directory can be written to and that its file system knows links, and removes what
// crashed processes left.
func (d *File) Probe(_ context.Context, key string) error {
	if err := d.probe(key); err != nil {
		return &Error{Step: "probe directory with file", Key: d.path(key), Err: err, Hint: fileHint(err)}
	}
	d.sweep()
	return nil
}

func (d *File) probe(key string) error {
	temp := d.hidden(tempDir, uuid.NewString())
	if err := makeDirs(d.hidden(tempDir)); err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := writeSynced(temp, nil); err != nil {
		return err
	}
	target := d.path(key) + "-" + filepath.Base(temp)
	if err := makeDirs(filepath.Dir(target)); err != nil {
		return err
	}
	defer os.Remove(target)
	if err := linkNew(temp, target); err != nil {
		return err
	}
	if err := linkNew(temp, target); !errors.Is(err, ErrExists) {
		return errors.Join(ErrOverwrites, err)
	}
	return nil
}

// sweep removes old temporary files. What is younger may be in use by another process.
func (d *File) sweep() {
	list, err := os.ReadDir(d.hidden(tempDir))
	if err != nil {
		return
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleAfter {
			_ = os.RemoveAll(d.hidden(tempDir, e.Name())) // it can stay
		}
	}
}

func (d *File) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

func (d *File) hidden(elem ...string) string {
	return filepath.Join(append([]string{d.root, hiddenDir}, elem...)...)
}

// linkNew gives a file a second name, for good: ErrExists if the name is taken.
func linkNew(from, to string) error {
	if err := os.Link(from, to); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return ErrExists
		}
		return err
	}
	return syncDir(filepath.Dir(to))
}

func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, syncIf(f, err == nil), f.Close())
}

func syncIf(f *os.File, ok bool) error {
	if ok {
		return f.Sync()
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// makeDirs creates a directory and those above it, each of them durable.
func makeDirs(dir string) error {
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		return syncDir(filepath.Dir(dir))
	case errors.Is(err, fs.ErrExist):
		if info, statErr := os.Stat(dir); statErr != nil || !info.IsDir() {
			return errors.Join(err, statErr)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir:
		if err := makeDirs(filepath.Dir(dir)); err != nil {
			return err
		}
		return makeDirs(dir)
	}
	return err
}

func fileHint(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, fs.ErrPermission) && strings.Contains(text, "link"):
		return "the file system must support hard links"
	case errors.Is(err, fs.ErrPermission):
		return "let the daemon's user write to the directory; delivery goes on by itself then"
	case strings.Contains(text, "no space left"):
		return "make room on the disk; delivery goes on by itself then"
	case strings.Contains(text, "not supported"), strings.Contains(text, "read-only"):
		return "use a writable directory on a file system with hard links"
	}
	return ""
}
