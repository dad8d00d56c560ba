package localstream

import (
	"context"
	"slices"
)

type mode struct {
	StreamMode string
}

func modeOf(m streamMeta) mode {
	if m.OnDemand {
		return mode{"ON_DEMAND"}
	}
	return mode{"PROVISIONED"}
}

type createStreamIn struct {
	StreamName         *string
	ShardCount         *int
	StreamModeDetails  *mode
	MaxRecordSizeInKiB *int
}

func (a *api) createStream(_ context.Context, in *createStreamIn) (any, error) {
	name, err := streamRef{StreamName: in.StreamName}.name()
	if err != nil {
		return nil, err
	}
	m := streamMeta{Name: name, RetentionHours: minRetention}
	if in.StreamModeDetails != nil {
		switch in.StreamModeDetails.StreamMode {
		case "ON_DEMAND":
			m.OnDemand = true
		case "PROVISIONED":
		default:
			return nil, validation("StreamModeDetails.StreamMode", "be PROVISIONED or ON_DEMAND, not %q", in.StreamModeDetails.StreamMode)
		}
	}
	if m.OnDemand == (in.ShardCount != nil) {
		return nil, invalidArgument("ShardCount has to be given for a provisioned stream, and only for one.")
	}
	shards, err := within("ShardCount", in.ShardCount, 1, maxShards, 4)
	if err != nil {
		return nil, err
	}
	if m.MaxRecordKiB, err = within("MaxRecordSizeInKiB", in.MaxRecordSizeInKiB, minRecordKiB, maxRecordKiB, minRecordKiB); err != nil {
		return nil, err
	}
	if len(a.store.names()) >= maxStreams {
		return nil, fault("LimitExceededException", "There are %d streams already.", maxStreams)
	}
	made, err := a.store.create(m, shards)
	if err != nil {
		return nil, err
	}
	if !made {
		return nil, fault("ResourceInUseException", "Stream %s already exists.", name)
	}
	return nil, nil
}

func (a *api) deleteStream(_ context.Context, in *streamRef) (any, error) {
	name, err := in.name()
	if err != nil {
		return nil, err
	}
	return nil, a.store.remove(name)
}

// description is what both ways of describing a stream have in common.
type description struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       mode
	StreamCreationTimestamp float64
	RetentionPeriodHours    int
	EncryptionType          string
	EnhancedMonitoring      []monitoring
}

type monitoring struct {
	ShardLevelMetrics []string
}

func (a *api) describe(m streamMeta) description {
	return description{
		StreamName:              m.Name,
		StreamARN:               a.arn(m.Name),
		StreamStatus:            "ACTIVE",
		StreamModeDetails:       modeOf(m),
		StreamCreationTimestamp: seconds(m.Created),
		RetentionPeriodHours:    m.RetentionHours,
		EncryptionType:          "NONE",
		EnhancedMonitoring:      []monitoring{{ShardLevelMetrics: []string{}}},
	}
}

type describeStreamIn struct {
	streamRef
	Limit                 *int
	ExclusiveStartShardId *string
}

type streamDescription struct {
	description
	Shards        []shardOut
	HasMoreShards bool
}

func (a *api) describeStream(_ context.Context, in *describeStreamIn) (any, error) {
	st, err := a.stream(in.streamRef)
	if err != nil {
		return nil, err
	}
	limit, err := within("Limit", in.Limit, 1, 10_000, 100)
	if err != nil {
		return nil, err
	}
	shards, err := afterShard(st.shards, in.ExclusiveStartShardId)
	if err != nil {
		return nil, err
	}
	page := shards[:min(limit, len(shards))]
	return map[string]streamDescription{"StreamDescription": {
		description:   a.describe(st.meta),
		Shards:        shardsOut(st, page),
		HasMoreShards: len(page) < len(shards),
	}}, nil
}

type streamSummary struct {
	description
	OpenShardCount     int
	ConsumerCount      int
	MaxRecordSizeInKiB int
}

func (a *api) describeStreamSummary(_ context.Context, in *streamRef) (any, error) {
	st, err := a.stream(*in)
	if err != nil {
		return nil, err
	}
	return map[string]streamSummary{"StreamDescriptionSummary": {
		description:        a.describe(st.meta),
		OpenShardCount:     len(st.open),
		MaxRecordSizeInKiB: st.meta.MaxRecordKiB,
	}}, nil
}

type limits struct {
	ShardLimit, OpenShardCount, OnDemandStreamCount, OnDemandStreamCountLimit int
}

func (a *api) describeLimits(context.Context, *struct{}) (any, error) {
	out := limits{ShardLimit: maxShards, OnDemandStreamCountLimit: maxStreams}
	for _, name := range a.store.names() {
		st, err := a.store.lookup(name)
		if err != nil {
			continue // deleted meanwhile
		}
		out.OpenShardCount += len(st.open)
		if st.meta.OnDemand {
			out.OnDemandStreamCount++
		}
	}
	return out, nil
}

type listStreamsIn struct {
	ExclusiveStartStreamName *string
	NextToken                *string
	Limit                    *int
}

type listStreamsOut struct {
	StreamNames     []string
	StreamSummaries []listedStream
	HasMoreStreams  bool
	NextToken       string `json:",omitempty"`
}

type listedStream struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       mode
	StreamCreationTimestamp float64
}

func (a *api) listStreams(_ context.Context, in *listStreamsIn) (any, error) {
	limit, err := within("Limit", in.Limit, 1, 10_000, 100)
	if err != nil {
		return nil, err
	}
	after := ""
	if in.ExclusiveStartStreamName != nil {
		after = *in.ExclusiveStartStreamName
	}
	if in.NextToken != nil {
		token, err := a.pageToken(*in.NextToken)
		if err != nil {
			return nil, err
		}
		after = token.After
	}
	names := a.store.names()
	from, found := slices.BinarySearch(names, after)
	if found {
		from++
	}
	names = names[from:]
	out := listStreamsOut{StreamNames: []string{}, StreamSummaries: []listedStream{}}
	for _, name := range names[:min(limit, len(names))] {
		out.StreamNames = append(out.StreamNames, name)
		if st, err := a.store.lookup(name); err == nil {
			d := a.describe(st.meta)
			out.StreamSummaries = append(out.StreamSummaries, listedStream{d.StreamName, d.StreamARN, d.StreamStatus,
				d.StreamModeDetails, d.StreamCreationTimestamp})
		}
	}
	if len(names) > limit {
		out.HasMoreStreams = true
		out.NextToken = encodeToken(pageToken{Issued: a.store.now().UnixMilli(), After: names[limit-1]})
	}
	return out, nil
}

// pageToken reads a NextToken.
func (a *api) pageToken(text string) (pageToken, error) {
	var token pageToken
	if err := decodeToken(text, &token); err != nil {
		return token, invalidArgument("Invalid NextToken: %v.", err)
	}
	if a.store.now().UnixMilli()-token.Issued > tokenLife.Milliseconds() {
		return token, fault("ExpiredNextTokenException", "The NextToken is older than %s.", tokenLife)
	}
	return token, nil
}

type retentionIn struct {
	streamRef
	RetentionPeriodHours *int
}

func (a *api) increaseRetention(_ context.Context, in *retentionIn) (any, error) {
	return a.setRetention(in, func(is, wanted int) bool { return wanted >= is }, "less")
}

func (a *api) decreaseRetention(_ context.Context, in *retentionIn) (any, error) {
	return a.setRetention(in, func(is, wanted int) bool { return wanted <= is }, "more")
}

func (a *api) setRetention(in *retentionIn, fits func(is, wanted int) bool, not string) (any, error) {
	name, err := in.name()
	if err != nil {
		return nil, err
	}
	if in.RetentionPeriodHours == nil {
		return nil, validation("RetentionPeriodHours", "not be null")
	}
	hours := *in.RetentionPeriodHours
	if hours < minRetention || hours > maxRetention {
		return nil, invalidArgument("The retention period has to be from %d to %d hours, not %d.", minRetention, maxRetention, hours)
	}
	return nil, a.store.update(name, func(m *streamMeta) error {
		if !fits(m.RetentionHours, hours) {
			return invalidArgument("The retention period of stream %s is %d hours; %d is %s.", name, m.RetentionHours, hours, not)
		}
		m.RetentionHours = hours
		return nil
	})
}

type maxRecordSizeIn struct {
	streamRef
	MaxRecordSizeInKiB *int
}

func (a *api) updateMaxRecordSize(_ context.Context, in *maxRecordSizeIn) (any, error) {
	name, err := in.name()
	if err != nil {
		return nil, err
	}
	if in.MaxRecordSizeInKiB == nil {
		return nil, validation("MaxRecordSizeInKiB", "not be null")
	}
	kib, err := within("MaxRecordSizeInKiB", in.MaxRecordSizeInKiB, minRecordKiB, maxRecordKiB, 0)
	if err != nil {
		return nil, err
	}
	return nil, a.store.update(name, func(m *streamMeta) error {
		m.MaxRecordKiB = kib
		return nil
	})
}
