package secrets

import (
	"context"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// parameter is one of the Parameter Store of AWS Systems Manager.
type parameter struct {
	api  *ssm.Client
	name string
	key  string
	says service
}

// Parameter reads a parameter of AWS Systems Manager, by its name or ARN: a SecureString, and other kinds too.
func Parameter(cfg aws.Config, name string, o Options) *Store {
	return newStore(&parameter{
		api: ssm.NewFromConfig(cfg), name: name, key: o.PasswordKey,
		says: service{
			origin: "parameter " + name, action: "ssm:GetParameter", endpoint: "ssm",
			resource: resource(name, "ssm:REGION:ACCOUNT:parameter/"+strings.TrimPrefix(name, "/"), cfg),
			missing:  "there is no such parameter in region " + cfg.Region + ": correct source.ssm_parameter_name or source.region",
		},
	}, o)
}

func (p *parameter) String() string { return p.says.origin }

func (p *parameter) current(ctx context.Context) (source.Login, error) {
	out, err := p.api.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(p.name), WithDecryption: aws.Bool(true)})
	if err != nil {
		return source.Login{}, p.says.fault(err)
	}
	l, err := parse(aws.ToString(out.Parameter.Value), p.key)
	l.Version = strconv.FormatInt(out.Parameter.Version, 10)
	return l, err
}

func (p *parameter) upcoming(context.Context) (source.Login, bool, error) {
	return source.Login{}, false, nil
}
