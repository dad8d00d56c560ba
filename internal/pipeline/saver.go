package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// boundary is a place between two transactions as the tracker keeps it: what of the checkpoint changes with it.
type boundary struct {
	file    string
	offset  uint64
	began   int64           // when the server began the file
	gtid    string          // of the one transaction that ended here
	gtids   *binlog.GTIDSet // of all transactions, where several boundaries were folded into one
	prevTx  uint64
	prevRec uint64
}

// Clone makes a boundary that later folding does not change.
func (b boundary) Clone() boundary {
	if b.gtids != nil {
		b.gtids = b.gtids.Clone()
	}
	return b
}

// foldBoundary gives the tracker's way to make one boundary of two that follow each other.
func foldBoundary(flavor source.Flavor) func(acc *boundary, next boundary) {
	return func(acc *boundary, next boundary) {
		acc.file, acc.offset, acc.began = next.file, next.offset, next.began
		acc.prevTx, acc.prevRec = next.prevTx, next.prevRec
		if next.gtid == "" && next.gtids == nil {
			return
		}
		if acc.gtids == nil {
			if acc.gtid == "" && next.gtids == nil {
				acc.gtid = next.gtid
				return
			}
			acc.gtids, _ = binlog.ParseGTIDSet(flavor, "") // the empty set is valid
			mustAdd(acc.gtids.Add(acc.gtid))
			acc.gtid = ""
		}
		if next.gtids != nil {
			mustAdd(acc.gtids.AddSet(next.gtids.String()))
		}
		mustAdd(acc.gtids.Add(next.gtid))
	}
}

// mustAdd: everything that is folded was parsed by the emitter before.
func mustAdd(err error) {
	if err != nil {
		panic(fmt.Sprintf("a GTID was accepted by the emitter and is refused by the saver: %v", err))
	}
}

// saver writes checkpoints: every interval, whenever the tracker asks for one, and a last time at the end.
type saver struct {
	tracker  *checkpoint.Tracker[boundary, changeAt]
	progress *progress
	interval time.Duration
	health   *outage.Watch // of the store
	started  *atomic.Bool  // the control records of the start are acknowledged

	mu    sync.Mutex // covers state; a save holds it
	state *stateFile

	savedAt atomic.Int64  // Unix nanoseconds of the newest save
	rounds  atomic.Uint64 // how often run has tried
}

// run saves until ctx is done. A store that is away is tried again; meanwhile the tracker's span holds the stream
// back. A store that somebody else wrote to ends the run.
func (s *saver) run(ctx context.Context) error {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		case <-s.tracker.Wanted():
		}
		if err := s.save(ctx); err != nil {
			return err
		}
		s.rounds.Add(1)
	}
}

// last saves for the last time; unlike before, an error ends it.
func (s *saver) last(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(ctx)
}

// now saves a checkpoint and returns when it is durable. It tries again for as long as the store is away.
func (s *saver) now(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		done, err := s.try(ctx)
		if done || err != nil {
			return err
		}
		if err := backoff.Sleep(ctx, min(50*time.Millisecond<<min(attempt, 6), 2*time.Second)); err != nil {
			return err
		}
	}
}

func (s *saver) save(ctx context.Context) error {
	_, err := s.try(ctx)
	return err
}

// try saves once. It is an error only if trying again cannot help.
func (s *saver) try(ctx context.Context) (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.write(ctx)
	switch {
	case err == nil:
		s.health.PartWorking(partCheckpoint)
		return true, nil
	case errors.Is(err, checkpoint.ErrConflict):
		return false, fmt.Errorf("%w: another replicate process has taken over; stop one of the two", err)
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	}
	s.health.PartFailing(partCheckpoint, err)
	return false, nil
}

// write makes the document of what is acknowledged now and saves it.
func (s *saver) write(ctx context.Context) error {
	tables, f := s.frontier()
	d := &s.state.doc
	d.Tables, d.Started = tables, s.started.Load()
	if f.Boundary.file != "" {
		d.Position.File, d.Position.Offset, d.Position.FileBegan = f.Boundary.file, f.Boundary.offset, f.Boundary.began
		d.PrevTx, d.PrevRec = f.Boundary.prevTx, f.Boundary.prevRec
	}
	if g := f.Boundary.gtids; g != nil {
		d.Position.GTIDSet = g.String()
	}
	d.Done, d.Through = f.Done, nil
	if p := f.DonePlace; f.Done > 0 && (p.Place.File != "" || p.GTID != "") { // no file behind a change of server
		d.Through = &throughDoc{File: p.Place.File, EventStart: p.Place.EventStart, Row: p.Place.Row, Half: p.Half, GTID: p.GTID}
	}
	if err := s.state.save(ctx); err != nil {
		return err
	}
	s.savedAt.Store(time.Now().UnixNano())
	s.tracker.Saved(f.Seq)
	return nil
}

// frontier is what a checkpoint may say of tables and stream. The tables are looked at first: one may be further than its
// document says, never the reverse. But a position behind a statement or a fault needs the states that these have set.
func (s *saver) frontier() ([]tableDoc, checkpoint.Frontier[boundary, changeAt]) {
	for {
		states := s.progress.states()
		tables := s.progress.docs()
		f := s.tracker.Frontier()
		if s.progress.states() == states {
			return tables, f
		}
	}
}

// age is how old the newest checkpoint is; it does not wait for a save under way.
func (s *saver) age() time.Duration {
	at := s.savedAt.Load()
	if at == 0 {
		return 0
	}
	return time.Since(time.Unix(0, at))
}
