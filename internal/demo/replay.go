package demo

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// replayed is what the tables must look like if the objects are right: a digest of each row's JSON, by table and key.
type replayed struct {
	tables  map[string]map[string]digest
	objects int
	bytes   int64
	records int
	sample  []byte // a record worth looking at: the newest sale
}

type digest [16]byte

func digestOf(data []byte) (d digest) {
	sum := sha256.Sum256(data)
	copy(d[:], sum[:])
	return d
}

// object is one file and what it says about itself.
type object struct {
	path string
	meta s3sink.Meta
}

// replay reads all objects below dir, the objects of each shard in their order, and applies every record. keys are
// the names of each table's key columns.
func replay(dir string, keys map[string][]string) (*replayed, error) {
	objects, err := findObjects(dir)
	if err != nil {
		return nil, err
	}
	r := &replayed{tables: map[string]map[string]digest{}, objects: len(objects)}
	for table := range keys {
		r.tables[table] = map[string]digest{}
	}
	for _, o := range objects {
		if err := r.read(o, keys); err != nil {
			return nil, fmt.Errorf("replay %s: %w", o.path, err)
		}
	}
	return r, nil
}

// findObjects lists objects by shard and first sequence number. Folders whose names begin with a dot are the store's
// own.
func findObjects(dir string) (found []object, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		meta, err := metaOf(path)
		if err != nil {
			return fmt.Errorf("read what %s says about itself: %w", path, err)
		}
		found = append(found, object{path, meta})
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	slices.SortFunc(found, func(a, b object) int {
		if c := strings.Compare(a.meta.Shard, b.meta.Shard); c != 0 {
			return c
		}
		return s3sink.CompareSequence(a.meta.First, b.meta.First)
	})
	return found, err
}

func metaOf(path string) (s3sink.Meta, error) {
	f, err := os.Open(path)
	if err != nil {
		return s3sink.Meta{}, err
	}
	defer f.Close()
	return s3sink.MetaFromGzip(f)
}

// read applies the records of one object: each is a line.
func (r *replayed) read(o object, keys map[string][]string) error {
	f, err := os.Open(o.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		r.bytes += info.Size()
	}
	plain, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	lines := bufio.NewReaderSize(plain, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if err := r.apply(line, keys); err != nil {
				return fmt.Errorf("record %d: %w", r.records+1, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// envelope is what a replay looks at in a record.
type envelope struct {
	Data     json.RawMessage `json:"data"`
	Metadata struct {
		Type      string `json:"record-type"`
		Operation string `json:"operation"`
		Table     string `json:"table-name"`
	} `json:"metadata"`
}

func (r *replayed) apply(line []byte, keys map[string][]string) error {
	var e envelope
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	r.records++
	rows := r.tables[e.Metadata.Table]
	if e.Metadata.Type != "data" || rows == nil {
		return nil
	}
	key, err := rowKey(e.Data, keys[e.Metadata.Table])
	if err != nil {
		return err
	}
	switch e.Metadata.Operation {
	case "delete":
		delete(rows, key)
	case "load", "insert", "update":
		rows[key] = digestOf(e.Data)
	default:
		return fmt.Errorf("operation %q is unknown", e.Metadata.Operation)
	}
	if e.Metadata.Operation == "insert" || r.sample == nil {
		r.sample = line
	}
	return nil
}

// rowKey is the JSON of the key columns of a row.
func rowKey(data []byte, columns []string) (string, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return "", err
	}
	parts := make([]string, len(columns))
	for i, column := range columns {
		value, ok := values[column]
		if !ok {
			return "", fmt.Errorf("key column %s is missing", column)
		}
		parts[i] = column + "=" + string(value)
	}
	return strings.Join(parts, " "), nil
}
