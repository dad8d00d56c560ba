package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// tailReaders is how many shards are read at a time.
const tailReaders = 8

// shard gives a shard's state, which is made when the shard is met first: it begins with what its parents have seen.
func (v *verification) shard(name shardName, first string) (*shard, error) {
	v.replay.mu.Lock()
	defer v.replay.mu.Unlock()
	s := v.replay.shards[name]
	if s == nil {
		s = &shard{Number: uint32(len(v.replay.shards) + 1), ID: name.id, Created: name.created, First: first}
		if l, ok := v.listed[name.id]; ok && name.created == v.stream.Created.Unix() {
			s.Parents, s.Listed = l.Parents, true
		}
		v.replay.shards[name] = s
		if err := setJSON(v.db.DB, entry(shardEntry, s.Number), s); err != nil {
			return nil, err
		}
	}
	if s.filter != nil || !v.cfg.Deduplicate {
		return s, nil
	}
	var err error
	if s.filter, err = v.loadFilter(s); err != nil || s.filter != nil {
		return s, err
	}
	var parents []*dedupe.Filter
	for _, id := range s.Parents {
		if p := v.replay.shards[shardName{s.Created, id}]; p != nil {
			f, err := v.loadFilter(p)
			if err != nil {
				return nil, err
			}
			if f != nil {
				parents = append(parents, f)
			}
		}
	}
	s.filter = dedupe.Merge(parents...)
	return s, nil
}

// loadFilter reads a shard's state of de-duplication; nil if there is none.
func (v *verification) loadFilter(s *shard) (*dedupe.Filter, error) {
	if s.filter != nil {
		return s.filter, nil
	}
	state, err := v.db.get(entry(filterEntry, s.Number))
	if state == nil || err != nil {
		return nil, err
	}
	f := dedupe.New()
	return f, f.UnmarshalBinary(state)
}

// advance replays the stream until the replay has passed a position of the source: replicate has sent everything before
// it, and everything that was in the stream then is replayed.
func (v *verification) advance(ctx context.Context, to source.Position) error {
	saved, err := v.awaitSent(ctx, to)
	if err != nil {
		return err
	}
	if err := v.readTail(ctx); err != nil {
		return err
	}
	v.passed = saved.Position
	return nil
}

// awaitSent waits until replicate's checkpoint has passed a position.
func (v *verification) awaitSent(ctx context.Context, to source.Position) (saved Saved, err error) {
	began := time.Now()
	for {
		if saved, err = v.cfg.Saved(ctx); err != nil || !v.cfg.Changes || sent(saved.Position, to) {
			return saved, err
		}
		if waited := time.Since(began); waited > v.cfg.Wait {
			return saved, &BehindError{Source: to, Sent: saved.Position, Waited: waited}
		}
		v.progress(Progress{Phase: "waiting for replicate to pass " + to.File, Note: fmt.Sprintf("it is at %s:%d", saved.Position.File, saved.Position.Offset)})
		if err := backoff.Sleep(ctx, 100*time.Millisecond); err != nil {
			return saved, err
		}
	}
}

// sent says whether everything before a position of the source is acknowledged by the stream.
func sent(at, to source.Position) bool {
	if to.GTIDSet != "" && at.GTIDSet == to.GTIDSet {
		return true
	}
	return at.ServerUUID == to.ServerUUID && at.File != "" && at.Compare(to) >= 0
}

// errCaughtUp ends the reading of a shard.
var errCaughtUp = errors.New("everything that was there is read")

// readTail reads every shard to where it ends now, parents before children. Those that come into being meanwhile hold
// nothing that is older, so however often shards are split, it ends.
func (v *verification) readTail(ctx context.Context) error {
	since := time.Now()
	through := map[string]bool{}
	shards, err := v.in.Shards(ctx)
	if err != nil {
		return err
	}
	for _, s := range shards {
		v.listed[s.ID] = s
	}
	for {
		ready := kinesisin.Ready(shards, v.ended)
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(tailReaders)
		began := 0
		for _, l := range ready {
			if through[l.ID] {
				continue
			}
			through[l.ID] = true
			began++
			s, err := v.shard(shardName{v.stream.Created.Unix(), l.ID}, "")
			if err != nil {
				return errors.Join(err, group.Wait())
			}
			group.Go(func() error { return v.readShard(groupCtx, s, l, since) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if began == 0 {
			return nil
		}
	}
}

// ended says whether a shard is replayed to its end.
func (v *verification) ended(id string) bool {
	v.replay.mu.RLock()
	defer v.replay.mu.RUnlock()
	s := v.replay.shards[shardName{v.stream.Created.Unix(), id}]
	return s != nil && s.Ended
}

// readShard reads a shard until an answer to a call that was made since says that there is nothing more. One that was
// closed by then is read to its end: those behind it may hold what was there as well.
func (v *verification) readShard(ctx context.Context, s *shard, l kinesisin.Shard, since time.Time) error {
	request := kinesisin.Request{Shard: s.ID, From: kinesisin.Horizon()}
	if s.Last != "" {
		request.From = kinesisin.After(s.Last)
	}
	if v.cfg.HashRange {
		if within, err := l.Range(); err == nil {
			request.Within = &within
		}
	}
	a := v.replay.applier(s)
	defer func() { a.batch.Close() }()
	err := v.in.Read(ctx, request, func(ctx context.Context, b *kinesisin.Batch) error {
		if err := v.applyBatch(ctx, a, b); err != nil {
			return err
		}
		if !b.End && !l.Closed && reached(b, since) {
			return errCaughtUp
		}
		return nil
	})
	switch expired, ok := errors.AsType[*kinesisin.ExpiredError](err); {
	case errors.Is(err, errCaughtUp):
		return nil
	case ok:
		return fmt.Errorf("%w; the work folder of an interrupted verification is older than what the stream keeps: begin anew with --restart", expired)
	case err != nil:
		return err
	}
	v.replay.mu.Lock()
	defer v.replay.mu.Unlock()
	s.Ended = true
	return a.commit(s.Last)
}

// reached says whether an answer, with those before it, holds everything that was in the shard at a time. There may never
// be an empty answer: others go on writing.
func reached(b *kinesisin.Batch, since time.Time) bool {
	const resolution = 10 * time.Millisecond // of what the stream says
	return b.Behind == 0 && b.Asked.After(since) || b.Seen.After(since.Add(resolution))
}

// applyBatch replays an answer of the stream.
func (v *verification) applyBatch(ctx context.Context, a *applier, b *kinesisin.Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	v.replay.mu.Lock()
	defer v.replay.mu.Unlock()
	last := a.s.Last
	for _, r := range b.Records {
		if a.s.Last != "" && s3sink.CompareSequence(r.Sequence, a.s.Last) <= 0 {
			continue
		}
		if a.s.First == "" {
			a.s.First = r.Sequence
		}
		for _, data := range r.Data {
			if a.s.filter != nil && a.s.filter.Check(data) != dedupe.Keep {
				continue
			}
			v.replay.total.Tail++
			if err := a.apply(ctx, data); err != nil {
				return err
			}
		}
		last = r.Sequence
	}
	a.s.Tail = true
	if err := v.db.room(minimumFree); err != nil {
		return err
	}
	return a.commit(last)
}

// health shows what the stream's endpoint is at. Calls are made again until they succeed.
type health struct{ v *verification }

// Failing implements kinesisin.Health.
func (h health) Failing(err error) {
	h.v.progress(Progress{Phase: "waiting for the stream", Note: err.Error()})
}

// Working implements kinesisin.Health.
func (health) Working() {}

// gate lets every answer in: a shard has one, and few shards are read at a time.
type gate struct{}

// Reserve implements kinesisin.Gate.
func (gate) Reserve(context.Context, int64) error { return nil }

// Add implements kinesisin.Gate.
func (gate) Add(int64) {}
