package check

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Credentials are what the pipeline shows to AWS.
type Credentials struct {
	Provider aws.CredentialsProvider
	Timeout  time.Duration
}

func (c *Credentials) check(ctx context.Context, r *reporter) {
	if c == nil {
		return
	}
	const item = "aws credentials"
	if c.Timeout <= 0 {
		c.Timeout = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	found, err := c.Provider.Retrieve(ctx)
	if err != nil {
		r.failed(item, fmt.Errorf("none can be had: %w", err), "one of these: a task role on ECS, an instance profile on EC2, AWS_ROLE_ARN and "+
			"AWS_WEB_IDENTITY_TOKEN_FILE (EKS sets them), AWS_PROFILE with its shared file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		return
	}
	who := "from " + found.Source
	if found.AccountID != "" {
		who += ", account " + found.AccountID
	}
	if found.CanExpire {
		who += ", to be renewed at " + found.Expires.UTC().Format(time.RFC3339) // the cache has moved it before their end
	}
	r.ok(item, "%s", who)
}
