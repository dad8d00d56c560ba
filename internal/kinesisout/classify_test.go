package kinesisout

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func TestClassifyCall(t *testing.T) {
	status := func(code int, err error) error {
		return &smithy.OperationError{Err: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: err,
		}}
	}
	signature := func(message string) error {
		return &smithy.GenericAPIError{Code: "InvalidSignatureException", Message: message}
	}
	for _, c := range []struct {
		err  error
		want verdict
	}{
		{errors.New("connection refused"), again},
		{context.DeadlineExceeded, again},
		{apiError("ProvisionedThroughputExceededException"), throttled},
		{apiError("LimitExceededException"), throttled},
		{apiError("KMSThrottlingException"), throttled},
		{apiError("InternalFailureException"), again},
		{apiError("ExpiredTokenException"), again},
		{apiError("ResourceInUseException"), again},
		{apiError("ResourceNotFoundException"), missing},
		{apiError("AccessDeniedException"), fatal},
		{apiError("ValidationException"), fatal},
		{apiError("KMSDisabledException"), fatal},
		{signature("Signature expired: 20260101T000000Z is now earlier than"), again},
		{signature("Signature not yet current: 20260101T000000Z is still later than"), again},
		{signature("The request signature we calculated does not match"), fatal},
		{status(500, errors.New("no body")), again},
		{status(503, apiError("ServiceUnavailable")), again},
		{status(429, errors.New("no body")), throttled},
		{status(413, errors.New("no body")), fatal},
		{status(400, apiError("AccessDeniedException")), fatal},
		{fmt.Errorf("wrapped: %w", apiError("ValidationException")), fatal},
	} {
		v, _, hint := classifyCall(c.err)
		if v != c.want {
			t.Errorf("%v is %d, want %d", c.err, v, c.want)
		}
		if (v == fatal || v == missing) != (hint != "") {
			t.Errorf("%v is %d with the hint %q", c.err, v, hint)
		}
	}
}
