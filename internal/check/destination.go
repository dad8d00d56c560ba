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

// Prober tries out whether objects can be created, and only once.
type Prober interface {
	Probe(ctx context.Context, key string) error
	String() string
}

// Destination is where objects go.
type Destination struct {
	Prober  Prober
	Bucket  string // "" for a folder
	Key     string // free to use for the trial
	Timeout time.Duration
}

func (d *Destination) check(ctx context.Context, r *reporter) {
	if d == nil {
		return
	}
	const item = "destination"
	if d.Timeout <= 0 {
		d.Timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	if err := d.Prober.Probe(ctx, d.Key); err != nil {
		r.failed(item, fmt.Errorf("%s: %w", d.Prober, err), d.cure(err))
		return
	}
	r.ok(item, "%s can be written to, and refuses to overwrite", d.Prober)
}

func (d *Destination) cure(err error) string {
	if errors.Is(err, s3sink.ErrOverwrites) {
		return "use a store that honours If-None-Match: * on PUT (AWS S3 does): without it a second daemon can overwrite what was delivered"
	}
	api, ok := errors.AsType[smithy.APIError](err)
	switch {
	case d.Bucket == "":
		return ""
	case !ok:
		return "check delivery.endpoint, delivery.region, the network, and the credentials that the AWS SDK finds (aws sts get-caller-identity)"
	case api.ErrorCode() == "NoSuchBucket":
		return fmt.Sprintf("aws s3 mb s3://%s", d.Bucket)
	case strings.Contains(api.ErrorCode(), "AccessDenied"), strings.Contains(api.ErrorCode(), "Forbidden"):
		return "attach this policy to the daemon's role:\n" + policy([]string{"s3:PutObject", "s3:GetObject"}, "arn:aws:s3:::"+d.Bucket+"/*")
	}
	return ""
}
