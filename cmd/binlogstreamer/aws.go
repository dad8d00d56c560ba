package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/localstream"
	"github.com/binlogstreamer/binlogstreamer/internal/requestbody"
)

// embeddedNode is this process's part in the embedded stream. Whichever process of the pipeline is there first serves
// it; the others are led to that one.
func embeddedNode(cfg *config.Pipeline, stream string, log *slog.Logger, registry prometheus.Registerer) (*localstream.Node, error) {
	return localstream.New(localstream.Config{
		Dir: cfg.Stream.EmbeddedDirectory, Stream: stream, Shards: cfg.Stream.EmbeddedShards, Region: cfg.Stream.Region,
		// A week: a weekend with nobody there must not lose what deliver has not stored.
		RetentionHours: 168,
		// Room for requests of 5 MiB each way even where the ceiling is low.
		MemoryBytes: int64(max(cfg.MemoryLimit/4, 32*config.MiB)),
		Logger:      log, Registerer: registry,
	})
}

// streamAWS is how the stream is reached: configuration and endpoint of an SDK client.
func streamAWS(ctx context.Context, cfg *config.Pipeline, node *localstream.Node) (aws.Config, string, error) {
	if node != nil {
		return aws.Config{Region: "us-east-1", Credentials: anybody, HTTPClient: node.HTTPClient(), APIOptions: requestbody.Options()}, node.Endpoint(), nil
	}
	c, err := loadAWS(ctx, cfg, "stream", cfg.Stream.Region, cfg.Stream.Endpoint)
	return c, cfg.Stream.Endpoint, err
}

// anybody are credentials for servers that don't look at them.
var anybody = credentials.NewStaticCredentialsProvider("embedded", "embedded", "")

// renewal is how long before their end credentials are renewed. It is what the SDK itself has for ECS.
const renewal = 5 * time.Minute

// loadAWS lets the SDK find region and credentials as it always does: environment, shared files, the machine's role.
// A stand-in on this machine is content with any, if there are none.
func loadAWS(ctx context.Context, cfg *config.Pipeline, section, region, endpoint string) (aws.Config, error) {
	options := []func(*awsconfig.LoadOptions) error{
		// The SDK renews those of a web identity or an assumed role at the moment at which they expire, when a request that
		// was signed with them a moment ago is refused.
		awsconfig.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = renewal }),
	}
	if region != "" {
		options = append(options, awsconfig.WithRegion(region))
	}
	local := onThisMachine(endpoint)
	if local {
		options = append(options, awsconfig.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	c, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return c, fmt.Errorf("load the AWS settings for %s: %w", section, err)
	}
	c.APIOptions = append(c.APIOptions, requestbody.Options()...)
	if c.Region == "" && endpoint != "" {
		c.Region = "us-east-1" // goes into signatures only
	}
	if c.Region == "" {
		return c, needs(cfg, section+".region", "is missing, and neither AWS_REGION nor an AWS profile names one", "write the region, such as eu-west-1")
	}
	if local {
		if _, err := c.Credentials.Retrieve(ctx); err != nil {
			c.Credentials = anybody
		}
	}
	return c, nil
}

func onThisMachine(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || endpoint == "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
