package secrets

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// role gives credentials as a role does, and counts how often.
type role struct{ asked atomic.Int64 }

func (r *role) Retrieve(context.Context) (aws.Credentials, error) {
	n := r.asked.Add(1)
	return aws.Credentials{
		AccessKeyID: fmt.Sprintf("AKIDROLE%d", n), SecretAccessKey: "hushsecret", SessionToken: "hush" + strings.Repeat("long/", 300),
		Source: "TestRole", CanExpire: true, Expires: time.Now().Add(time.Hour),
	}, nil
}

// TestTokenLogsIn enters a server that asks for the token as it is. Each login has a token of its own.
func TestTokenLogsIn(t *testing.T) {
	a := testservers.NewAuthority(t)
	a.Leaf("server", x509.ExtKeyUsageServerAuth)
	s := testservers.MariaDB(t, testservers.ClearPassword(t), a.Flags("server"))
	s.MustExec(t, fmt.Sprintf("CREATE USER iam IDENTIFIED VIA clear_password USING '127.0.0.1:%d?Action=connect&DBUser=iam'", s.Port),
		"CREATE USER other IDENTIFIED VIA clear_password USING 'nobody'")
	r := &role{}
	c := source.Config{
		Host: "127.0.0.1", Port: s.Port16(), User: "iam", TLS: source.TLSVerifyIdentity, TLSCA: a.Path("ca"),
		Logins: &Token{Credentials: r, Region: "eu-west-1", Host: "127.0.0.1", Port: s.Port16(), User: "iam"},
	}
	for range 2 {
		conn, err := source.Connect(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		source.Close(conn)
	}
	if n := r.asked.Load(); n != 2 {
		t.Errorf("signed with %d credentials, want 2", n)
	}
	c.User = "other"
	_, err := source.Connect(t.Context(), c)
	if err == nil || !source.Refused(err) || !strings.Contains(err.Error(), "rds-db:connect on arn:aws:rds-db:eu-west-1:ACCOUNT:dbuser:RESOURCE_ID/iam") ||
		!strings.Contains(err.Error(), "AWSAuthenticationPlugin") {
		t.Errorf("refused: %v", err)
	}
	silent(t, fmt.Sprint(err))
	c.TLS = source.TLSRequired
	if _, err = source.Connect(t.Context(), c); !errors.Is(err, source.ErrClearPassword) {
		t.Errorf("unverified: %v", err)
	}
	silent(t, fmt.Sprint(err))
}

func TestToken(t *testing.T) {
	token := &Token{Credentials: &role{}, Region: "eu-west-1", Host: "h.x.eu-west-1.rds.amazonaws.com", User: "iam@x"}
	l := must(t, token)
	u, err := url.Parse("https://" + l.Password)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Host != "h.x.eu-west-1.rds.amazonaws.com:3306" || q.Get("X-Amz-Expires") != "900" || q.Get("DBUser") != "iam@x" || q.Get("Action") != "connect" ||
		!strings.Contains(q.Get("X-Amz-Credential"), "/eu-west-1/rds-db/aws4_request") || !l.InClear {
		t.Errorf("the token is for %s, %v", u.Host, q)
	}
	if _, err := token.Login(t.Context(), []source.Login{l}); !errors.Is(err, source.ErrNoOtherLogin) {
		t.Errorf("%v", err)
	}
	if found, err := token.Describe(t.Context()); err != nil || !strings.Contains(found, "by credentials from TestRole") {
		t.Errorf("%q, %v", found, err)
	}
	token.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("no role") })
	if _, err := token.Login(t.Context(), nil); err == nil || source.Refused(err) || !strings.Contains(err.Error(), "no role; give the daemon AWS credentials") {
		t.Errorf("%v", err)
	}
	if _, err := token.Describe(t.Context()); err == nil {
		t.Error("described without credentials")
	}
}
