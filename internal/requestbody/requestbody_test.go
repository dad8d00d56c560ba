package requestbody

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
)

// answering reads a request whole, keeps it and answers.
type answering struct {
	answer string
	last   *http.Request
	sent   string
}

func (a *answering) Do(r *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(r.Body)
	a.last, a.sent = r, string(sent)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.answer))}, err
}

// net/http looks for more in the body after the answer has come and the SDK has closed it: that is no fault of the
// request.
func TestALookAtAClosedBodyIsNoFault(t *testing.T) {
	for name, tc := range map[string]struct {
		answer, sent string
		call         func(aws.HTTPClient) error
	}{
		"kinesis": {`{}`, `{"ShardIterator":"i"}`, func(h aws.HTTPClient) error {
			_, err := kinesis.New(kinesis.Options{
				Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, HTTPClient: h,
				APIOptions: []func(*middleware.Stack) error{Plain, Plain},
			}).GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: aws.String("i")})
			return err
		}},
		"s3": {``, `an object`, func(h aws.HTTPClient) error {
			_, err := s3.New(s3.Options{
				Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, HTTPClient: h,
				APIOptions: []func(*middleware.Stack) error{Plain},
			}).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String("k"), Body: strings.NewReader("an object")})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &answering{answer: tc.answer}
			if err := tc.call(h); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(h.sent, tc.sent) || h.last.ContentLength != int64(len(h.sent)) {
				t.Errorf("sent %q with length %d, want %q", h.sent, h.last.ContentLength, tc.sent)
			}
			if n, err := io.Copy(io.Discard, h.last.Body); n != 0 || err != nil {
				t.Errorf("a look at the closed body: %d bytes, %v", n, err)
			}
		})
	}
}
