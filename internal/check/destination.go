package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
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

// Replicate is the name that replicate locks.
const Replicate = "replicate"

// Store is where checkpoints are kept.
type Store struct {
	Store checkpoint.Store
	Where string
	Names []string // the names that the halves lock
}

func (s *Store) check(ctx context.Context, r *reporter) {
	if s == nil {
		return
	}
	const item = "checkpoints"
	for _, name := range s.Names {
		held, err := s.Store.Lock(ctx, name)
		if locked, ok := errors.AsType[*checkpoint.LockedError](err); ok {
			r.running = r.running || name == Replicate
			r.add(Warn, item, fmt.Sprintf("%s: %v", s.Where, locked), "no fault if that is this pipeline, running")
			continue
		}
		if err == nil {
			err = held.Release()
		}
		if err != nil {
			r.failed(item, err, "let the daemon's user write to "+strings.TrimPrefix(s.Where, "file://"))
			return
		}
		s.documents(ctx, r, name)
	}
}

// documents reads what the half has saved: a document that can't be trusted stops it.
func (s *Store) documents(ctx context.Context, r *reporter, half string) {
	saved, err := s.Store.List(ctx, half)
	if err != nil {
		r.failed("checkpoints", err, "")
		return
	}
	for _, name := range saved {
		if _, _, err := s.Store.Load(ctx, name); err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
			r.failed("checkpoints", err, "") // the store's errors carry their cure
			return
		}
	}
	if len(saved) == 0 {
		r.ok("checkpoints", "%s can be written to; %s is not locked and has saved nothing yet", s.Where, half)
		return
	}
	r.ok("checkpoints", "%s can be written to; %s is not locked and goes on from what it has saved", s.Where, half)
}
