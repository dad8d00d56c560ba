package shardlog

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

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
