package verify

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// The store's entries, by the first byte of their keys. Everything of a table has its number behind that.
const (
	rowEntry      = 'r' // table, row key: what the replay holds of the row
	markEntry     = 'm' // table, row key: the source has the row
	suspectEntry  = 's' // table, row key: the row is to be looked at again
	dropEntry     = 'd' // table, shard: what the shard held before is gone
	progressEntry = 'p' // table: how far its comparison is
	objectEntry   = 'o' // shard's order: an object
	knownEntry    = 'k' // object's key: it has an entry, or is not ours
	shardEntry    = 'c' // shard: how far it is replayed
	filterEntry   = 'f' // shard: its state of de-duplication
	stateEntry    = 'g' // what belongs to the verification as a whole
	strayEntry    = 'n' // table: the name of one that is not compared
	identityEntry = 'i' // what the entries were made for
)

// db is the store on disk: what was replayed and what was compared. It has no log of its own: entries become durable
// in the order in which they were written, a batch as a whole, so that what a killed process leaves is a state that
// there was.
type db struct {
	*pebble.DB
	dir string
}

const minimumFree = 256 << 20

// SpaceError is returned when the work folder has no room.
type SpaceError struct {
	Dir        string
	Free, Need int64
}

// Error says what to do.
func (e *SpaceError) Error() string {
	return fmt.Sprintf("%s has %d MiB free, and about %d MiB are needed: make room, or let verify.work_dir name a larger disk, "+
		"or look at a share of the keys with --sample; what was replayed so far is kept", e.Dir, e.Free>>20, e.Need>>20)
}

func openDB(dir string, memory int64) (*db, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make verify.work_dir: %w", err)
	}
	cache := pebble.NewCache(memory / 2)
	defer cache.Unref()
	options := &pebble.Options{
		Cache: cache, DisableWAL: true, Logger: quiet{},
		MemTableSize: uint64(max(memory/8, 1<<20)), MemTableStopWritesThreshold: 4,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		FormatMajorVersion:         pebble.FormatNewest,
	}
	p, err := pebble.Open(filepath.Join(dir, "store"), options)
	if err != nil && strings.Contains(err.Error(), "lock") {
		return nil, fmt.Errorf("open %s: %w; another verify is at work there: wait for it, or give this one a verify.work_dir of its own", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w; remove the folder to begin anew", dir, err)
	}
	return &db{p, dir}, nil
}

// quiet keeps the store's chatter out of ours. What fails is returned.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// close makes everything durable.
func (d *db) close() error { return errors.Join(d.Flush(), d.DB.Close()) }

// room checks that the disk has at least need bytes left.
func (d *db) room(need int64) error {
	if free, known := freeSpace(d.dir); known && free < need {
		return &SpaceError{Dir: d.dir, Free: free, Need: need}
	}
	return nil
}

// commit writes a batch.
func commit(b *pebble.Batch) error { return errors.Join(b.Commit(pebble.NoSync), b.Close()) }

// get gives a copy of an entry, nil if there is none.
func (d *db) get(key []byte) ([]byte, error) {
	value, done, err := d.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := append([]byte{}, value...)
	return out, done.Close()
}

// load reads an entry that is JSON. It is false if there is none.
func (d *db) load(key []byte, into any) (bool, error) {
	value, err := d.get(key)
	if value == nil || err != nil {
		return false, err
	}
	return true, json.Unmarshal(value, into)
}

func setJSON(w pebble.Writer, key []byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Set(key, text, pebble.NoSync)
}

// entry is the key of an entry.
func entry(kind byte, table uint32, rest ...byte) []byte {
	return appendEntry(nil, kind, table, rest)
}

// entryTable is the number in the key of an entry.
func entryTable(key []byte) uint32 { return binary.BigEndian.Uint32(key[1:]) }

func appendEntry(dst []byte, kind byte, table uint32, rest []byte) []byte {
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint32(dst, table)
	return append(dst, rest...)
}

// entrySize is how many bytes stand in front of the row key.
const entrySize = 5

// scan iterates over a table's entries of a kind.
func (d *db) scan(kind byte, table uint32) (*pebble.Iterator, error) {
	return d.NewIter(&pebble.IterOptions{LowerBound: entry(kind, table), UpperBound: entry(kind, table+1)})
}

// forget removes a table's entries of some kinds.
func (d *db) forget(table uint32, kinds ...byte) error {
	for _, kind := range kinds {
		if err := d.DeleteRange(entry(kind, table), entry(kind, table+1), pebble.NoSync); err != nil {
			return err
		}
	}
	return nil
}
