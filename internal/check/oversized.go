package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// Oversized is where records are stored that are larger than the stream takes.
type Oversized struct {
	Destination s3sink.Destination // that replicate stores in; nil: it runs elsewhere
	Bodies      s3sink.Bodies      // that deliver reads; nil: it runs elsewhere
	Location    string             // with its last slash
	Bucket      string             // "" for a folder
	Prefix      string             // in the bucket, with its last slash
	Key         string             // free to use for the trial
	Timeout     time.Duration
}

const oversizedItem = "oversized records"

func (o *Oversized) check(ctx context.Context, r *reporter) {
	if o == nil {
		return
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := s3sink.ProbeBodies(ctx, o.Destination, o.Bodies, o.Location, o.Key); err != nil {
		r.failed(oversizedItem, fmt.Errorf("stream.oversized_destination %s: %w", o.Location, err), o.cure(err))
		return
	}
	r.ok(oversizedItem, "%s can be %s", o.Location, o.asked())
}

// asked is what was tried.
func (o *Oversized) asked() string {
	switch {
	case o.Bodies == nil:
		return "written to"
	case o.Destination == nil:
		return "read"
	}
	return "written to, and what was written can be read"
}

func (o *Oversized) cure(err error) string {
	api, answered := errors.AsType[smithy.APIError](err)
	switch {
	case o.Bucket == "" && errors.Is(err, s3sink.ErrNotWritable):
		return "let the user of replicate write to " + strings.TrimPrefix(o.Location, "file://")
	case o.Bucket == "":
		return "let the user of deliver read " + strings.TrimPrefix(o.Location, "file://") + ", which has to be the folder that replicate writes to"
	case !answered:
		return "check delivery.endpoint, delivery.region, the network, and the credentials that the AWS SDK finds (aws sts get-caller-identity)"
	case api.ErrorCode() == "NoSuchBucket":
		return "aws s3 mb s3://" + o.Bucket
	case strings.Contains(api.ErrorCode(), "AccessDenied"), strings.Contains(api.ErrorCode(), "Forbidden"):
		return "attach this policy to the daemon's role:\n" + o.policy(err)
	}
	return ""
}

// policy is what storing there, or reading, takes. Without s3:ListBucket S3 does not tell what is missing from what
// may not be read.
func (o *Oversized) policy(err error) string {
	objects := "arn:aws:s3:::" + o.Bucket + "/" + o.Prefix + "*"
	if errors.Is(err, s3sink.ErrNotWritable) {
		return policy([]string{"s3:PutObject"}, objects)
	}
	return policyOf(statement{"Allow", []string{"s3:GetObject"}, []string{objects}},
		statement{"Allow", []string{"s3:ListBucket"}, []string{"arn:aws:s3:::" + o.Bucket}})
}
