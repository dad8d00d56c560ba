package localstream

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Limits of Kinesis.
const (
	maxPutRecords   = 500
	maxPutBytes     = 10 << 20
	maxGetRecords   = 10_000
	maxGetBytes     = 10 << 20
	maxKeyLength    = 256
	minRetention    = 24
	maxRetention    = 8760
	minRecordKiB    = 1024
	maxRecordKiB    = 10240
	maxShards       = 1000   // ours: each shard is a file that is synced
	maxShardsKept   = 10_000 // ours, with the closed ones: all stand in one file
	maxStreams      = 1000   // ours
	defaultPageSize = 1000
)

// api answers the calls. It has no state of its own.
type api struct {
	store  *store
	region string
	reads  *budget // for records on their way to readers
}

// operation answers one call: it takes the request's body and returns what is to be sent back as JSON, nil for
// nothing.
type operation func(ctx context.Context, body []byte) (any, error)

// operations is what is spoken.
func (a *api) operations() map[string]operation {
	return map[string]operation{
		"CreateStream":                  call(a.createStream),
		"DeleteStream":                  call(a.deleteStream),
		"DescribeStream":                call(a.describeStream),
		"DescribeStreamSummary":         call(a.describeStreamSummary),
		"DescribeLimits":                call(a.describeLimits),
		"ListStreams":                   call(a.listStreams),
		"ListShards":                    call(a.listShards),
		"SplitShard":                    call(a.splitShard),
		"MergeShards":                   call(a.mergeShards),
		"UpdateShardCount":              call(a.updateShardCount),
		"UpdateMaxRecordSize":           call(a.updateMaxRecordSize),
		"IncreaseStreamRetentionPeriod": call(a.increaseRetention),
		"DecreaseStreamRetentionPeriod": call(a.decreaseRetention),
		"PutRecord":                     call(a.putRecord),
		"PutRecords":                    call(a.putRecords),
		"GetShardIterator":              call(a.getShardIterator),
		"GetRecords":                    call(a.getRecords),
	}
}

// call makes an operation of a method that takes the decoded request.
func call[In any](method func(context.Context, *In) (any, error)) operation {
	return func(ctx context.Context, body []byte) (any, error) {
		in := new(In)
		if err := decode(body, in); err != nil {
			return nil, err
		}
		return method(ctx, in)
	}
}

// decode reads one JSON object. Members that are not known are skipped, as AWS does.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	err := d.Decode(into)
	if err == nil {
		_, err = d.Token()
		if err == io.EOF {
			return nil
		}
	}
	return fault("SerializationException", "the request is not what the call takes: %v", err)
}

// streamRef is how requests name a stream.
type streamRef struct {
	StreamName *string
	StreamARN  *string
}

var streamName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

// name returns the name that the request means. Of an ARN only the name counts: an ARN of a real stream keeps working
// when the endpoint is changed to this one.
func (r streamRef) name() (string, error) {
	name := ""
	if r.StreamARN != nil {
		parts := strings.SplitN(*r.StreamARN, ":", 6)
		if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kinesis" || !strings.HasPrefix(parts[5], "stream/") {
			return "", validation("StreamARN", "be the ARN of a Kinesis stream, not %q", *r.StreamARN)
		}
		name = strings.TrimPrefix(parts[5], "stream/")
	}
	if r.StreamName != nil {
		if name != "" && name != *r.StreamName {
			return "", invalidArgument("StreamName %s and StreamARN %s name different streams.", *r.StreamName, *r.StreamARN)
		}
		name = *r.StreamName
	} else if r.StreamARN == nil {
		return "", invalidArgument("Either StreamName or StreamARN has to be given.")
	}
	if !streamName.MatchString(name) {
		return "", validation("StreamName", "have 1 to 128 of the characters a-z, A-Z, 0-9, _, . and -, not %q", name)
	}
	return name, nil
}

// stream returns the stream that the request means.
func (a *api) stream(r streamRef) (*stream, error) {
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	return a.store.lookup(name)
}

func (a *api) arn(name string) string {
	return "arn:aws:kinesis:" + a.region + ":000000000000:stream/" + name
}

// validation is the answer for a member that breaks a rule that holds for every request.
func validation(member, rule string, args ...any) *apiError {
	return fault("ValidationException", "1 validation error detected: Member "+member+" must "+rule+".", args...)
}

// within checks an optional number and returns it, or def if it was not given.
func within(member string, v *int, low, high, def int) (int, error) {
	if v == nil {
		return def, nil
	}
	if *v < low || *v > high {
		return 0, validation(member, "be from %d to %d, not %d", low, high, *v)
	}
	return *v, nil
}

// needed checks that a text is there.
func needed(member string, s *string) error {
	if s == nil || *s == "" {
		return validation(member, "not be null or empty")
	}
	return nil
}

// checkKey checks a partition key. Its length is counted in characters.
func checkKey(key *string) error {
	if key == nil {
		return validation("PartitionKey", "not be null")
	}
	if n := utf8.RuneCountInString(*key); n < 1 || n > maxKeyLength {
		return validation("PartitionKey", "have 1 to %d characters, not %d", maxKeyLength, n)
	}
	return nil
}

// seconds is a point in time as the wire has it.
func seconds(unixMilli int64) float64 { return float64(unixMilli) / 1000 }
