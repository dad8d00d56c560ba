package kinesisout

import (
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/binlogstreamer/binlogstreamer/internal/requestbody"
)

// NewClient makes a client that suits a Writer: it never retries by itself, since a retry inside the client would hide
// throttling and lost answers, and it keeps a connection for every request that is on its way. endpoint "" is AWS's own.
func NewClient(cfg aws.Config, endpoint string) *kinesis.Client {
	return kinesis.NewFromConfig(cfg, func(o *kinesis.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
		o.APIOptions = append(o.APIOptions, requestbody.Plain)
		o.Retryer = aws.NopRetryer{}
		o.RetryMaxAttempts = 1
		if cfg.HTTPClient == nil {
			o.HTTPClient = awshttp.NewBuildableClient().
				WithDialerOptions(func(d *net.Dialer) { d.Timeout = 5 * time.Second }).
				WithTransportOptions(func(t *http.Transport) {
					t.MaxIdleConns = 0 // no limit over all hosts; there is one host
					t.MaxIdleConnsPerHost = 256
					t.IdleConnTimeout = 90 * time.Second
					t.TLSHandshakeTimeout = 5 * time.Second
				})
		}
	})
}
