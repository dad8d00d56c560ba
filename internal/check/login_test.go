package check

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// found is a login that is there, or is not.
type found struct {
	what string
	err  error
}

func (f found) Describe(context.Context) (string, error) { return f.what, f.err }

func TestLogin(t *testing.T) {
	nobody := source.Config{Host: "127.0.0.1", Port: 1, User: "u"}
	out, faults := run(t, Config{Source: &Source{Config: nobody, Login: found{what: "from secret db, version 7"}}})
	mustSay(t, out, "ok    login                 from secret db, version 7", "FAIL  connect")
	if faults != 1 {
		t.Errorf("%d faults", faults)
	}
	denied := &source.LoginError{Origin: "secret db", Err: errors.New("AccessDenied"), Hint: "allow it", Action: "secretsmanager:GetSecretValue", Resource: "arn:x"}
	out, faults = run(t, Config{Source: &Source{Config: nobody, Login: found{err: denied}}})
	mustSay(t, out, "FAIL  login                 read secret db: AccessDenied; allow it", `→ {"Version":"2012-10-17"`, `"secretsmanager:GetSecretValue"`)
	if faults != 1 {
		t.Errorf("%d faults; connecting is no use", faults)
	}
	file := filepath.Join(t.TempDir(), "password")
	for mode, want := range map[os.FileMode]string{0o640: "ok    login", 0o644: "warn  login                 from file, which every user of this machine may read"} {
		if err := os.WriteFile(file, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		out, _ = run(t, Config{Source: &Source{Config: nobody, Login: found{what: "from file"}, LoginFile: file}})
		mustSay(t, out, want)
	}
}

func TestCertificate(t *testing.T) {
	fresh := &x509.Certificate{Issuer: pkix.Name{CommonName: "Amazon RDS eu-west-1 Root CA RSA2048 G1"}, NotAfter: time.Now().Add(365 * 24 * time.Hour)}
	stale := &x509.Certificate{NotAfter: time.Now().Add(7 * 24 * time.Hour)}
	const rds = "tickets.abc123.eu-west-1.rds.amazonaws.com"
	for _, c := range []struct {
		cert        *x509.Certificate
		config      source.Config
		state       State
		found, cure string
	}{
		{fresh, source.Config{Host: rds, TLS: source.TLSVerifyIdentity, TLSCA: "rds.pem"}, OK, "Root CA RSA2048 G1, good until", ""},
		{fresh, source.Config{Host: rds, TLS: source.TLSVerifyCA, TLSCA: "rds.pem"}, OK, "checked against rds.pem", ""},
		{fresh, source.Config{Host: rds, TLS: source.TLSPreferred}, Warn, "nobody looks at it: tls is preferred", "tls_ca: aws-rds"},
		{fresh, source.Config{Host: "db", TLS: source.TLSRequired}, Warn, "nobody looks at it: tls is required", "certificate in tls_ca"},
		{stale, source.Config{Host: rds, TLS: source.TLSVerifyIdentity}, Warn, "good until", "a new one"},
	} {
		state, found, cure := judge(c.cert, c.config)
		if state != c.state {
			t.Errorf("%+v: %s", c.config.TLS, state)
		}
		mustSay(t, found, c.found)
		mustSay(t, cure, c.cure)
	}
}

func TestCredentials(t *testing.T) {
	until := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for want, give := range map[string]func() (aws.Credentials, error){
		"ok    aws credentials       from EC2RoleProvider, account 123456789012, to be renewed at 2026-11-26T12:00:00Z": func() (aws.Credentials, error) {
			return aws.Credentials{Source: "EC2RoleProvider", AccountID: "123456789012", CanExpire: true, Expires: until, SecretAccessKey: "hush"}, nil
		},
		"ok    aws credentials       from EnvConfigCredentials":               func() (aws.Credentials, error) { return aws.Credentials{Source: "EnvConfigCredentials"}, nil },
		"FAIL  aws credentials       none can be had: no EC2 IMDS role found": func() (aws.Credentials, error) { return aws.Credentials{}, errors.New("no EC2 IMDS role found") },
	} {
		out, _ := run(t, Config{Credentials: &Credentials{Provider: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return give() })}})
		mustSay(t, out, want)
	}
}
