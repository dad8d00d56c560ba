package secrets

import (
	"context"
	"net"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Token makes the passwords of RDS's IAM authentication. It implements source.Logins: each login has a token of its own,
// since one is good for 15 minutes only; signing it takes no request. It goes to the server as it is.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
type Token struct {
	Credentials aws.CredentialsProvider
	Region      string
	Host        string // as RDS names the server: the signature is over it
	Port        uint16
	User        string
}

const defaultPort = 3306

// String says what is signed.
func (t *Token) String() string { return "IAM token for " + t.User + " at " + t.address() }

func (t *Token) address() string {
	port := t.Port
	if port == 0 {
		port = defaultPort
	}
	return net.JoinHostPort(t.Host, strconv.Itoa(int(port)))
}

// Login implements source.Logins. There is no other login: what is refused is the user or the role, not this token.
func (t *Token) Login(ctx context.Context, refused []source.Login) (source.Login, error) {
	if len(refused) > 0 {
		return source.Login{}, source.ErrNoOtherLogin
	}
	token, err := auth.BuildAuthToken(ctx, t.address(), t.Region, t.User, t.Credentials)
	if err != nil {
		return source.Login{}, &source.LoginError{
			Origin: t.String(), Err: err, Hint: noCredentials,
		}
	}
	return source.Login{Password: token, Origin: "the " + t.String(), Cure: t.cure(), InClear: true}, nil
}

// cure is what to do where the server does not let the token in.
func (t *Token) cure() string {
	return "turn IAM authentication on for the server, allow the daemon's role rds-db:connect on " + t.Resource() + ", and let the user log in with it: " +
		"CREATE USER " + t.User + " IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' (MariaDB: IDENTIFIED VIA AWSAuthenticationPlugin USING 'RDS'); " +
		"the daemon's clock must be right, and source.host the server's own name"
}

// Resource is what IAM has to allow rds-db:connect on.
func (t *Token) Resource() string {
	return "arn:aws:rds-db:" + t.Region + ":ACCOUNT:dbuser:RESOURCE_ID/" + t.User
}

// Describe makes a token for somebody who wants to know whether that works, and says what was found.
func (t *Token) Describe(ctx context.Context) (string, error) {
	if _, err := t.Login(ctx, nil); err != nil {
		return "", err
	}
	c, err := t.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	return t.String() + ", signed for " + t.Region + " by credentials from " + c.Source, nil
}
