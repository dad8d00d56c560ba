package streamtest

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func (s *suite) streamLifecycle() {
	before := time.Now().Add(-10 * time.Second) // some servers round
	name := s.newStream(3)

	sum := must[*kinesis.DescribeStreamSummaryOutput](s)(s.client.DescribeStreamSummary(s.ctx(),
		&kinesis.DescribeStreamSummaryInput{StreamName: &name})).StreamDescriptionSummary
	if aws.ToInt32(sum.OpenShardCount) != 3 || aws.ToInt32(sum.RetentionPeriodHours) != 24 || aws.ToString(sum.StreamName) != name ||
		aws.ToString(sum.StreamARN) == "" || sum.StreamCreationTimestamp.Before(before) || sum.StreamCreationTimestamp.After(time.Now().Add(2*time.Second)) {
		s.Errorf("summary of a new stream: name %s, ARN %s, %d open shards, %d hours, made at %s", aws.ToString(sum.StreamName),
			aws.ToString(sum.StreamARN), aws.ToInt32(sum.OpenShardCount), aws.ToInt32(sum.RetentionPeriodHours), sum.StreamCreationTimestamp)
	}

	d := must[*kinesis.DescribeStreamOutput](s)(s.client.DescribeStream(s.ctx(), &kinesis.DescribeStreamInput{StreamName: &name})).StreamDescription
	if len(d.Shards) != 3 || aws.ToBool(d.HasMoreShards) || aws.ToInt32(d.RetentionPeriodHours) != 24 || d.StreamStatus != types.StreamStatusActive {
		s.Errorf("description of a new stream: %+v", d)
	}
	if s.has(StreamPages) {
		page := must[*kinesis.DescribeStreamOutput](s)(s.client.DescribeStream(s.ctx(), &kinesis.DescribeStreamInput{
			StreamName: &name, Limit: aws.Int32(1), ExclusiveStartShardId: d.Shards[0].ShardId})).StreamDescription
		if len(page.Shards) != 1 || *page.Shards[0].ShardId != *d.Shards[1].ShardId || !aws.ToBool(page.HasMoreShards) {
			s.Errorf("second page of one shard: %+v", page)
		}
	}

	_, err := s.client.CreateStream(s.ctx(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(1)})
	s.refused("making a stream that exists", err, "ResourceInUseException")

	must[*kinesis.DeleteStreamOutput](s)(s.client.DeleteStream(s.ctx(), &kinesis.DeleteStreamInput{StreamName: &name}))
	s.eventually("the stream to be gone", func() bool {
		_, err = s.client.DescribeStreamSummary(s.ctx(), &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		return err != nil
	})
	s.refused("describing a deleted stream", err, "ResourceNotFoundException")
	_, err = s.client.DeleteStream(s.ctx(), &kinesis.DeleteStreamInput{StreamName: &name})
	s.refused("deleting a deleted stream", err, "ResourceNotFoundException")
}

func (s *suite) onDemandStream() {
	name := s.newStream(1) // for its name; it is replaced
	must[*kinesis.DeleteStreamOutput](s)(s.client.DeleteStream(s.ctx(), &kinesis.DeleteStreamInput{StreamName: &name}))
	onDemand := &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}
	s.eventually("the name to be free", func() bool {
		_, err := s.client.CreateStream(s.ctx(), &kinesis.CreateStreamInput{StreamName: &name, StreamModeDetails: onDemand})
		return err == nil
	})
	s.active(name)
	sum := must[*kinesis.DescribeStreamSummaryOutput](s)(s.client.DescribeStreamSummary(s.ctx(),
		&kinesis.DescribeStreamSummaryInput{StreamName: &name})).StreamDescriptionSummary
	if sum.StreamModeDetails == nil || sum.StreamModeDetails.StreamMode != types.StreamModeOnDemand || aws.ToInt32(sum.OpenShardCount) != 4 {
		s.Errorf("summary of a new on-demand stream: %+v", sum)
	}
}

func (s *suite) listStreamsPages() {
	want := []string{s.newStream(1), s.newStream(1), s.newStream(1)}
	slices.Sort(want)
	var got []string
	in := &kinesis.ListStreamsInput{Limit: aws.Int32(1)}
	for {
		out := must[*kinesis.ListStreamsOutput](s)(s.client.ListStreams(s.ctx(), in))
		if len(out.StreamNames) > 1 {
			s.Fatalf("a page of one holds %q", out.StreamNames)
		}
		got = append(got, out.StreamNames...)
		if !aws.ToBool(out.HasMoreStreams) {
			break
		}
		in.ExclusiveStartStreamName = &got[len(got)-1]
	}
	if !slices.IsSorted(got) {
		s.Errorf("the pages are not in order: %q", got)
	}
	got = slices.DeleteFunc(got, func(n string) bool { return !slices.Contains(want, n) }) // others may use the server
	if !slices.Equal(got, want) {
		s.Errorf("the pages hold %q, want %q", got, want)
	}
}

func (s *suite) listStreamsSummaries() {
	name := s.newStream(1)
	var token *string
	for {
		out := must[*kinesis.ListStreamsOutput](s)(s.client.ListStreams(s.ctx(), &kinesis.ListStreamsInput{NextToken: token, Limit: aws.Int32(2)}))
		for _, sum := range out.StreamSummaries {
			if aws.ToString(sum.StreamName) == name {
				if sum.StreamStatus != types.StreamStatusActive || aws.ToString(sum.StreamARN) == "" {
					s.Errorf("summary %+v", sum)
				}
				return
			}
		}
		if token = out.NextToken; token == nil {
			s.Fatalf("no page has a summary of %s", name)
		}
	}
}

func (s *suite) retention() {
	name := s.newStream(1)
	hours := func() int32 {
		return *must[*kinesis.DescribeStreamSummaryOutput](s)(s.client.DescribeStreamSummary(s.ctx(),
			&kinesis.DescribeStreamSummaryInput{StreamName: &name})).StreamDescriptionSummary.RetentionPeriodHours
	}
	must[*kinesis.IncreaseStreamRetentionPeriodOutput](s)(s.client.IncreaseStreamRetentionPeriod(s.ctx(),
		&kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: aws.Int32(48)}))
	s.active(name)
	if h := hours(); h != 48 {
		s.Errorf("after increasing to 48 hours it is %d", h)
	}
	_, err := s.client.IncreaseStreamRetentionPeriod(s.ctx(), &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: aws.Int32(30)})
	s.refused("increasing to less", err, badRequest...)
	_, err = s.client.DecreaseStreamRetentionPeriod(s.ctx(), &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: aws.Int32(12)})
	s.refused("decreasing below a day", err, badRequest...)
	must[*kinesis.DecreaseStreamRetentionPeriodOutput](s)(s.client.DecreaseStreamRetentionPeriod(s.ctx(),
		&kinesis.DecreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: aws.Int32(24)}))
	s.active(name)
	if h := hours(); h != 24 {
		s.Errorf("after decreasing to 24 hours it is %d", h)
	}
}

func (s *suite) streamARN() {
	name := s.newStream(1)
	arn := must[*kinesis.DescribeStreamSummaryOutput](s)(s.client.DescribeStreamSummary(s.ctx(),
		&kinesis.DescribeStreamSummaryInput{StreamName: &name})).StreamDescriptionSummary.StreamARN
	must[*kinesis.PutRecordsOutput](s)(s.client.PutRecords(s.ctx(), &kinesis.PutRecordsInput{
		StreamARN: arn, Records: []types.PutRecordsRequestEntry{put("k", "by arn")}}))
	shards := must[*kinesis.ListShardsOutput](s)(s.client.ListShards(s.ctx(), &kinesis.ListShardsInput{StreamARN: arn})).Shards
	it := must[*kinesis.GetShardIteratorOutput](s)(s.client.GetShardIterator(s.ctx(), &kinesis.GetShardIteratorInput{
		StreamARN: arn, ShardId: shards[0].ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}))
	out := must[*kinesis.GetRecordsOutput](s)(s.client.GetRecords(s.ctx(), &kinesis.GetRecordsInput{
		StreamARN: arn, ShardIterator: it.ShardIterator}))
	if got := datas(out.Records); !slices.Equal(got, []string{"by arn"}) {
		s.Errorf("read by ARN: %q", got)
	}
	if !s.has(ConflictingNames) {
		return
	}
	other := s.newStream(1)
	_, err := s.client.ListShards(s.ctx(), &kinesis.ListShardsInput{StreamARN: arn, StreamName: &other})
	s.refused("a name and an ARN that differ", err, badRequest...)
}

func (s *suite) recreatedStream() {
	name := s.newStream(1)
	old := s.putAll(name, put("k", "old"))[0]
	it := s.iterator(name, *old.ShardId, types.ShardIteratorTypeTrimHorizon)
	must[*kinesis.DeleteStreamOutput](s)(s.client.DeleteStream(s.ctx(), &kinesis.DeleteStreamInput{StreamName: &name}))
	s.eventually("the name to be free", func() bool {
		_, err := s.client.CreateStream(s.ctx(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(1)})
		return err == nil
	})
	s.active(name)
	s.putAll(name, put("k", "new"))
	_, err := s.client.GetRecords(s.ctx(), &kinesis.GetRecordsInput{ShardIterator: it})
	s.refused("an iterator of the stream before", err, "ResourceNotFoundException", "InvalidArgumentException")
	_, err = s.client.GetShardIterator(s.ctx(), &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: old.ShardId,
		ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: old.SequenceNumber})
	s.refused("a sequence number of the stream before", err, "InvalidArgumentException")
	if got := datas(s.readShard(name, *old.ShardId, 1)); !slices.Equal(got, []string{"new"}) {
		s.Errorf("the new stream holds %q", got)
	}
}

func (s *suite) unknownThings() {
	missing := "there-is-no-such-stream"
	_, err := s.client.PutRecords(s.ctx(), &kinesis.PutRecordsInput{StreamName: &missing, Records: []types.PutRecordsRequestEntry{put("k", "v")}})
	s.refused("putting", err, "ResourceNotFoundException")
	_, err = s.client.PutRecord(s.ctx(), &kinesis.PutRecordInput{StreamName: &missing, PartitionKey: aws.String("k"), Data: []byte("v")})
	s.refused("putting one", err, "ResourceNotFoundException")
	_, err = s.client.ListShards(s.ctx(), &kinesis.ListShardsInput{StreamName: &missing})
	s.refused("listing shards", err, "ResourceNotFoundException")
	_, err = s.client.DescribeStream(s.ctx(), &kinesis.DescribeStreamInput{StreamName: &missing})
	s.refused("describing", err, "ResourceNotFoundException")
	name := s.newStream(1)
	_, err = s.client.GetShardIterator(s.ctx(), &kinesis.GetShardIteratorInput{StreamName: &name,
		ShardId: aws.String("shardId-000000000099"), ShardIteratorType: types.ShardIteratorTypeLatest})
	s.refused("an unknown shard", err, "ResourceNotFoundException")
}
