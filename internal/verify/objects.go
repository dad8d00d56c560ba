package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink/stored"
)

// listed is an object in the index, which stands in the store in the order in which objects are replayed.
type listed struct {
	Key      string      `json:"key"`
	Meta     s3sink.Meta `json:"meta"`
	Archived bool        `json:"archived,omitempty"`
	Modified time.Time   `json:"modified"`
}

// indexed sums up what the index has.
type indexed struct {
	objects  int64
	bytes    int64     // plain
	archived time.Time // when the newest object was stored that the listing calls archived
}

// order is the place of an object: stream, shard, run, part.
func (o *listed) order() []byte {
	key := []byte{objectEntry}
	key = binary.BigEndian.AppendUint64(key, uint64(o.Meta.StreamCreated))
	key = append(key, o.Meta.Shard...)
	key = append(key, 0, byte(len(o.Meta.First)>>8), byte(len(o.Meta.First)))
	key = append(key, o.Meta.First...)
	return binary.BigEndian.AppendUint32(key, uint32(o.Meta.Part))
}

// index lists the objects and asks each what it is, several at a time.
func (v *verification) index(ctx context.Context) (sum indexed, err error) {
	if err := v.limit(ctx); err != nil {
		return sum, err
	}
	var mu sync.Mutex // covers sum, and writing
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, prefix := range distinct(v.cfg.Prefixes) {
		err := v.cfg.Objects.List(ctx, prefix, func(item stored.Item) error {
			if !v.cfg.Since.IsZero() && item.Modified.Before(v.cfg.Since) {
				return nil
			}
			group.Go(func() error {
				o, err := v.describe(ctx, item)
				if err != nil || o == nil || !v.counts(o) {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				sum.add(o)
				v.progress(Progress{Phase: "listing objects", Unit: "objects", Done: sum.objects})
				return v.db.keepObject(o)
			})
			return context.Cause(ctx)
		})
		if err != nil {
			return sum, errors.Join(group.Wait(), err)
		}
	}
	return sum, group.Wait()
}

// A listing is not one moment: while it goes on, an object may be stored under a prefix that was listed already, and the
// one behind it in the chain under one that is still to come. So only those objects count of which it was known before
// the listing began that everything up to them is stored; what lies behind is read from the stream.

// certainlyListed is how old an object has to be where nothing says what is stored.
const certainlyListed = 2 * time.Minute

// limit asks how far each shard is stored. A shard is asked about before those that it was split from: where it has
// objects that count, everything of theirs counts.
func (v *verification) limit(ctx context.Context) error {
	v.began, v.limits = time.Now(), map[string]string{}
	for _, id := range childrenFirst(v.listed) {
		last, known, err := v.cfg.Stored(ctx, v.stream, id)
		if err != nil {
			return err
		}
		if known {
			v.limits[id] = last
		}
	}
	return nil
}

// childrenFirst are the shards, each before those that it goes on behind.
func childrenFirst(listed map[string]kinesisin.Shard) []string {
	generations := map[string]int{}
	var generation func(id string) int
	generation = func(id string) int {
		l, there := listed[id]
		if !there {
			return 0
		}
		if generations[id] == 0 {
			n := 0
			for _, p := range l.Parents {
				n = max(n, generation(p))
			}
			generations[id] = n + 1
		}
		return generations[id]
	}
	return slices.SortedFunc(maps.Keys(listed), func(a, b string) int { return generation(b) - generation(a) })
}

// leaveNew leaves the objects alone of shards that came into being since the listing began: of what those hold that they
// go on behind, some may be in no object that counts. They are read from the stream as a whole.
func (v *verification) leaveNew(ctx context.Context) error {
	shards, err := v.in.Shards(ctx)
	if err != nil {
		return err
	}
	for _, s := range shards {
		if _, known := v.listed[s.ID]; known {
			continue
		}
		v.listed[s.ID] = s
		from, to := runsOf(shardName{v.stream.Created.Unix(), s.ID})
		if err := v.db.DeleteRange(from, to, pebble.NoSync); err != nil {
			return err
		}
	}
	return nil
}

// runsOf are the bounds of a shard's objects in the index.
func runsOf(name shardName) (from, to []byte) {
	from = binary.BigEndian.AppendUint64([]byte{objectEntry}, uint64(name.created))
	from = append(append(from, name.id...), 0)
	to = slices.Clone(from)
	to[len(to)-1] = 1
	return from, to
}

// counts says whether an object is one that counts.
func (v *verification) counts(o *listed) bool {
	if _, there := v.listed[o.Meta.Shard]; !there || o.Meta.StreamCreated != v.stream.Created.Unix() {
		return true // the shard is at its end
	}
	if last, known := v.limits[o.Meta.Shard]; known {
		return last != "" && s3sink.CompareSequence(o.Meta.Last, last) <= 0
	}
	return v.began.Sub(o.Modified) > certainlyListed
}

func (s *indexed) add(o *listed) {
	s.objects++
	s.bytes += o.Meta.Bytes
	if o.Archived {
		s.archived = later(s.archived, o.Modified)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (d *db) keepObject(o *listed) error {
	return errors.Join(setJSON(d.DB, o.order(), o), setJSON(d.DB, append([]byte{knownEntry}, o.Key...), o))
}

// describe asks an object what it is, unless that is known. It is nil for one that belongs to something else.
func (v *verification) describe(ctx context.Context, item stored.Item) (*listed, error) {
	o := &listed{}
	if known, err := v.db.load(append([]byte{knownEntry}, item.Key...), o); known || err != nil {
		return o, err
	}
	meta, err := v.cfg.Objects.Describe(ctx, item.Key)
	switch {
	case errors.Is(err, s3sink.ErrNoMeta), errors.Is(err, s3sink.ErrNotFound), err == nil && meta.Stream != v.stream.Name:
		v.replay.mu.Lock()
		defer v.replay.mu.Unlock()
		v.replay.total.Foreign++
		return nil, nil
	case err != nil && v.isBody(item.Key):
		return nil, nil
	case err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "gzip"):
		v.replay.mu.Lock()
		defer v.replay.mu.Unlock()
		v.replay.fault("object %s does not say what it holds: %v", item.Key, err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &listed{Key: item.Key, Meta: meta, Archived: item.Archived, Modified: item.Modified}, nil
}

// isBody says whether an object is the body of a record that was too large for the stream: they may lie beside the others.
func (v *verification) isBody(key string) bool {
	return v.cfg.Bodies != nil && strings.HasSuffix(key, ".json") && v.cfg.Bodies.Owns(v.cfg.Objects.String()+"/"+key)
}

// distinct are the prefixes without those that lie below others.
func distinct(prefixes []string) (list []string) {
	slices.Sort(prefixes)
	for _, p := range prefixes {
		if len(list) == 0 || !strings.HasPrefix(p, list[len(list)-1]) {
			list = append(list, p)
		}
	}
	return list
}

// chain is the runs of one shard.
type chain struct {
	name  shardName
	first string
}

// chains are the shards that have objects, each before those that go on behind it.
func (v *verification) chains() (list []chain, err error) {
	err = v.eachObject([]byte{objectEntry}, []byte{objectEntry + 1}, func(o *listed) (bool, error) {
		name := shardName{o.Meta.StreamCreated, o.Meta.Shard}
		if n := len(list); n == 0 || list[n-1].name != name {
			list = append(list, chain{name, o.Meta.First})
		}
		return true, nil
	})
	slices.SortStableFunc(list, func(a, b chain) int {
		if a.name.created != b.name.created {
			return int(a.name.created - b.name.created)
		}
		return s3sink.CompareSequence(a.first, b.first)
	})
	return list, err
}

// replayObjects replays all chains.
func (v *verification) replayObjects(ctx context.Context, sum indexed) error {
	chains, err := v.chains()
	if err != nil {
		return err
	}
	v.bytes.total = sum.bytes
	for _, c := range chains {
		if err := v.replayChain(ctx, c, sum); err != nil {
			return err
		}
	}
	return v.endFormer(chains)
}

// endFormer says of shards that the stream has forgotten that they are at their end.
func (v *verification) endFormer(chains []chain) error {
	v.replay.mu.Lock()
	defer v.replay.mu.Unlock()
	for _, c := range chains {
		s := v.replay.shards[c.name]
		if _, there := v.listed[c.name.id]; there && c.name.created == v.stream.Created.Unix() {
			continue
		}
		s.Ended = true
		if err := setJSON(v.db.DB, entry(shardEntry, s.Number), s); err != nil {
			return err
		}
	}
	return nil
}

// replayChain replays the runs of one shard.
func (v *verification) replayChain(ctx context.Context, c chain, sum indexed) error {
	s, err := v.shard(c.name, c.first)
	if err != nil {
		return err
	}
	a := v.replay.applier(s)
	defer func() { a.batch.Close() }()
	from, to := runsOf(c.name)
	var run []*listed
	flush := func() error {
		if len(run) == 0 {
			return nil
		}
		err := v.replayRun(ctx, a, run, sum)
		run = nil
		return err
	}
	err = v.eachObject(from, to, func(o *listed) (bool, error) {
		if s.Last != "" && s3sink.CompareSequence(o.Meta.Last, s.Last) <= 0 {
			v.bytes.done += o.Meta.Bytes // of an earlier attempt
			return true, nil
		}
		if len(run) > 0 && run[0].Meta.First != o.Meta.First {
			if err := flush(); err != nil {
				return false, err
			}
		}
		run = append(run, o)
		return true, nil
	})
	if err = errors.Join(err, flush()); err != nil {
		return err
	}
	v.replay.mu.Lock()
	defer v.replay.mu.Unlock()
	if a.pending != "" {
		return a.commit(a.pending)
	}
	return nil
}

// batchBytes is how much a batch holds before it is committed, at the end of a run.
const batchBytes = 8 << 20

// replayRun replays one run: an object, or several that are merged as their records were made.
func (v *verification) replayRun(ctx context.Context, a *applier, run []*listed, sum indexed) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if n := run[0].Meta.Parts; n > len(run) {
		v.replay.mu.Lock()
		v.replay.fault("of the %d objects of the run of shard %s that begins at %s only %d are there", n, a.s.ID, run[0].Meta.First, len(run))
		v.replay.mu.Unlock()
	}
	a.strict = v.cfg.Deduplicated(run[0].Meta.Layout)
	if err := v.merge(ctx, a, run, sum); err != nil {
		return err
	}
	v.replay.mu.Lock()
	defer v.replay.mu.Unlock()
	v.replay.total.Objects += int64(len(run))
	a.pending = run[0].Meta.Last
	if a.size() < batchBytes {
		return nil
	}
	if err := v.db.room(minimumFree); err != nil {
		return errors.Join(err, a.commit(a.pending))
	}
	err := a.commit(a.pending)
	a.pending = ""
	return err
}

// source is one object of a run with its next record.
type part struct {
	in   *stored.Reader
	next []byte
	at   string // when the record was made
}

// merge applies the records of a run's objects in the order in which they were made. Each object has its own in order.
func (v *verification) merge(ctx context.Context, a *applier, run []*listed, sum indexed) error {
	var parts []*part
	defer func() {
		for _, p := range parts {
			p.in.Close()
		}
	}()
	for _, o := range run {
		in, err := stored.OpenRecords(ctx, v.cfg.Objects, o.Key, o.Meta)
		if err != nil {
			if err = v.unreadable(o, err, sum); err != nil {
				return err
			}
			continue
		}
		p := &part{in: in}
		parts = append(parts, p)
	}
	open := slices.Clone(parts)
	for _, p := range parts {
		if more, err := v.advancePart(p, len(run) > 1); err != nil {
			return err
		} else if !more {
			open = slices.DeleteFunc(open, func(q *part) bool { return q == p })
		}
	}
	for n := 0; len(open) > 0; n++ {
		least := open[0]
		for _, p := range open[1:] {
			if p.at < least.at {
				least = p
			}
		}
		if err := v.applyStored(ctx, a, least); err != nil {
			return err
		}
		more, err := v.advancePart(least, len(run) > 1)
		if err != nil {
			return err
		}
		if !more {
			open = slices.DeleteFunc(open, func(q *part) bool { return q == least })
		}
		if n%4096 == 0 {
			if err := context.Cause(ctx); err != nil {
				return err
			}
		}
	}
	for _, o := range run {
		v.bytes.done += o.Meta.Bytes
	}
	v.progress(Progress{Phase: "replaying objects", Unit: "bytes", Done: v.bytes.done, Total: v.bytes.total})
	return nil
}

// advancePart reads the next record. A damaged object is a fault, and ends.
func (v *verification) advancePart(p *part, merged bool) (bool, error) {
	data, err := p.in.Next()
	if damage, ok := errors.AsType[*stored.DamageError](err); ok {
		v.replay.mu.Lock()
		defer v.replay.mu.Unlock()
		v.replay.damaged(damage)
		return false, nil
	}
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p.next = data
	if merged {
		h, err := record.Parse(data)
		if err == nil {
			p.at = h.Timestamp
		}
	}
	return true, nil
}

// applyStored applies one record of an object.
func (v *verification) applyStored(ctx context.Context, a *applier, p *part) error {
	v.replay.mu.Lock()
	defer v.replay.mu.Unlock()
	v.replay.total.Records++
	if a.s.filter != nil {
		if verdict := a.s.filter.Check(p.next); verdict != dedupe.Keep && a.strict {
			h, _ := record.Parse(p.next)
			v.replay.fault("object %s holds a record that had been stored before (%s): %s of %s.%s at %s%s", p.in.Key(), verdict,
				h.Operation, h.Schema, h.Table, h.StreamPosition, h.Timestamp)
		}
	}
	return a.apply(ctx, p.next)
}

// unreadable says what an object that cannot be opened means.
func (v *verification) unreadable(o *listed, err error, sum indexed) error {
	if errors.Is(err, stored.ErrArchived) {
		return &ArchivedError{Key: o.Key, Shard: o.Meta.Shard, First: o.Meta.First, Last: o.Meta.Last, Stored: o.Modified, Newest: later(sum.archived, o.Modified), Err: err}
	}
	if damage, ok := errors.AsType[*stored.DamageError](err); ok {
		v.replay.mu.Lock()
		defer v.replay.mu.Unlock()
		v.replay.damaged(damage)
		return nil
	}
	return err
}

// eachObject calls fn with the objects of the index between two places, until it says false.
func (v *verification) eachObject(from, to []byte, fn func(*listed) (bool, error)) error {
	it, err := v.db.NewIter(iterBetween(from, to))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		o := &listed{}
		if err := decode(it.Value(), o); err != nil {
			return err
		}
		if more, err := fn(o); err != nil || !more {
			return err
		}
	}
	return it.Error()
}
