package localstream

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/binlogstreamer/binlogstreamer/internal/localstream/shardlog"
)

// stream is a stream as it is at one moment. It is never changed: a change makes another one.
type stream struct {
	meta   streamMeta
	shards []*shard // by number
	open   []*shard // by place in the hash space, which they cover without gap or overlap
}

// shard is a shard as it is at one moment. Its log is the same at all moments.
type shard struct {
	meta shardMeta
	log  *shardlog.Log
}

func newStream(m streamMeta, logs map[int]*shardlog.Log) (*stream, error) {
	st := &stream{meta: m}
	for _, sm := range m.Shards {
		sh := &shard{meta: sm, log: logs[sm.Number]}
		st.shards = append(st.shards, sh)
		if sm.open() {
			st.open = append(st.open, sh)
		}
	}
	slices.SortFunc(st.open, func(a, b *shard) int {
		return cmp.Or(cmp.Compare(a.meta.First.hi, b.meta.First.hi), cmp.Compare(a.meta.First.lo, b.meta.First.lo))
	})
	if !covers(st.open) {
		return nil, fmt.Errorf("the open shards of stream %s do not cover the hash space exactly once", m.Name)
	}
	return st, nil
}

func covers(open []*shard) bool {
	if len(open) == 0 || open[0].meta.First != (hashKey{}) || open[len(open)-1].meta.Last != maxHash {
		return false
	}
	for i := 1; i < len(open); i++ {
		if open[i-1].meta.Last == maxHash || open[i-1].meta.Last.next() != open[i].meta.First {
			return false
		}
	}
	return true
}

// shardFor returns the open shard that h belongs to.
func (st *stream) shardFor(h hashKey) *shard {
	i := sort.Search(len(st.open), func(i int) bool { return h.less(st.open[i].meta.First) })
	return st.open[i-1]
}

// shard returns the shard with the given number, open or closed, or nil.
func (st *stream) shard(number int) *shard {
	i, ok := slices.BinarySearchFunc(st.shards, number, func(s *shard, n int) int { return cmp.Compare(s.meta.Number, n) })
	if !ok {
		return nil
	}
	return st.shards[i]
}

// byID is shard for an id as callers give it; the error is the answer for them.
func (st *stream) byID(id string) (*shard, error) {
	if n, ok := parseShardID(id); ok {
		if sh := st.shard(n); sh != nil {
			return sh, nil
		}
	}
	return nil, notFound("Could not find shard %s in stream %s.", id, st.meta.Name)
}

// children returns the shards that took over from the shard with the given number.
func (st *stream) children(number int) []*shard {
	var out []*shard
	for _, sh := range st.shards {
		if is(sh.meta.Parent, number) || is(sh.meta.Adjacent, number) {
			out = append(out, sh)
		}
	}
	return out
}

func is(p *int, n int) bool { return p != nil && *p == n }

// sequence is the sequence number of a record of sh.
func (st *stream) sequence(sh *shard, counter uint64) string {
	return sequence{st.meta.Created, sh.meta.Number, counter}.String()
}
