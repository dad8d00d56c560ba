package localstream

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/binlogstreamer/binlogstreamer/internal/localstream/streamtest"
)

func TestConformance(t *testing.T) {
	n, _ := start(t, Config{Dir: t.TempDir()})
	streamtest.Run(t, streamtest.Server{Client: func(t testing.TB) *kinesis.Client { return client(t, n) }})
}
