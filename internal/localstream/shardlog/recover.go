package shardlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Open finds what is stored in cfg.Dir and makes it ready for appending and reading. It reads the header of every
// segment and all of the last one, and cuts off what a crash left unfinished at its end, with a line in the log.
//
// A commit starts only after the commit before it is on disk. So if the file ends in something unreadable, that is
// one unfinished commit, which nobody was told is stored. But if the start of a later commit follows what can't be
// read, then stored records were damaged: that is a *CorruptError.
func Open(cfg Config) (*Log, error) {
	l := &Log{cfg: cfg.withDefaults(), next: 1}
	if err := l.recover(); err != nil {
		return nil, fmt.Errorf("open log %s: %w", cfg.Dir, err)
	}
	if cfg.Sealed != 0 {
		if len(l.segs) == 0 {
			l.next = cfg.Sealed
		}
		if l.next != cfg.Sealed {
			return nil, fmt.Errorf("open log %s: it was closed before record %d, but its files end before record %d: "+
				"files are missing or from another time; restore them", cfg.Dir, cfg.Sealed, l.next)
		}
		l.sealed = true
	}
	return l, nil
}

func (l *Log) recover() error {
	firsts, err := l.list()
	if err != nil {
		return err
	}
	for i, first := range firsts {
		s, err := readHeader(l.path(first))
		if i == len(firsts)-1 && unfinished(s, err, i) {
			if err := l.discard(first); err != nil {
				return err
			}
			break // the one before it, if there is one, is the last
		}
		if err != nil {
			return &CorruptError{File: l.path(first), Reason: err.Error()}
		}
		if i > 0 && s.previous != firsts[i-1] {
			return &CorruptError{File: l.path(first), Reason: fmt.Sprintf(
				"the segment before it is missing: %s", segmentName(s.previous))}
		}
		l.segs = append(l.segs, s)
	}
	if len(l.segs) == 0 {
		return nil
	}
	return l.recoverTail(&l.segs[len(l.segs)-1])
}

// unfinished says whether the last segment, the i-th of the directory, was never finished: a crash came while it was
// made. The header is durable before a record follows, so a file with more than the header was finished once. And a
// file stands alone only if it is the log's very first, or if it was durable before its predecessors were removed.
func unfinished(s segment, err error, i int) bool {
	return errors.Is(err, errTornHeader) && s.size <= int64(headerSize) && (i > 0 || s.first == 1)
}

// list returns the first counters of the segment files, in order.
func (l *Log) list() ([]uint64, error) {
	entries, err := os.ReadDir(l.cfg.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var firsts []uint64
	for _, e := range entries {
		if first, ok := parseSegmentName(e.Name()); ok {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	return firsts, nil
}

// discard removes a segment that was never finished.
func (l *Log) discard(first uint64) error {
	l.cfg.Logger.Warn("removed a segment that a crash left without a header; it held no record", "file", l.path(first))
	if err := os.Remove(l.path(first)); err != nil {
		return err
	}
	return SyncDir(l.cfg.Dir)
}

// recoverTail finds the end of the records in s, cuts off what is behind it and makes the rest durable: records found
// here may come from a commit that was cut short between writing and syncing, and readers are going to see them.
func (l *Log) recoverTail(s *segment) error {
	path := l.path(s.first)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()

	l.next, l.arrival = s.first, s.floor
	length := s.size
	fr := frames{file: f, name: path, salt: s.salt, off: int64(headerSize), end: length}
	for {
		r, err := fr.next()
		var corrupt *CorruptError
		switch {
		case errors.Is(err, io.EOF):
		case errors.As(err, &corrupt):
			later, err := laterCommit(f, s.salt, corrupt.Offset+1, length, l.next)
			if err != nil {
				return err
			}
			if later >= 0 {
				corrupt.Reason += fmt.Sprintf("; a later write follows at byte %d", later)
				return corrupt
			}
			l.cfg.Logger.Warn("cut off an unfinished write at the end of a segment; nobody was told that it is stored",
				"file", path, "offset", corrupt.Offset, "bytes", length-corrupt.Offset, "reason", corrupt.Reason)
		case err != nil:
			return err
		case r.Counter != l.next || r.Arrival < l.arrival:
			return &CorruptError{File: path, Offset: fr.off - int64(r.size), Reason: fmt.Sprintf(
				"record %d of time %d stands where record %d is due, not before time %d", r.Counter, r.Arrival, l.next, l.arrival)}
		default:
			l.next, l.arrival = r.Counter+1, r.Arrival
			continue
		}
		break
	}
	s.size = fr.off
	if s.size < length {
		if err := f.Truncate(s.size); err != nil {
			return fmt.Errorf("cut off an unfinished write: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// laterCommit looks for the first frame of a commit anywhere in the bytes from off to end that was made after the
// record next. It returns its offset, or -1.
func laterCommit(f io.ReaderAt, salt uint32, off, end int64, next uint64) (int64, error) {
	buf := make([]byte, end-off) // one segment and one commit at most
	if _, err := f.ReadAt(buf, off); err != nil && !errors.Is(err, io.EOF) {
		return -1, err
	}
	for i := 0; i+frameHead+bodyHead <= len(buf); i++ {
		// The counter is looked at first: checksums of all that might be a frame would take too long.
		counter := binary.LittleEndian.Uint64(buf[i+frameHead:])
		if counter <= next || counter-next > uint64(len(buf)) {
			continue
		}
		if fr, err := parseFrame(buf[i:], salt); err == nil && fr.flags&flagCommit != 0 {
			return off + int64(i), nil
		}
	}
	return -1, nil
}
