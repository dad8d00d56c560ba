package kinesisin

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// Error is a failed call, with what the operator can do about it.
type Error struct {
	Step   string
	Stream string
	Shard  string // "" if the call is not about one
	Hint   string
	Err    error
}

// Error names step, stream, cause and cure.
func (e *Error) Error() string {
	s := e.Step + " of stream " + e.Stream
	if e.Shard != "" {
		s += " " + e.Shard
	}
	s += ": " + e.Err.Error()
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExpiredError is returned when records may have left the stream before they were read.
type ExpiredError struct {
	Stream, Shard string
	Sequence      string    // the last one read, "" if the shard is gone as a whole
	Since         time.Time // everything that arrived until then was read
	Retention     time.Duration
}

// Error names what may be lost and gives the choice.
func (e *ExpiredError) Error() string {
	return fmt.Sprintf("stream %s %s was last read up to %s (sequence number %q), and keeps records for %s: records that arrived since may have expired unread. "+
		"Longer retention does not bring them back. To go on with the oldest record that is left, start once with delivery.accept_loss: true; to be complete, load the tables again",
		e.Stream, e.Shard, e.Since.UTC().Format(time.RFC3339), e.Sequence, e.Retention)
}

// ReplacedError is returned when the stream was deleted and another one made under its name.
type ReplacedError struct {
	Stream   string
	Was, Now time.Time // when it was made
}

// Error names both streams.
func (e *ReplacedError) Error() string {
	return fmt.Sprintf("stream %s was made at %s, and the one that is read was made at %s: it was deleted and made anew; restart to deliver the new one from its beginning",
		e.Stream, e.Now.UTC().Format(time.RFC3339), e.Was.UTC().Format(time.RFC3339))
}

// throttled reports whether an error is Kinesis asking to slow down.
func throttled(err error) bool {
	if is[*types.ProvisionedThroughputExceededException](err) || is[*types.LimitExceededException](err) || is[*types.KMSThrottlingException](err) {
		return true
	}
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && (e.ErrorCode() == "ThrottlingException" || e.ErrorCode() == "Throttling")
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// hint is the cure of an error, if there is a known one.
func hint(err error) string {
	switch {
	case is[*types.ResourceNotFoundException](err):
		return "create the stream or correct stream.name and stream.region; reading begins by itself then"
	case is[*types.AccessDeniedException](err):
		return "allow kinesis:DescribeStreamSummary, kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords; reading goes on by itself then"
	case is[*types.KMSAccessDeniedException](err), is[*types.KMSDisabledException](err), is[*types.KMSInvalidStateException](err), is[*types.KMSNotFoundException](err):
		return "allow kms:Decrypt and see that the stream's key is enabled; reading goes on by itself then"
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		switch e.ErrorCode() {
		case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "InvalidClientTokenId", "IncompleteSignatureException":
			return "check the credentials (environment, shared file or role) and the clock"
		case "AccessDenied", "AccessDeniedException":
			return "allow the Kinesis calls for reading"
		}
	}
	if is[*net.OpError](err) {
		return "check stream.endpoint, stream.region and the network"
	}
	return ""
}
