package secrets

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// secret is one of AWS Secrets Manager.
type secret struct {
	api  *secretsmanager.Client
	id   string
	key  string
	says service
}

// Manager reads a secret of AWS Secrets Manager, by its name or ARN. It may be one that RDS manages, one with a
// rotation function, or the password alone.
func Manager(cfg aws.Config, id string, o Options) *Store {
	return newStore(&secret{
		api: secretsmanager.NewFromConfig(cfg), id: id, key: o.PasswordKey,
		says: service{
			origin: "secret " + id, action: "secretsmanager:GetSecretValue", endpoint: "secretsmanager",
			// Secrets Manager puts a dash and six characters behind the name.
			resource: resource(id, "secretsmanager:REGION:ACCOUNT:secret:"+id+"-??????", cfg),
			missing: "there is no such secret in region " + cfg.Region + ", or it has no value: correct source.secrets_manager_secret_id or " +
				"source.region; in another account it takes the whole ARN",
		},
	}, o)
}

func (s *secret) String() string { return s.says.origin }

func (s *secret) current(ctx context.Context) (source.Login, error) {
	return s.version(ctx, "AWSCURRENT")
}

// upcoming is the version that a rotation is working on. The label may be left on the current version.
func (s *secret) upcoming(ctx context.Context) (source.Login, bool, error) {
	l, err := s.version(ctx, "AWSPENDING")
	if _, none := errors.AsType[*types.ResourceNotFoundException](err); none {
		return source.Login{}, false, nil
	}
	if _, unready := errors.AsType[*errNotALogin](err); unready {
		return source.Login{}, false, nil // the rotation function has not written it yet
	}
	return l, err == nil, err
}

func (s *secret) version(ctx context.Context, stage string) (source.Login, error) {
	out, err := s.api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(s.id), VersionStage: aws.String(stage)})
	if err != nil {
		if _, none := errors.AsType[*types.ResourceNotFoundException](err); none && stage != "AWSCURRENT" {
			return source.Login{}, err
		}
		return source.Login{}, s.says.fault(err)
	}
	if out.SecretString == nil {
		return source.Login{}, &errNotALogin{"it is binary", "store it as text: {\"username\": \"…\", \"password\": \"…\"}, or the password alone"}
	}
	l, err := parse(*out.SecretString, s.key)
	l.Version = aws.ToString(out.VersionId) + " (" + stage + ")"
	return l, err
}
