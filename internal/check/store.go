package check

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/lease"
)

// Replicate is the name that replicate locks.
const Replicate = "replicate"

const deliver = "deliver"

// Store is where checkpoints are kept.
type Store struct {
	Store   checkpoint.Store
	Where   string                      // as the configuration spells it
	Names   []string                    // the names that the halves lock
	Probe   func(context.Context) error // tries out conditional writes; nil where the file system makes them
	Table   *dynamo.Table               // nil: no table
	Bucket  string                      // "": no bucket
	Prefix  string                      // in the bucket
	Timeout time.Duration
}

const storeItem = "checkpoints"

func (s *Store) check(ctx context.Context, r *reporter) {
	if s == nil {
		return
	}
	if s.Timeout <= 0 {
		s.Timeout = time.Minute // a lock that was not given back takes the failover time to tell from one that is held
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if !s.usable(ctx, r) {
		return
	}
	for _, name := range s.Names {
		held, err := s.Store.Lock(ctx, name)
		if locked, ok := errors.AsType[*checkpoint.LockedError](err); ok {
			r.running = r.running || name == Replicate
			r.add(Warn, storeItem, fmt.Sprintf("%s: %v", s.Where, locked), "no fault if that is this pipeline, running: another process stands by")
			continue
		}
		if err == nil {
			err = held.Release()
		}
		if err == nil && s.Table != nil && name == deliver { // which shares the shards by leases
			_, err = lease.NewDynamoDB(s.Table, "probe").Read(ctx, []string{"probe"})
		}
		if err != nil {
			r.failed(storeItem, err, s.cure(err))
			return
		}
		s.documents(ctx, r, name)
	}
}

// usable says whether the store can be reached and keeps conditions.
func (s *Store) usable(ctx context.Context, r *reporter) bool {
	if s.Table != nil {
		there, err := s.Table.Exists(ctx)
		if err != nil {
			r.failed(storeItem, fmt.Errorf("%s: %w", s.Where, err), s.cure(err))
			return false
		}
		if !there {
			r.ok(storeItem, "%s is not there; it is made when the pipeline starts, which takes the permission dynamodb:CreateTable", s.Where)
			return false
		}
	}
	if s.Probe == nil {
		return true
	}
	if err := s.Probe(ctx); err != nil {
		r.failed(storeItem, fmt.Errorf("%s: %w", s.Where, err), s.cure(err))
		return false
	}
	r.ok(storeItem, "%s can be written to, and keeps conditions", s.Where)
	return true
}

// documents reads what the half has saved: a document that can't be trusted stops it.
func (s *Store) documents(ctx context.Context, r *reporter, half string) {
	saved, err := s.Store.List(ctx, half)
	if err != nil {
		r.failed(storeItem, err, s.cure(err))
		return
	}
	for _, name := range saved {
		if _, _, err := s.Store.Load(ctx, name); err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
			r.failed(storeItem, err, "") // the store's errors carry their cure
			return
		}
	}
	if len(saved) == 0 {
		r.ok(storeItem, "%s can be written to; %s is not locked and has saved nothing yet", s.Where, half)
		return
	}
	r.ok(storeItem, "%s can be written to; %s is not locked and goes on from what it has saved", s.Where, half)
}

// cure is what the operator can do about a store that does not work.
func (s *Store) cure(err error) string {
	api, answered := errors.AsType[smithy.APIError](err)
	switch {
	case errors.Is(err, checkpoint.ErrCorrupt), errors.Is(err, checkpoint.ErrIgnoresConditions):
		return "" // the store's errors carry their cure
	case s.Table == nil && s.Bucket == "":
		return "let the daemon's user write to " + strings.TrimPrefix(s.Where, "file://")
	case !answered:
		return "check checkpoint.endpoint, checkpoint.region, the network, and the credentials that the AWS SDK finds (aws sts get-caller-identity)"
	case api.ErrorCode() == "NoSuchBucket":
		return "aws s3 mb s3://" + s.Bucket
	case strings.Contains(api.ErrorCode(), "AccessDenied"), strings.Contains(api.ErrorCode(), "Forbidden"):
		return "attach this policy to the daemon's role:\n" + s.policy()
	}
	return ""
}

// policy is what keeping checkpoints takes.
func (s *Store) policy() string {
	if s.Table != nil {
		return policy([]string{
			"dynamodb:DescribeTable", "dynamodb:CreateTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem",
			"dynamodb:DeleteItem", "dynamodb:Scan",
		}, s.Table.ARN())
	}
	return policyOf(
		statement{"Allow", []string{"s3:GetObject", "s3:PutObject"}, []string{"arn:aws:s3:::" + path.Join(s.Bucket, s.Prefix, "*")}},
		statement{"Allow", []string{"s3:ListBucket"}, []string{"arn:aws:s3:::" + s.Bucket}},
	)
}
