package secrets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/smithy-go"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// service is one that keeps secrets, for messages.
type service struct {
	origin   string // "secret tickets/db"
	action   string // secretsmanager:GetSecretValue
	resource string // what IAM has to allow it on
	endpoint string // the service's part of a VPC endpoint's name
	missing  string // what to do where there is no such thing
}

// fault makes an error of the SDK one that says what to do.
func (s *service) fault(err error) error {
	e := &source.LoginError{Origin: s.origin, Err: plainly(err)}
	api, answered := errors.AsType[smithy.APIError](err)
	if !answered {
		_, unreachable := errors.AsType[net.Error](err)
		switch {
		case strings.Contains(err.Error(), "get credentials"): // this is the SDK's word, which has no type for it
			e.Hint = noCredentials
		case unreachable || errors.Is(err, context.DeadlineExceeded):
			e.Hint = fmt.Sprintf("check network and name service; a subnet without a way out needs the VPC endpoint com.amazonaws.REGION.%s", s.endpoint)
		}
		return e
	}
	e.Final = true
	switch code := api.ErrorCode(); {
	case strings.Contains(code, "AccessDenied") && strings.Contains(api.ErrorMessage(), "KMS"), code == "DecryptionFailure", code == "InvalidKeyId":
		e.Action, e.Resource = "kms:Decrypt", "arn:aws:kms:REGION:ACCOUNT:key/KEY_ID"
		e.Hint = "allow the daemon's role kms:Decrypt on the key that encrypts it"
	case strings.Contains(code, "AccessDenied"):
		e.Action, e.Resource = s.action, s.resource
		e.Hint = fmt.Sprintf("allow the daemon's role %s on %s, and kms:Decrypt if a key of your own encrypts it", s.action, s.resource)
	case code == "ResourceNotFoundException", code == "ParameterNotFound", code == "ParameterVersionNotFound":
		e.Hint = s.missing
	case code == "InvalidRequestException":
		e.Hint = "a secret that is about to be deleted can be had back: aws secretsmanager restore-secret"
	case strings.Contains(code, "Token"), strings.Contains(code, "Signature"), code == "UnrecognizedClientException", code == "InvalidClientTokenId":
		e.Hint = "check the AWS credentials, the region and the clock"
		e.Final = !strings.HasPrefix(code, "Expired")
	default: // throttled, or the service is in trouble
		e.Final = api.ErrorFault() == smithy.FaultClient && !strings.Contains(code, "Throttl") && !strings.Contains(code, "TooMany")
	}
	return e
}

// noCredentials is what to do where there are none.
const noCredentials = "give the daemon AWS credentials: a task role, an instance profile, a web identity, or the environment"

// plainly is what AWS said, without the request's details.
func plainly(err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return err
}

// Region is the region that an ARN names; "" for a name.
func Region(id string) string {
	if a, err := arn.Parse(id); err == nil {
		return a.Region
	}
	return ""
}

// resource is the ARN of something, with words in place of what is not known.
func resource(id, kind string, cfg aws.Config) string {
	if arn.IsARN(id) {
		return id
	}
	return "arn:aws:" + strings.Replace(kind, "REGION", cfg.Region, 1)
}
