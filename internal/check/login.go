package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Login reads what the source is entered with, and says where it has it from.
type Login interface {
	Describe(ctx context.Context) (string, error)
}

// login looks at where the login comes from. It is false where connecting is no use then.
func (s *Source) login(ctx context.Context, r *reporter) bool {
	const item = "login"
	if s.Login == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	found, err := s.Login.Describe(ctx)
	if err != nil {
		r.failed(item, err, s.entry(err))
		return false
	}
	if info, err := os.Stat(s.LoginFile); s.LoginFile != "" && err == nil && info.Mode().Perm()&0o007 != 0 {
		r.add(Warn, item, found+", which every user of this machine may read", "chmod o= "+s.LoginFile)
		return true
	}
	r.ok(item, "%s", found)
	return true
}

// entry is the policy that a login takes and that is missing; the rest of the cure is in the error.
func (s *Source) entry(err error) string {
	e, ok := errors.AsType[*source.LoginError](err)
	if !ok || e.Action == "" {
		return ""
	}
	return "attach this policy to the daemon's role:\n" + policy([]string{e.Action}, e.Resource)
}

// soon is how long before its end a certificate is worth a word.
const soon = 30 * 24 * time.Hour

// certificate tells whose certificate the server has, and whether anybody looks at it.
func (c *sourceCheck) certificate() {
	over, ok := c.conn.Conn.Conn.(*tls.Conn)
	if !ok || len(over.ConnectionState().PeerCertificates) == 0 {
		return
	}
	state, found, cure := judge(over.ConnectionState().PeerCertificates[0], c.Config)
	if !verifies(c.Config) && c.onThisMachine() {
		return
	}
	c.add(state, "certificate", found, cure)
}

// judge says how well a certificate protects a connection.
func judge(cert *x509.Certificate, c source.Config) (state State, found, cure string) {
	found = fmt.Sprintf("the server's is from %s, good until %s", cert.Issuer.CommonName, cert.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case !verifies(c):
		found += fmt.Sprintf(", and nobody looks at it: tls is %s", c.TLS)
		if source.IsRDS(c.Host) {
			return Warn, found, "write tls: verify-identity and tls_ca: aws-rds (or the file of AWS's certificate bundle)"
		}
		return Warn, found, "write tls: verify-identity and the authority's certificate in tls_ca"
	case time.Until(cert.NotAfter) < soon:
		return Warn, found, "let the server have a new one; RDS renews by itself where the authority allows it: aws rds describe-certificates"
	}
	return OK, found + ", checked against " + c.Authorities(), ""
}

func verifies(c source.Config) bool {
	return c.TLS == source.TLSVerifyCA || c.TLS == source.TLSVerifyIdentity
}
