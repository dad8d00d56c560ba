package dynamo

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// Error is a refusal of DynamoDB, or that it could not be reached, with what the operator can do about it.
type Error struct {
	Action string // as IAM calls it, without "dynamodb:"
	Table  string
	Hint   string // the cure, if one is known
	Err    error
}

// Error names action, table, cause and cure.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s on DynamoDB table %s: %v", e.Action, e.Table, e.Err)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// RestartHelps tells the command that DynamoDB may answer the next time: it was not reached, its answer was cut off, it is
// not well, or there were too many requests.
func (e *Error) RestartHelps() bool {
	code := Code(e.Err)
	status := 0
	if r, ok := errors.AsType[*awshttp.ResponseError](e.Err); ok {
		status = r.HTTPStatusCode()
	}
	return e.Hint == "" && (code == "" || status >= http.StatusInternalServerError ||
		strings.HasPrefix(code, "Throttling") || code == "ProvisionedThroughputExceededException" || code == "RequestLimitExceeded")
}

// Fault makes an *Error of an SDK error of one of the table's calls; action is the call's name, such as PutItem.
func (t *Table) Fault(action string, err error) error {
	return &Error{Action: action, Table: t.Name, Hint: t.hint(action, err), Err: err}
}

func (t *Table) hint(action string, err error) string {
	code := Code(err)
	switch {
	case code == "":
		return ""
	case code == "AccessDeniedException" && action == "CreateTable":
		return "allow dynamodb:CreateTable on " + t.ARN() + ", or make the table once: " + t.CreateCommand()
	case code == "AccessDeniedException":
		return "allow dynamodb:" + action + " on " + t.ARN()
	case code == "ResourceNotFoundException":
		return "the table is not there (any more); make it: " + t.CreateCommand()
	case strings.Contains(code, "Token"), strings.Contains(code, "Signature"), code == "UnrecognizedClientException":
		return "check the credentials (environment, shared file or role), the region and the clock"
	}
	return ""
}

// Code is the error code that DynamoDB answered with; "" if it did not answer.
func Code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// ARN is the table's, with words in the place of what is not known.
func (t *Table) ARN() string {
	region := t.Region
	if region == "" {
		region = "REGION"
	}
	return "arn:aws:dynamodb:" + region + ":ACCOUNT:table/" + t.Name
}

// CreateCommand is how an administrator makes the table.
func (t *Table) CreateCommand() string {
	return "aws dynamodb create-table --table-name " + t.Name + " --billing-mode PAY_PER_REQUEST" +
		" --key-schema AttributeName=" + Key + ",KeyType=HASH --attribute-definitions AttributeName=" + Key + ",AttributeType=S"
}
