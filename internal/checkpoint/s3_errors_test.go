package checkpoint_test

import (
	"errors"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
)

func TestWhatPassesByItselfOnS3(t *testing.T) {
	answered := func(status int, code string) error {
		return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: &smithy.GenericAPIError{Code: code},
		}}
	}
	for _, c := range []struct {
		err  *checkpoint.S3Error
		want bool
	}{
		{&checkpoint.S3Error{Err: errors.New("connection refused")}, true},
		{&checkpoint.S3Error{Err: answered(http.StatusOK, "")}, true}, // an answer that was cut off
		{&checkpoint.S3Error{Err: answered(http.StatusServiceUnavailable, "SlowDown")}, true},
		{&checkpoint.S3Error{Err: answered(http.StatusForbidden, "AccessDenied")}, false},
		{&checkpoint.S3Error{Err: answered(http.StatusNotImplemented, "NotImplemented"), Hint: "use another store"}, false},
	} {
		if got := c.err.RestartHelps(); got != c.want {
			t.Errorf("RestartHelps after %v is %t, want %t", c.err, got, c.want)
		}
	}
}
