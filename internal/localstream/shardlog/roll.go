package shardlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

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
