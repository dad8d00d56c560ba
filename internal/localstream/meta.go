package localstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/binlogstreamer/binlogstreamer/internal/localstream/shardlog"
)

const metaVersion = 1

// streamMeta is what is kept of a stream.
type streamMeta struct {
	Name           string      `json:"name"`
	Created        int64       `json:"created"` // Unix milliseconds; unique among all streams of the directory
	RetentionHours int         `json:"retention_hours"`
	MaxRecordKiB   int         `json:"max_record_kib"`
	OnDemand       bool        `json:"on_demand,omitempty"`
	Shards         []shardMeta `json:"shards"` // by number
	NextShard      int         `json:"next_shard"`
}

// shardMeta is what is kept of a shard.
type shardMeta struct {
	Number   int     `json:"number"`
	Parent   *int    `json:"parent,omitempty"`
	Adjacent *int    `json:"adjacent,omitempty"` // the second parent of a merge
	First    hashKey `json:"first_hash"`
	Last     hashKey `json:"last_hash"`
	Created  int64   `json:"created"`
	Closed   int64   `json:"closed,omitempty"` // when; 0: open
	End      uint64  `json:"end,omitempty"`    // counter after the last record of a closed shard
}

func (s shardMeta) open() bool { return s.Closed == 0 }

// metaFile is the content of streams.json.
type metaFile struct {
	LastCreated int64        `json:"last_created"` // creation time of the youngest stream that there ever was
	Streams     []streamMeta `json:"streams"`
}

// sealedMeta is the file's outer form.
type sealedMeta struct {
	Version int             `json:"version"`
	CRC32   uint32          `json:"crc32"` // of body, as it stands there
	Body    json.RawMessage `json:"body"`
}

// loadMeta reads the file; without one it returns os.ErrNotExist.
func loadMeta(path string) (metaFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return metaFile{}, err
	}
	var sealed sealedMeta
	var m metaFile
	if err := json.Unmarshal(b, &sealed); err != nil {
		return metaFile{}, fmt.Errorf("%s is damaged: %w; restore it from a backup, or move the whole directory away", path, err)
	}
	if sealed.Version != metaVersion {
		return metaFile{}, fmt.Errorf("%s has format version %d and this program knows %d: use the version that wrote it",
			path, sealed.Version, metaVersion)
	}
	if sum := crc32.ChecksumIEEE(sealed.Body); sum != sealed.CRC32 {
		return metaFile{}, fmt.Errorf("%s is damaged: its checksum is %d where %d is stored; restore it from a backup, "+
			"or move the whole directory away", path, sum, sealed.CRC32)
	}
	if err := json.Unmarshal(sealed.Body, &m); err != nil {
		return metaFile{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func saveMeta(path string, m metaFile) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b, err := json.Marshal(sealedMeta{Version: metaVersion, CRC32: crc32.ChecksumIEEE(body), Body: body})
	if err != nil {
		return err
	}
	return replaceFile(path, append(b, '\n'))
}

// errUncertain is returned by replaceFile when the new content is in place but may not outlive a crash.
var errUncertain = errors.New("it can't be told whether the change is on disk")

// replaceFile puts b in the place of the file at path so that a crash leaves either the old content or the new.
func replaceFile(path string, b []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("replace %s: %w", path, err)
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if err := shardlog.SyncDir(dir); err != nil {
		return fmt.Errorf("%w: %w", errUncertain, err)
	}
	return nil
}
