package shardlog

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// DefaultSegmentBytes is the size at which a segment is closed: small enough that looking for a position inside one
// takes milliseconds, large enough that the list of a terabyte's segments is a few megabytes.
const DefaultSegmentBytes = 32 << 20

// Errors of Append.
var (
	ErrSealed = errors.New("the log is sealed") // returned after Seal: nothing was written
	ErrClosed = errors.New("the log is closed") // returned after Close: nothing was written
)

// Config is what Open needs.
type Config struct {
	Dir          string        // made when the first record comes
	SegmentBytes int64         // 0: DefaultSegmentBytes
	SegmentAge   time.Duration // a segment older than this takes no further commit; 0: no limit
	Sealed       uint64        // the counter after the last one of a log that was sealed for good; 0: it is open
	Logger       *slog.Logger  // nil: slog.Default()

	// Committed is called after each write to disk, from the goroutine of one of the appenders; nil: nobody.
	Committed func(records, bytes int, took time.Duration, err error)

	now    func() time.Time
	create func(path string) (file, error)
	open   func(path string) (file, error)
}

func (c Config) withDefaults() Config {
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = DefaultSegmentBytes
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Committed == nil {
		c.Committed = func(int, int, time.Duration, error) {}
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.create == nil {
		c.create = createFile
	}
	if c.open == nil {
		c.open = openFile
	}
	return c
}

// Log is an open log. All methods may be called from any goroutine. There is no goroutine of its own: whoever appends
// while nobody writes, writes and syncs for all that have queued up meanwhile.
type Log struct {
	cfg Config

	// commit covers the active file and its bytes: held by whoever writes. Taken before mu.
	commit sync.Mutex
	file   file   // the active segment's; nil: to be opened
	dirty  bool   // the file may hold bytes after the durable ones, left by a failed commit
	buf    []byte // frames on their way to the file

	mu      sync.Mutex // covers what follows
	queue   []*request
	segs    []segment // oldest first; the last one is active
	next    uint64    // counter of the next record; all below are durable
	arrival int64     // of the newest record
	sealed  bool
	closed  bool
}

// request is one Append in the queue. The fields after entries belong to whoever holds Log.commit.
type request struct {
	entries []Record
	done    bool
	first   uint64
	err     error
}

// Append stores the entries' keys and data, in order, one after the other, and returns when they are durable. It
// returns the counter of the first. After an error other than ErrSealed and ErrClosed the entries are not there for
// readers of this process; if the process dies before the next success, they may be found after it.
//
// Concurrent calls share one write and one sync. It can't be cancelled because a write to disk can't.
func (l *Log) Append(entries []Record) (first uint64, err error) {
	if len(entries) == 0 {
		return 0, errors.New("append to the log: no entries")
	}
	for _, e := range entries {
		if len(e.Key) > maxKey || len(e.Data) > maxData {
			return 0, fmt.Errorf("append to the log: a key of %d and data of %d bytes are too long", len(e.Key), len(e.Data))
		}
	}
	r := &request{entries: entries}
	l.mu.Lock()
	if err := l.refuseLocked(); err != nil {
		l.mu.Unlock()
		return 0, err
	}
	l.queue = append(l.queue, r)
	l.mu.Unlock()

	l.commit.Lock()
	defer l.commit.Unlock()
	if !r.done {
		l.commitQueue()
	}
	return r.first, r.err
}

func (l *Log) refuseLocked() error {
	switch {
	case l.closed:
		return ErrClosed
	case l.sealed:
		return ErrSealed
	}
	return nil
}

// commitQueue writes everything that is queued. The caller holds l.commit.
func (l *Log) commitQueue() {
	l.mu.Lock()
	batch := l.queue
	l.queue = nil
	next, err := l.next, l.refuseLocked()
	l.mu.Unlock()

	if err == nil {
		err = l.write(batch)
	}
	for _, r := range batch {
		r.done, r.first, r.err = true, next, err
		next += uint64(len(r.entries))
	}
}

// write makes one commit of the batch: repair what the last one may have left, write, sync, publish.
func (l *Log) write(batch []*request) (err error) {
	start := l.cfg.now()
	records, size := 0, int64(0)
	defer func() { l.cfg.Committed(records, int(size), l.cfg.now().Sub(start), err) }()

	if err := l.prepare(start); err != nil {
		return err
	}
	l.mu.Lock()
	active, next, arrival := l.segs[len(l.segs)-1], l.next, max(l.arrival, start.UnixMilli())
	l.mu.Unlock()

	l.dirty = true
	flags := uint8(flagCommit)
	l.buf = l.buf[:0]
	for _, r := range batch {
		for _, e := range r.entries {
			e.Counter, e.Arrival = next, arrival
			l.buf = appendFrame(l.buf, active.salt, flags, e)
			flags = 0
			next++
			records++
			if len(l.buf) >= maxChunk {
				if size, err = l.flush(active, size); err != nil {
					return l.failed(active, err)
				}
			}
		}
	}
	if size, err = l.flush(active, size); err != nil {
		return l.failed(active, err)
	}
	if err := l.file.Sync(); err != nil {
		return l.failed(active, fmt.Errorf("sync segment %s: %w", segmentName(active.first), err))
	}
	l.dirty = false

	l.mu.Lock()
	l.segs[len(l.segs)-1].size += size
	l.next, l.arrival = next, arrival
	l.mu.Unlock()
	return nil
}

// flush writes the buffered frames at size bytes after the durable end of active, and returns the new size.
func (l *Log) flush(active segment, size int64) (int64, error) {
	n, err := l.file.WriteAt(l.buf, active.size+size)
	size += int64(n)
	l.buf = l.buf[:0]
	if cap(l.buf) > 2*maxChunk {
		l.buf = nil // one large record must not keep its memory
	}
	if err != nil {
		return size, fmt.Errorf("write segment %s: %w", segmentName(active.first), err)
	}
	return size, nil
}

// failed cuts off what a failed commit left, now if that is possible, else before the next commit.
func (l *Log) failed(active segment, err error) error {
	if e := l.repair(active); e != nil {
		l.cfg.Logger.Error("the remains of a failed write are still in the file; the next write tries again to cut them off",
			"dir", l.cfg.Dir, "segment", segmentName(active.first), "error", e)
	}
	return err
}

// repair cuts the active file back to its durable bytes.
func (l *Log) repair(active segment) error {
	if err := l.file.Truncate(active.size); err != nil {
		return fmt.Errorf("truncate segment %s to %d bytes: %w", segmentName(active.first), active.size, err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync segment %s: %w", segmentName(active.first), err)
	}
	l.dirty = false
	return nil
}

// prepare sees to it that there is an open, clean active segment with room. The caller holds l.commit.
func (l *Log) prepare(now time.Time) error {
	l.mu.Lock()
	var active segment
	if len(l.segs) > 0 {
		active = l.segs[len(l.segs)-1]
	}
	next := l.next
	l.mu.Unlock()

	if active.first == 0 {
		return l.roll(now)
	}
	if l.file == nil {
		f, err := l.cfg.open(l.path(active.first))
		if err != nil {
			return fmt.Errorf("open segment for writing: %w", err)
		}
		l.file = f
	}
	if l.dirty {
		if err := l.repair(active); err != nil {
			return err
		}
	}
	old := l.cfg.SegmentAge > 0 && now.UnixMilli()-active.opened >= l.cfg.SegmentAge.Milliseconds()
	if next > active.first && (active.size >= l.cfg.SegmentBytes || old) {
		return l.roll(now)
	}
	return nil
}

// roll starts a new active segment. The caller holds l.commit; the file so far is clean.
func (l *Log) roll(now time.Time) error {
	l.mu.Lock()
	s := segment{first: l.next, floor: l.arrival, opened: now.UnixMilli(), salt: rand.Uint32(), size: int64(headerSize)}
	if len(l.segs) > 0 {
		s.previous = l.segs[len(l.segs)-1].first
	}
	l.mu.Unlock()

	if s.previous == 0 {
		if err := makeDir(l.cfg.Dir); err != nil {
			return fmt.Errorf("make the log's directory: %w", err)
		}
	}
	f, err := l.createSegment(s)
	if err != nil {
		return err
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil { // it was synced: nothing depends on this
			l.cfg.Logger.Warn("closing a full segment failed", "dir", l.cfg.Dir, "error", err)
		}
	}
	l.file, l.dirty = f, false
	l.mu.Lock()
	l.segs = append(l.segs, s)
	l.mu.Unlock()
	return nil
}

// createSegment makes the file of s with its header, durably, or leaves nothing.
func (l *Log) createSegment(s segment) (_ file, err error) {
	path := l.path(s.first)
	f, err := l.cfg.create(path)
	if errors.Is(err, os.ErrExist) { // the remains of an attempt that could not be removed: it holds no record
		if err = os.Remove(path); err == nil {
			f, err = l.cfg.create(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make a segment: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(path))
		}
	}()
	if _, err := f.WriteAt(s.header(), 0); err != nil {
		return nil, fmt.Errorf("write the header of segment %s: %w", segmentName(s.first), err)
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync segment %s: %w", segmentName(s.first), err)
	}
	if err := SyncDir(l.cfg.Dir); err != nil {
		return nil, fmt.Errorf("sync the log's directory: %w", err)
	}
	return f, nil
}

// Seal makes every later Append fail with ErrSealed and returns the counter that the next record would have had.
// Records that were being appended are durable when it returns. It fails if the remains of a failed write can't be
// cut off; the log is not sealed then.
func (l *Log) Seal() (end uint64, err error) {
	l.commit.Lock()
	defer l.commit.Unlock()
	l.mu.Lock()
	err = l.refuseLocked()
	l.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if l.dirty {
		if err := l.prepare(l.cfg.now()); err != nil {
			return 0, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed = true // what is queued now is refused by commitQueue
	return l.next, nil
}

// Unseal takes a Seal back.
func (l *Log) Unseal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed = false
}

// Trim removes the segments whose records are all older than before (Unix milliseconds), the active one too if it
// holds any, and returns how many it removed.
func (l *Log) Trim(before int64) (removed int, err error) {
	l.commit.Lock()
	defer l.commit.Unlock()
	l.mu.Lock()
	closed, gone := l.closed, 0
	for gone < len(l.segs)-1 && l.segs[gone+1].floor < before {
		gone++
	}
	stale := len(l.segs) > 0 && gone == len(l.segs)-1 && l.arrival < before && l.next > l.segs[gone].first
	sealed := l.sealed
	l.mu.Unlock()
	if closed {
		return 0, ErrClosed
	}
	removed, err = l.drop(gone)
	if err != nil || !stale {
		return removed, err
	}
	if sealed {
		if l.file != nil {
			err = l.file.Close()
			l.file = nil
		}
	} else if err = l.prepare(l.cfg.now()); err == nil { // the counter must survive, so a new file comes before
		if l.activeHolds() {
			err = l.roll(l.cfg.now())
		}
	}
	if err != nil {
		return removed, err
	}
	n, err := l.drop(1)
	return removed + n, err
}

// activeHolds says whether the active segment holds a record.
func (l *Log) activeHolds() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next > l.segs[len(l.segs)-1].first
}

// drop removes the n oldest segments, oldest first, so that a crash in between leaves no gap.
func (l *Log) drop(n int) (removed int, err error) {
	for removed < n {
		l.mu.Lock()
		first := l.segs[0].first
		l.segs = slices.Delete(l.segs, 0, 1)
		l.mu.Unlock()
		removed++
		if err := os.Remove(l.path(first)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return removed, fmt.Errorf("remove an expired segment: %w", err)
		}
	}
	if removed == 0 {
		return 0, nil
	}
	return removed, SyncDir(l.cfg.Dir)
}

// Close lets a running commit end and refuses all later ones. Reading goes on to work.
func (l *Log) Close() error {
	l.commit.Lock()
	defer l.commit.Unlock()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

func (l *Log) path(first uint64) string { return filepath.Join(l.cfg.Dir, segmentName(first)) }
