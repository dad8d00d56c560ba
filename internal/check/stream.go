package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// StreamAPI is what of Kinesis a check calls.
type StreamAPI interface {
	DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error)
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	PutRecords(context.Context, *kinesis.PutRecordsInput, ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error)
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// Stream is the Kinesis side of a pipeline.
type Stream struct {
	API       StreamAPI
	Name, ARN string
	Region    string
	AWS       bool // real Kinesis, where a call can be tried without being carried out, rather than a store that speaks it
	Embedded  bool // our own, which is made when the pipeline starts
	Write     bool // replicate runs here
	Read      bool // deliver runs here
	Timeout   time.Duration
}

func (s *Stream) check(ctx context.Context, r *reporter) {
	if s == nil {
		return
	}
	const item = "stream"
	if s.Timeout <= 0 {
		s.Timeout = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	out, err := s.API.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: optional(s.Name), StreamARN: optional(s.ARN)})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing && s.Embedded {
		r.ok(item, "embedded; %s is made when the pipeline starts", s.label())
		return
	}
	if err != nil {
		r.failed(item, fmt.Errorf("describe stream %s: %w", s.label(), err), s.cure(err, ""))
		return
	}
	d := out.StreamDescriptionSummary
	if s.ARN == "" {
		s.ARN = aws.ToString(d.StreamARN)
	}
	s.state(r, d)
	shards := s.shards(ctx, r)
	if s.Write {
		s.writable(ctx, r)
	}
	if s.Read && len(shards) > 0 {
		s.readable(ctx, r, shards[0])
	}
}

// state tells what the stream is like.
func (s *Stream) state(r *reporter, d *types.StreamDescriptionSummary) {
	mode := ""
	if d.StreamModeDetails != nil {
		mode = ", " + strings.ToLower(string(d.StreamModeDetails.StreamMode))
	}
	found := fmt.Sprintf("%s is %s, %d open shards%s", s.label(), d.StreamStatus, aws.ToInt32(d.OpenShardCount), mode)
	switch d.StreamStatus {
	case types.StreamStatusActive, types.StreamStatusUpdating:
		r.ok("stream", "%s", found)
	default:
		r.add(Fail, "stream", found, "wait until it is ACTIVE, or create it anew")
	}
	if d.RecordDistributionStrategy == types.RecordDistributionStrategyAuto {
		r.add(Fail, "stream distribution", "AUTO: Kinesis ignores partition keys, so that changes of one row lose their order",
			"aws kinesis update-stream-record-distribution-strategy … USER_PARTITION_KEY")
	}
	switch hours := aws.ToInt32(d.RetentionPeriodHours); {
	case hours == 0:
	case hours < 72:
		r.add(Warn, "stream retention", fmt.Sprintf("%d hours: what deliver has not stored by then is lost", hours),
			fmt.Sprintf("aws kinesis increase-stream-retention-period --stream-name %s --retention-period-hours 168", s.label()))
	default:
		r.ok("stream retention", "%d hours", hours)
	}
}

func (s *Stream) shards(ctx context.Context, r *reporter) []types.Shard {
	in := &kinesis.ListShardsInput{StreamName: optional(s.Name), StreamARN: optional(s.arn())}
	out, err := s.API.ListShards(ctx, in)
	if err != nil {
		r.failed("stream shards", fmt.Errorf("list shards of %s: %w", s.label(), err), s.cure(err, "kinesis:ListShards"))
		return nil
	}
	return out.Shards
}

// writable tries PutRecords without writing where Kinesis can do that. Elsewhere a write would be a record that
// deliver stores, so none is made, and the line says so.
func (s *Stream) writable(ctx context.Context, r *reporter) {
	const item = "stream writable"
	if !s.AWS {
		r.ok(item, "not tried: a trial write would leave a record in the stream")
		return
	}
	_, err := s.API.PutRecords(ctx, &kinesis.PutRecordsInput{
		StreamName: optional(s.Name), StreamARN: optional(s.arn()), DryRun: aws.Bool(true),
		Records: []types.PutRecordsRequestEntry{{PartitionKey: aws.String("check"), Data: []byte("{}")}},
	})
	if err != nil && !isDryRun(err) {
		r.failed(item, fmt.Errorf("put records (dry run): %w", err), s.cure(err, "kinesis:PutRecords"))
		return
	}
	r.ok(item, "PutRecords is allowed (dry run: nothing was written)")
}

func (s *Stream) readable(ctx context.Context, r *reporter, shard types.Shard) {
	const item = "stream readable"
	it, err := s.API.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: optional(s.Name), StreamARN: optional(s.arn()), ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeLatest,
	})
	if err == nil {
		_, err = s.API.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator, StreamARN: optional(s.arn()), Limit: aws.Int32(1)})
	}
	if err != nil {
		r.failed(item, fmt.Errorf("read shard %s: %w", aws.ToString(shard.ShardId), err), s.cure(err, "kinesis:GetRecords"))
		return
	}
	r.ok(item, "GetShardIterator and GetRecords are allowed")
}

// arn is the ARN where the stream is addressed by it; not every store that speaks Kinesis understands one.
func (s *Stream) arn() string {
	if s.Name != "" {
		return ""
	}
	return s.ARN
}

func (s *Stream) label() string {
	if s.Name != "" {
		return s.Name
	}
	return s.ARN
}

// cure is a policy for a call that was refused, or a command for a stream that is missing.
func (s *Stream) cure(err error, action string) string {
	api, ok := errors.AsType[smithy.APIError](err)
	switch {
	case !ok:
		return "check stream.endpoint, stream.region, the network, and the credentials that the AWS SDK finds (aws sts get-caller-identity)"
	case api.ErrorCode() == "ResourceNotFoundException":
		return fmt.Sprintf("aws kinesis create-stream --stream-name %s --stream-mode-details StreamMode=ON_DEMAND --region %s", s.label(), orWord(s.Region, "REGION"))
	case strings.Contains(api.ErrorCode(), "AccessDenied"):
		return "attach this policy to the daemon's role:\n" + s.policy()
	case strings.Contains(api.ErrorCode(), "Token"), strings.Contains(api.ErrorCode(), "Signature"):
		return "the credentials are not valid (any more): look at aws sts get-caller-identity, and at the machine's clock"
	}
	return action
}

// policy is what the halves that run here need.
func (s *Stream) policy() string {
	actions := []string{"kinesis:DescribeStreamSummary", "kinesis:ListShards"}
	if s.Write {
		actions = append(actions, "kinesis:PutRecords")
	}
	if s.Read {
		actions = append(actions, "kinesis:GetShardIterator", "kinesis:GetRecords")
	}
	arn := orWord(s.ARN, fmt.Sprintf("arn:aws:kinesis:%s:ACCOUNT:stream/%s", orWord(s.Region, "REGION"), s.Name))
	return policy(actions, arn)
}

func isDryRun(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && strings.Contains(api.ErrorCode(), "DryRun")
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orWord(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
