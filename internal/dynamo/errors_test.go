package dynamo_test

import (
	"errors"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
)

// answered is the SDK's error for an answer with this status.
func answered(status int, code string) error {
	return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: &smithy.GenericAPIError{Code: code},
	}}
}

func TestWhatPassesByItself(t *testing.T) {
	table := &dynamo.Table{Name: "state"}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{errors.New("connection refused"), true},
		{answered(http.StatusOK, ""), true}, // an answer that was cut off
		{answered(http.StatusBadRequest, ""), true},
		{answered(http.StatusInternalServerError, "InternalServerError"), true},
		{answered(http.StatusBadRequest, "ProvisionedThroughputExceededException"), true},
		{answered(http.StatusBadRequest, "ThrottlingException"), true},
		{answered(http.StatusBadRequest, "ValidationException"), false},
		{answered(http.StatusBadRequest, "AccessDeniedException"), false},
		{answered(http.StatusBadRequest, "ResourceNotFoundException"), false},
	} {
		fault, ok := errors.AsType[*dynamo.Error](table.Fault("GetItem", c.err))
		if !ok || fault.RestartHelps() != c.want {
			t.Errorf("RestartHelps after %v is %t, want %t", c.err, !c.want, c.want)
		}
	}
}
