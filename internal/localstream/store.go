package localstream

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/localstream/shardlog"
)

// segmentAge is when a segment takes no further records, so that those of a quiet stream expire in time too.
const segmentAge = time.Hour

// store is the streams of one directory. Only the process that holds the directory's lock has one.
type store struct {
	dir     string
	logger  *slog.Logger
	now     func() time.Time
	segment int64
	metrics *metrics

	change sync.Mutex // held while streams are changed; taken before mu
	broken error      // covered by change: why nothing may be changed any more
	failed chan error // capacity 1: gets broken

	mu          sync.RWMutex // covers what follows
	streams     map[string]*stream
	lastCreated int64
}

// openStore reads what is in the directory and makes it ready.
func openStore(dir string, segment int64, logger *slog.Logger, m *metrics, now func() time.Time) (*store, error) {
	s := &store{dir: dir, logger: logger, now: now, segment: segment, metrics: m,
		failed: make(chan error, 1), streams: map[string]*stream{}}
	meta, err := loadMeta(s.metaPath())
	if errors.Is(err, fs.ErrNotExist) {
		if left, _ := os.ReadDir(s.dataDir()); len(left) > 0 {
			return nil, fmt.Errorf("%s is missing although %s holds streams: restore it, or move the directory away",
				s.metaPath(), s.dataDir())
		}
		if err := os.MkdirAll(s.dataDir(), 0o700); err != nil {
			return nil, err
		}
		err = shardlog.SyncDir(dir)
	}
	if err != nil {
		return nil, err
	}
	if err := removeTemporary(dir); err != nil {
		return nil, err
	}
	s.lastCreated = meta.LastCreated
	for _, m := range meta.Streams {
		st, err := s.openStream(m, nil)
		if err != nil {
			s.close()
			return nil, err
		}
		s.streams[m.Name] = st
	}
	return s, s.removeStrays()
}

// openStream opens the logs of the shards in m that are not in logs yet.
func (s *store) openStream(m streamMeta, logs map[int]*shardlog.Log) (*stream, error) {
	all := maps.Clone(logs)
	if all == nil {
		all = map[int]*shardlog.Log{}
	}
	for _, sm := range m.Shards {
		if all[sm.Number] != nil {
			continue
		}
		l, err := shardlog.Open(shardlog.Config{
			Dir:          s.shardDir(m, sm.Number),
			SegmentBytes: s.segment,
			SegmentAge:   segmentAge,
			Sealed:       sm.End,
			Logger:       s.logger,
			Committed:    s.metrics.committed,
		})
		if err != nil {
			return nil, fmt.Errorf("shard %s of stream %s: %w", shardID(sm.Number), m.Name, err)
		}
		all[sm.Number] = l
	}
	return newStream(m, all)
}

func (s *store) metaPath() string { return filepath.Join(s.dir, "streams.json") }
func (s *store) dataDir() string  { return filepath.Join(s.dir, "data") }

func (s *store) streamDir(m streamMeta) string {
	return filepath.Join(s.dataDir(), fmt.Sprintf("%013d-%s", m.Created, m.Name))
}

func (s *store) shardDir(m streamMeta, number int) string {
	return filepath.Join(s.streamDir(m), fmt.Sprintf("%010d", number))
}

var streamDirName = regexp.MustCompile(`^\d{13}-[a-zA-Z0-9_.-]+$`)

// removeStrays removes the directories of streams that were deleted when the process died.
func (s *store) removeStrays() error {
	known := map[string]bool{}
	for _, st := range s.streams {
		known[s.streamDir(st.meta)] = true
	}
	entries, err := os.ReadDir(s.dataDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(s.dataDir(), e.Name())
		if known[path] || !streamDirName.MatchString(e.Name()) {
			continue
		}
		s.logger.Info("removing what is left of a deleted stream", "dir", path)
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// removeTemporary removes the files that replaceFile left when it was killed.
func removeTemporary(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, ".*.json-*"))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// lookup returns the stream of that name as it is now.
func (s *store) lookup(name string) (*stream, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if st := s.streams[name]; st != nil {
		return st, nil
	}
	return nil, notFound("Stream %s not found.", name)
}

// names returns the names of all streams in order.
func (s *store) names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.streams))
}

// create makes a stream; made is false if there is one of that name.
func (s *store) create(m streamMeta, shards int) (made bool, err error) {
	s.change.Lock()
	defer s.change.Unlock()
	if _, err := s.lookup(m.Name); err == nil {
		return false, nil
	}
	m.Created = max(s.now().UnixMilli(), s.lastCreated+1) // lastCreated is only written under change
	starts := evenStarts(shards)
	for i, first := range starts {
		last := maxHash
		if i+1 < shards {
			last = starts[i+1].prev()
		}
		m.addShard(first, last, m.Created)
	}
	st, err := s.openStream(m, nil)
	if err != nil {
		return false, err
	}
	return true, s.replace(m.Name, st, m.Created)
}

// remove deletes a stream and its records.
func (s *store) remove(name string) error {
	s.change.Lock()
	defer s.change.Unlock()
	st, err := s.lookup(name)
	if err != nil {
		return err
	}
	if err := s.replace(name, nil, s.lastCreated); err != nil {
		return err
	}
	for _, sh := range st.shards {
		if err := sh.log.Close(); err != nil {
			s.logger.Warn("closing a shard of a deleted stream failed", "stream", name, "error", err)
		}
	}
	if err := os.RemoveAll(s.streamDir(st.meta)); err != nil { // the next start tries again
		s.logger.Warn("the files of a deleted stream could not all be removed", "stream", name, "error", err)
	}
	return nil
}

// update lets fn change a copy of the stream's metadata and puts the result in force: shards that fn closed take no
// further record, and those that it added take their place, all at one moment, durably. Or nothing is changed.
func (s *store) update(name string, fn func(*streamMeta) error) (err error) {
	s.change.Lock()
	defer s.change.Unlock()
	old, err := s.lookup(name)
	if err != nil {
		return err
	}
	m := old.meta
	m.Shards = slices.Clone(m.Shards)
	if err := fn(&m); err != nil {
		return err
	}
	if len(m.Shards) > maxShardsKept && len(m.Shards) > len(old.shards) {
		return fault("LimitExceededException", "Stream %s would have %d shards, open and closed; %d is the most. "+
			"Closed ones go away at the end of the retention period.", name, len(m.Shards), maxShardsKept)
	}
	logs := map[int]*shardlog.Log{}
	for _, sh := range old.shards {
		logs[sh.meta.Number] = sh.log
	}
	var sealed []*shardlog.Log
	defer func() {
		if err != nil && !errors.Is(err, errUncertain) {
			for _, l := range sealed {
				l.Unseal()
			}
		}
	}()
	for i := range m.Shards {
		sm := &m.Shards[i]
		if sm.open() || sm.End != 0 {
			continue
		}
		if logs[sm.Number] == nil { // made and closed by the same change
			sm.End = 1
			continue
		}
		if sm.End, err = logs[sm.Number].Seal(); err != nil {
			return err
		}
		sealed = append(sealed, logs[sm.Number])
	}
	st, err := s.openStream(m, logs)
	if err != nil {
		return err
	}
	err = s.replace(name, st, s.lastCreated)
	return err
}

// replace puts st (nil: nothing) in the place of the stream of that name, on disk and then in memory. The caller holds
// s.change.
func (s *store) replace(name string, st *stream, lastCreated int64) error {
	if s.broken != nil {
		return s.broken
	}
	streams := maps.Clone(s.streams)
	delete(streams, name)
	if st != nil {
		streams[name] = st
	}
	m := metaFile{LastCreated: lastCreated}
	for _, n := range slices.Sorted(maps.Keys(streams)) {
		m.Streams = append(m.Streams, streams[n].meta)
	}
	if err := saveMeta(s.metaPath(), m); err != nil {
		if errors.Is(err, errUncertain) { // memory and disk may differ from here on, so nothing more may happen
			s.broken = err
			s.failed <- err
		}
		return err
	}
	s.mu.Lock()
	s.streams, s.lastCreated = streams, lastCreated
	s.mu.Unlock()
	return nil
}

// settled waits until no change is under way. Its error says that there won't be another one.
func (s *store) settled() error {
	s.change.Lock()
	defer s.change.Unlock()
	return s.broken
}

// size is the bytes that all streams have on disk.
func (s *store) size() (n int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, st := range s.streams {
		for _, sh := range st.shards {
			n += sh.log.Size()
		}
	}
	return n
}

// errEnding is the answer to a change that comes too late.
var errEnding = errors.New("this server is ending")

// close ends writing, of streams as of records. What is under way ends first: nothing is written after close, when
// another process may have the directory already.
func (s *store) close() error {
	s.change.Lock()
	defer s.change.Unlock()
	if s.broken == nil {
		s.broken = errEnding
	}
	var errs []error
	for _, st := range s.streams {
		for _, sh := range st.shards {
			errs = append(errs, sh.log.Close())
		}
	}
	return errors.Join(errs...)
}
