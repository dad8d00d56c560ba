package localstream

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/requestbody"
)

func TestMain(m *testing.M) {
	if runServingChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// start runs a Node until the test ends, or until stop is called, which returns what Run returned.
func start(t testing.TB, cfg Config) (n *Node, stop func() error) {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("Run does not return")
		}
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return n, stop
}

// client returns an SDK client that reaches whoever serves n's directory.
func client(t testing.TB, n *Node, opts ...func(*kinesis.Options)) *kinesis.Client {
	h := n.HTTPClient()
	t.Cleanup(h.CloseIdleConnections)
	return kinesis.New(kinesis.Options{
		Region:       "eu-west-1",
		BaseEndpoint: aws.String(n.Endpoint()),
		HTTPClient:   h,
		Credentials:  credentials.NewStaticCredentialsProvider("any", "any", ""),
		APIOptions:   requestbody.Options(),
	}, opts...)
}

// once makes a client that does not try again by itself.
func once(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} }
