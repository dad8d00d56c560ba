package streamtest

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const middle = "170141183460469231731687303715884105728" // 2^127

func (s *suite) splitAt(name, shard, at string) {
	s.Helper()
	must[*kinesis.SplitShardOutput](s)(s.client.SplitShard(s.ctx(), &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: &shard, NewStartingHashKey: &at}))
	s.active(name)
}

func (s *suite) mergeOf(name, shard, adjacent string) {
	s.Helper()
	must[*kinesis.MergeShardsOutput](s)(s.client.MergeShards(s.ctx(), &kinesis.MergeShardsInput{StreamName: &name, ShardToMerge: &shard, AdjacentShardToMerge: &adjacent}))
	s.active(name)
}

func open(shards []types.Shard) []types.Shard {
	return slices.DeleteFunc(slices.Clone(shards), func(sh types.Shard) bool { return sh.SequenceNumberRange.EndingSequenceNumber != nil })
}

// covered fails the case unless the open shards divide the hash space without gap or overlap.
func (s *suite) covered(shards []types.Shard) {
	s.Helper()
	starts := map[string]*types.Shard{}
	for _, sh := range open(shards) {
		starts[*sh.HashKeyRange.StartingHashKey] = &sh
	}
	at := new(big.Int)
	for n := 0; ; n++ {
		if at.BitLen() == 129 {
			if n != len(starts) {
				s.Errorf("%d shards cover the hash space, %d are open", n, len(starts))
			}
			return
		}
		sh := starts[at.String()]
		if sh == nil {
			s.Errorf("no open shard begins at %s", at)
			return
		}
		at.SetString(*sh.HashKeyRange.EndingHashKey, 10)
		at.Add(at, big.NewInt(1))
	}
}

func (s *suite) split() {
	name := s.newStream(1)
	parent := s.shards(name)[0]
	before := s.putAll(name, put("a", "1"), put("b", "2"), put("c", "3"))
	s.splitAt(name, *parent.ShardId, middle)

	shards := s.shards(name)
	s.covered(shards)
	if len(shards) != 3 || *shards[0].ShardId != *parent.ShardId || shards[0].SequenceNumberRange.EndingSequenceNumber == nil {
		s.Fatalf("after a split: %+v", shards)
	}
	end := *shards[0].SequenceNumberRange.EndingSequenceNumber
	if last := *before[2].SequenceNumber; s.has(EndingNumbers) && above(last, end) {
		s.Errorf("the closed shard ends with %s, before its last record %s", end, last)
	}
	for _, child := range shards[1:] {
		if aws.ToString(child.ParentShardId) != *parent.ShardId || child.AdjacentParentShardId != nil {
			s.Errorf("child %+v does not name its parent", child)
		}
		if !above(*child.SequenceNumberRange.StartingSequenceNumber, *before[2].SequenceNumber) {
			s.Errorf("child %+v begins before its parent's last record %s", child, *before[2].SequenceNumber)
		}
	}
	if lower := shards[1].HashKeyRange; *lower.StartingHashKey != "0" || *shards[2].HashKeyRange.StartingHashKey != middle {
		s.Errorf("the children have the ranges %+v and %+v", lower, shards[2].HashKeyRange)
	}
	after := put("a", "4")
	after.ExplicitHashKey = aws.String(middle)
	if got := s.putAll(name, after)[0]; *got.ShardId != *shards[2].ShardId {
		s.Errorf("a put after the split went to %s", *got.ShardId)
	}

	records, out := s.read(s.iterator(name, *parent.ShardId, types.ShardIteratorTypeTrimHorizon), 1<<30)
	if !slices.Equal(datas(records), []string{"1", "2", "3"}) || out.NextShardIterator != nil {
		s.Errorf("the closed shard gives %q, then %v", datas(records), out.NextShardIterator)
	}
	if got := datas(s.readShard(name, *shards[2].ShardId, 1)); !slices.Equal(got, []string{"4"}) {
		s.Errorf("the child gives %q", got)
	}
	if got, _ := s.read(s.iterator(name, *parent.ShardId, types.ShardIteratorTypeAfterSequenceNumber, atSequence(before[2].SequenceNumber)), 1<<30); len(got) != 0 {
		s.Errorf("after its last record the closed shard gives %q", datas(got))
	}
}

func (s *suite) merge() {
	name := s.newStream(2)
	shards := s.shards(name)
	one, other := *shards[0].ShardId, *shards[1].ShardId
	e := put("k", "of the parent")
	e.ExplicitHashKey = aws.String("0")
	s.putAll(name, e)
	s.mergeOf(name, one, other)
	shards = s.shards(name)
	s.covered(shards)
	o := open(shards)
	if len(shards) != 3 || len(o) != 1 || aws.ToString(o[0].ParentShardId) != one || aws.ToString(o[0].AdjacentParentShardId) != other {
		s.Fatalf("after a merge: %+v", shards)
	}
	s.putAll(name, put("k", "of the child"))
	if got := datas(s.readShard(name, *o[0].ShardId, 1)); !slices.Equal(got, []string{"of the child"}) {
		s.Errorf("the child gives %q", got)
	}
	if got := datas(s.readShard(name, one, 1<<30)); !slices.Equal(got, []string{"of the parent"}) {
		s.Errorf("the parent gives %q", got)
	}
	if got := s.readShard(name, other, 1<<30); len(got) != 0 {
		s.Errorf("the empty parent gives %q", datas(got))
	}
}

func (s *suite) childShards() {
	name := s.newStream(1)
	root := *s.shards(name)[0].ShardId
	s.putAll(name, put("k", "v"))
	s.splitAt(name, root, middle)
	_, out := s.read(s.iterator(name, root, types.ShardIteratorTypeTrimHorizon), 1<<30)
	if len(out.ChildShards) != 2 {
		s.Fatalf("the end of a split shard names the children %+v", out.ChildShards)
	}
	lower, upper := out.ChildShards[0], out.ChildShards[1]
	if *lower.HashKeyRange.StartingHashKey != "0" {
		lower, upper = upper, lower
	}
	if !slices.Equal(lower.ParentShards, []string{root}) || *upper.HashKeyRange.StartingHashKey != middle {
		s.Errorf("children %+v and %+v", lower, upper)
	}
	s.mergeOf(name, *lower.ShardId, *upper.ShardId)
	for _, parent := range []types.ChildShard{lower, upper} {
		_, out := s.read(s.iterator(name, *parent.ShardId, types.ShardIteratorTypeLatest), 1<<30)
		if len(out.ChildShards) != 1 {
			s.Fatalf("the end of a merged shard names the children %+v", out.ChildShards)
		}
		parents := slices.Sorted(slices.Values(out.ChildShards[0].ParentShards))
		if want := []string{*lower.ShardId, *upper.ShardId}; !slices.Equal(parents, slices.Sorted(slices.Values(want))) {
			s.Errorf("the merged child has the parents %q, want %q", parents, want)
		}
	}
}

func (s *suite) refusedReshards() {
	name := s.newStream(3)
	shards := s.shards(name)
	split := func(shard, at string) error {
		_, err := s.client.SplitShard(s.ctx(), &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: &shard, NewStartingHashKey: &at})
		return err
	}
	s.refused("splitting outside of the shard", split(*shards[0].ShardId, *shards[2].HashKeyRange.StartingHashKey), badRequest...)
	s.refused("splitting at the shard's start", split(*shards[1].ShardId, *shards[1].HashKeyRange.StartingHashKey), badRequest...)
	s.refused("splitting an unknown shard", split("shardId-000000000077", "1"), "ResourceNotFoundException")
	_, err := s.client.MergeShards(s.ctx(), &kinesis.MergeShardsInput{StreamName: &name, ShardToMerge: shards[0].ShardId, AdjacentShardToMerge: shards[2].ShardId})
	s.refused("merging shards that are not adjacent", err, badRequest...)
	_, err = s.client.MergeShards(s.ctx(), &kinesis.MergeShardsInput{StreamName: &name, ShardToMerge: shards[0].ShardId, AdjacentShardToMerge: aws.String("shardId-000000000077")})
	s.refused("merging an unknown shard", err, "ResourceNotFoundException")
	s.mergeOf(name, *shards[0].ShardId, *shards[1].ShardId)
	s.refused("splitting a closed shard", split(*shards[0].ShardId, "1"), badRequest...)
}

func (s *suite) updateShardCount() {
	name := s.newStream(2)
	for _, n := range []int32{4, 3, 5, 3} {
		must[*kinesis.UpdateShardCountOutput](s)(s.client.UpdateShardCount(s.ctx(), &kinesis.UpdateShardCountInput{
			StreamName: &name, TargetShardCount: aws.Int32(n), ScalingType: types.ScalingTypeUniformScaling}))
		s.active(name)
		shards := s.shards(name)
		s.covered(shards)
		if got := len(open(shards)); got != int(n) {
			s.Errorf("%d shards are open, want %d", got, n)
		}
	}
	s.putAll(name, put("k", "v"))
}

func (s *suite) listShardsPages() {
	name := s.newStream(5)
	var ids []string
	in := &kinesis.ListShardsInput{StreamName: &name, MaxResults: aws.Int32(2)}
	for pages := 1; ; pages++ {
		out := must[*kinesis.ListShardsOutput](s)(s.client.ListShards(s.ctx(), in))
		for _, sh := range out.Shards {
			ids = append(ids, *sh.ShardId)
		}
		if out.NextToken == nil {
			if pages != 3 {
				s.Errorf("5 shards come on %d pages of 2", pages)
			}
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken, MaxResults: aws.Int32(2)}
	}
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprintf("shardId-%012d", i))
	}
	if !slices.Equal(ids, want) {
		s.Errorf("the pages hold %q, want %q", ids, want)
	}
	out := must[*kinesis.ListShardsOutput](s)(s.client.ListShards(s.ctx(), &kinesis.ListShardsInput{StreamName: &name, ExclusiveStartShardId: &want[3]}))
	if len(out.Shards) != 1 || *out.Shards[0].ShardId != want[4] {
		s.Errorf("after %s come %+v", want[3], out.Shards)
	}
	_, err := s.client.ListShards(s.ctx(), &kinesis.ListShardsInput{NextToken: aws.String("nonsense")})
	s.refused("a token that is none", err, append(badRequest, "ExpiredNextTokenException")...)
}

func (s *suite) listShardsFilters() {
	name := s.newStream(1)
	time.Sleep(1100 * time.Millisecond) // a whole second on both sides, for servers that round
	between := time.Now()
	time.Sleep(1100 * time.Millisecond)
	s.splitAt(name, "shardId-000000000000", middle)
	for _, c := range []struct {
		filter types.ShardFilter
		want   []string
	}{
		{types.ShardFilter{Type: types.ShardFilterTypeAtLatest}, []string{"1", "2"}},
		{types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}, []string{"0"}},
		{types.ShardFilter{Type: types.ShardFilterTypeFromTrimHorizon}, []string{"0", "1", "2"}},
		{types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: &between}, []string{"0"}},
		{types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: &between}, []string{"0", "1", "2"}},
		{types.ShardFilter{Type: types.ShardFilterTypeAfterShardId, ShardId: aws.String("shardId-000000000001")}, []string{"2"}},
	} {
		if c.filter.Type == types.ShardFilterTypeAtTrimHorizon && !s.has(TrimHorizonFilter) {
			continue
		}
		out := must[*kinesis.ListShardsOutput](s)(s.client.ListShards(s.ctx(), &kinesis.ListShardsInput{StreamName: &name, ShardFilter: &c.filter}))
		got := []string{}
		for _, sh := range out.Shards {
			got = append(got, (*sh.ShardId)[len(*sh.ShardId)-1:])
		}
		if !slices.Equal(got, c.want) {
			s.Errorf("filter %s gives shards %q, want %q", c.filter.Type, got, c.want)
		}
	}
}
