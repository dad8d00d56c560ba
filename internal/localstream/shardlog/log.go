package shardlog

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
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
