package kinesisout

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// verdict is what to do about a request or a record of one.
type verdict int

const (
	accepted  verdict = iota
	throttled         // the same again, slower
	again             // the same again: it may pass
	missing           // no such stream, or a shard that is closed: look at the shards, and the same again
	fatal             // it will not pass by itself
)

// classify is the only place that knows Kinesis's error codes. hint goes with fatal.
func classify(code, message string) (v verdict, hint string) {
	switch code {
	case "ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException",
		"Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "RequestThrottled",
		"RequestThrottledException", "TooManyRequestsException", "SlowDown":
		return throttled, ""
	case "ResourceNotFoundException":
		return missing, hintMissing
	case "AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation", "UnauthorizedException":
		return fatal, "allow this identity kinesis:PutRecords, kinesis:ListShards and kinesis:DescribeStreamSummary on the stream"
	case "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired":
		return fatal, "the stream is encrypted with a KMS key that does not serve this identity: enable the key, and allow kms:GenerateDataKey on it"
	case "InvalidSignatureException", "SignatureDoesNotMatch":
		if strings.Contains(message, "expired") || strings.Contains(message, "not yet current") {
			return again, "" // a clock is wrong; it may be set right
		}
		return fatal, hintCredentials
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "IncompleteSignature", "IncompleteSignatureException",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "AuthFailure":
		return fatal, hintCredentials
	case "OptInRequired", "SubscriptionRequiredException":
		return fatal, "the account is not signed up for Kinesis Data Streams"
	case "ValidationException", "InvalidArgumentException", "SerializationException", "InvalidParameterValue",
		"InvalidParameterCombination", "MissingParameter", "MalformedQueryString":
		return fatal, "Kinesis does not accept the request as such: check the stream's name or ARN, its region, and whether its maximum record size was lowered"
	case "RequestEntityTooLarge", "RequestEntityTooLargeException":
		return fatal, "the endpoint does not take requests of this size: lower the maximum request size"
	}
	return again, "" // expired credentials (the SDK fetches new ones), internal failures, and whatever is new
}

const (
	hintMissing     = "create the stream, or correct the stream's name, region or account"
	hintCredentials = "check the access key, the region, and this machine's clock"
)

// classifyCall is classify for a request that failed as a whole. code is Kinesis's, or "".
func classifyCall(err error) (v verdict, code, hint string) {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		v, hint = classify(api.ErrorCode(), api.ErrorMessage())
		if v != again {
			return v, api.ErrorCode(), hint
		}
		code = api.ErrorCode()
	}
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		switch resp.HTTPStatusCode() {
		case http.StatusTooManyRequests:
			return throttled, code, ""
		case http.StatusRequestEntityTooLarge:
			v, hint = classify("RequestEntityTooLarge", "")
			return v, code, hint
		}
	}
	return again, code, ""
}

// short is the cause of a failed request without the SDK's wrapping, for a log line.
func short(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	default:
		return err.Error()
	}
}
