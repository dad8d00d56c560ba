package localstream

import (
	"context"
	"math"
	"time"
)

// shardOut is a shard on the wire.
type shardOut struct {
	ShardId               string
	ParentShardId         string `json:",omitempty"`
	AdjacentParentShardId string `json:",omitempty"`
	HashKeyRange          hashRange
	SequenceNumberRange   sequenceRange
}

type hashRange struct {
	StartingHashKey, EndingHashKey hashKey
}

type sequenceRange struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

func shardsOut(st *stream, shards []*shard) []shardOut {
	out := make([]shardOut, 0, len(shards))
	for _, sh := range shards {
		o := shardOut{
			ShardId:             shardID(sh.meta.Number),
			HashKeyRange:        hashRange{sh.meta.First, sh.meta.Last},
			SequenceNumberRange: sequenceRange{StartingSequenceNumber: st.sequence(sh, 0)},
		}
		if sh.meta.Parent != nil {
			o.ParentShardId = shardID(*sh.meta.Parent)
		}
		if sh.meta.Adjacent != nil {
			o.AdjacentParentShardId = shardID(*sh.meta.Adjacent)
		}
		if !sh.meta.open() {
			o.SequenceNumberRange.EndingSequenceNumber = st.sequence(sh, sh.meta.End)
		}
		out = append(out, o)
	}
	return out
}

// afterShard returns the shards whose numbers are above the one of id; all of them if id is nil.
func afterShard(shards []*shard, id *string) ([]*shard, error) {
	if id == nil {
		return shards, nil
	}
	n, ok := parseShardID(*id)
	if !ok {
		return nil, invalidArgument("%s is not the id of a shard.", *id)
	}
	for i, sh := range shards {
		if sh.meta.Number > n {
			return shards[i:], nil
		}
	}
	return nil, nil
}

// shardFilter chooses shards by when they were open.
type shardFilter struct {
	Type      string   `json:",omitempty"`
	ShardId   *string  `json:",omitempty"`
	Timestamp *float64 `json:",omitempty"`
}

// check reports what is wrong with the filter at the time now.
func (f shardFilter) check(now time.Time) error {
	switch f.Type {
	case "", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST":
	case "AFTER_SHARD_ID":
		if f.ShardId == nil {
			return invalidArgument("The filter AFTER_SHARD_ID needs a ShardId.")
		}
	case "AT_TIMESTAMP", "FROM_TIMESTAMP":
		if f.Timestamp == nil {
			return invalidArgument("The filter %s needs a Timestamp.", f.Type)
		}
		if milli(*f.Timestamp) > now.UnixMilli() {
			return invalidArgument("The Timestamp of the filter is in the future.")
		}
	default:
		return validation("ShardFilter.Type", "be one of AFTER_SHARD_ID, AT_TRIM_HORIZON, FROM_TRIM_HORIZON, AT_LATEST, "+
			"AT_TIMESTAMP, FROM_TIMESTAMP, not %q", f.Type)
	}
	if (f.ShardId != nil) != (f.Type == "AFTER_SHARD_ID") {
		return invalidArgument("ShardId belongs to the filter AFTER_SHARD_ID and to no other.")
	}
	if (f.Timestamp != nil) != (f.Type == "AT_TIMESTAMP" || f.Type == "FROM_TIMESTAMP") {
		return invalidArgument("Timestamp belongs to the filters AT_TIMESTAMP and FROM_TIMESTAMP and to no other.")
	}
	return nil
}

// choose returns the shards of st that the filter lets through. A time before the trim horizon, or before the stream
// was made, means that.
func (f shardFilter) choose(st *stream, now time.Time) ([]*shard, error) {
	if f.Type == "AFTER_SHARD_ID" {
		return afterShard(st.shards, f.ShardId)
	}
	horizon := max(now.Add(-time.Duration(st.meta.RetentionHours)*time.Hour).UnixMilli(), st.meta.Created)
	at := horizon
	if f.Timestamp != nil {
		at = max(milli(*f.Timestamp), horizon)
	}
	var out []*shard
	for _, sh := range st.shards {
		m := sh.meta
		begun, lasted := m.Created <= at, m.open() || m.Closed > at
		var take bool
		switch f.Type {
		case "AT_LATEST":
			take = m.open()
		case "AT_TRIM_HORIZON", "AT_TIMESTAMP":
			take = begun && lasted
		case "FROM_TIMESTAMP":
			take = m.open() || m.Closed >= at
		default: // FROM_TRIM_HORIZON: what has expired is not in st any more
			take = true
		}
		if take {
			out = append(out, sh)
		}
	}
	return out, nil
}

func milli(seconds float64) int64 {
	const far = 1 << 52 // keeps nonsense within what an int64 and a float64 both hold
	return int64(math.Round(max(-far, min(far, seconds*1000))))
}

type listShardsIn struct {
	streamRef
	NextToken               *string
	ExclusiveStartShardId   *string
	MaxResults              *int
	StreamCreationTimestamp *float64
	ShardFilter             *shardFilter
}

type listShardsOut struct {
	Shards    []shardOut
	NextToken string `json:",omitempty"`
}

func (a *api) listShards(_ context.Context, in *listShardsIn) (any, error) {
	limit, err := within("MaxResults", in.MaxResults, 1, 10_000, defaultPageSize)
	if err != nil {
		return nil, err
	}
	now := a.store.now()
	st, filter, after, err := a.listed(in, now)
	if err != nil {
		return nil, err
	}
	shards, err := filter.choose(st, now)
	if err == nil {
		shards, err = afterShard(shards, after)
	}
	if err != nil {
		return nil, err
	}
	page := shards[:min(limit, len(shards))]
	out := listShardsOut{Shards: shardsOut(st, page)}
	if len(page) < len(shards) {
		out.NextToken = encodeToken(pageToken{Issued: now.UnixMilli(), Stream: st.meta.Name, Created: st.meta.Created,
			After: out.Shards[len(page)-1].ShardId, Filter: filter})
	}
	return out, nil
}

// listed returns what a ListShards request is about: told by the request itself, or by the token of the page before.
func (a *api) listed(in *listShardsIn, now time.Time) (st *stream, f shardFilter, after *string, err error) {
	if in.NextToken == nil {
		if st, err = a.stream(in.streamRef); err != nil {
			return nil, f, nil, err
		}
		if t := in.StreamCreationTimestamp; t != nil && milli(*t) != st.meta.Created {
			return nil, f, nil, notFound("Stream %s was not created at %v.", st.meta.Name, *t)
		}
		if in.ShardFilter != nil {
			f = *in.ShardFilter
			if f.Type == "" {
				return nil, f, nil, validation("ShardFilter.Type", "not be null")
			}
		}
		return st, f, in.ExclusiveStartShardId, f.check(now)
	}
	if in.StreamName != nil || in.ExclusiveStartShardId != nil || in.StreamCreationTimestamp != nil {
		return nil, f, nil, invalidArgument("With a NextToken, none of StreamName, ExclusiveStartShardId and " +
			"StreamCreationTimestamp may be given.")
	}
	token, err := a.pageToken(*in.NextToken)
	if err != nil {
		return nil, f, nil, err
	}
	if st, err = a.store.lookup(token.Stream); err == nil && st.meta.Created != token.Created {
		err = notFound("Stream %s was deleted and made again since the NextToken was issued.", token.Stream)
	}
	if err == nil {
		err = token.Filter.check(now)
	}
	return st, token.Filter, &token.After, err
}

type splitShardIn struct {
	streamRef
	ShardToSplit       *string
	NewStartingHashKey *string
}

func (a *api) splitShard(_ context.Context, in *splitShardIn) (any, error) {
	if err := needed("ShardToSplit", in.ShardToSplit); err != nil {
		return nil, err
	}
	if err := needed("NewStartingHashKey", in.NewStartingHashKey); err != nil {
		return nil, err
	}
	at, err := parseHashKey(*in.NewStartingHashKey)
	if err != nil {
		return nil, invalidArgument("NewStartingHashKey: %v.", err)
	}
	st, err := a.stream(in.streamRef)
	if err != nil {
		return nil, err
	}
	sh, err := st.byID(*in.ShardToSplit)
	if err != nil {
		return nil, err
	}
	return nil, a.store.update(st.meta.Name, func(m *streamMeta) error {
		return m.split(sh.meta.Number, at, a.store.now().UnixMilli())
	})
}

type mergeShardsIn struct {
	streamRef
	ShardToMerge         *string
	AdjacentShardToMerge *string
}

func (a *api) mergeShards(_ context.Context, in *mergeShardsIn) (any, error) {
	if err := needed("ShardToMerge", in.ShardToMerge); err != nil {
		return nil, err
	}
	if err := needed("AdjacentShardToMerge", in.AdjacentShardToMerge); err != nil {
		return nil, err
	}
	st, err := a.stream(in.streamRef)
	if err != nil {
		return nil, err
	}
	one, err := st.byID(*in.ShardToMerge)
	if err != nil {
		return nil, err
	}
	other, err := st.byID(*in.AdjacentShardToMerge)
	if err != nil {
		return nil, err
	}
	return nil, a.store.update(st.meta.Name, func(m *streamMeta) error {
		return m.merge(one.meta.Number, other.meta.Number, a.store.now().UnixMilli())
	})
}

type updateShardCountIn struct {
	streamRef
	TargetShardCount *int
	ScalingType      string
}

type updateShardCountOut struct {
	StreamName, StreamARN               string
	CurrentShardCount, TargetShardCount int
}

func (a *api) updateShardCount(_ context.Context, in *updateShardCountIn) (any, error) {
	if in.ScalingType != "UNIFORM_SCALING" {
		return nil, validation("ScalingType", "be UNIFORM_SCALING, not %q", in.ScalingType)
	}
	if in.TargetShardCount == nil {
		return nil, validation("TargetShardCount", "not be null")
	}
	target, err := within("TargetShardCount", in.TargetShardCount, 1, maxShards, 0)
	if err != nil {
		return nil, err
	}
	st, err := a.stream(in.streamRef)
	if err != nil {
		return nil, err
	}
	err = a.store.update(st.meta.Name, func(m *streamMeta) error {
		return m.scale(target, a.store.now().UnixMilli())
	})
	return updateShardCountOut{st.meta.Name, a.arn(st.meta.Name), len(st.open), target}, err
}
