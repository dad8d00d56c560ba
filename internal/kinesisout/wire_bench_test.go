package kinesisout

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// cannedHTTP answers every request with the same body, without a network.
type cannedHTTP struct{ body string }

func (c cannedHTTP) Do(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Request: r,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		Body:   io.NopCloser(strings.NewReader(c.body)),
	}, nil
}

func BenchmarkCall(b *testing.B) {
	const n = 500
	var answers []string
	for i := range n {
		answers = append(answers, fmt.Sprintf(`{"SequenceNumber":"4953986%d00000000000000000000000000000000000000000000","ShardId":"shardId-000000000000"}`, 1000+i))
	}
	cfg := aws.Config{
		Region: "eu-west-1", HTTPClient: cannedHTTP{`{"FailedRecordCount":0,"Records":[` + strings.Join(answers, ",") + `]}`},
		Credentials: aws.CredentialsProviderFunc(credentials),
	}
	client := NewClient(cfg, "http://stub")
	data := bytes.Repeat([]byte(`{"data":{"id":1}}`), 30)
	var entries []types.PutRecordsRequestEntry
	for i := range n {
		entries = append(entries, types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String(fmt.Sprint("table.", i))})
	}
	for name, use := range map[string]func(*kinesis.Options){"sdk": func(*kinesis.Options) {}, "wire": (&wire{bodies: new(sync.Pool)}).use} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out, err := client.PutRecords(b.Context(), &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: entries}, use)
				if err != nil || len(out.Records) != n {
					b.Fatal(out, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
		})
	}
}
