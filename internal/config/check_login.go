package config

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// login checks how the source is entered: in one way, which has all that it needs, and no settings of another.
func (c *checker) login() {
	c.oneWay()
	s := &c.Source
	if s.PasswordFile != "" && !filepath.IsAbs(s.PasswordFile) {
		s.PasswordFile = c.path(s.PasswordFile)
	}
	c.arnOf("source.secrets_manager_secret_id", s.SecretID, "secretsmanager")
	c.arnOf("source.ssm_parameter_name", s.ParameterName, "ssm")
	c.secretSettings()
	if s.IAM {
		c.iam()
	}
}

// oneWay adds a fault for every way to log in beyond the first, and if there is none.
func (c *checker) oneWay() {
	s := &c.Source
	var first string
	for _, way := range []struct {
		key string
		set bool
	}{
		{"password", c.has("source.password")}, {"password_file", s.PasswordFile != ""}, {"secrets_manager_secret_id", s.SecretID != ""},
		{"ssm_parameter_name", s.ParameterName != ""}, {"iam_authentication", s.IAM},
	} {
		switch {
		case !way.set:
		case first == "":
			first = way.key
		default:
			c.fault("source."+way.key, "stands beside "+first+", which is another way to log in",
				"keep one of password, password_file, secrets_manager_secret_id, ssm_parameter_name and iam_authentication")
		}
	}
	if first == "" {
		c.missing("source.password", "write password: ${MYSQL_PASSWORD} and set the variable, or name a password_file, a secrets_manager_secret_id or "+
			"an ssm_parameter_name, or write iam_authentication: true")
	}
}

// arnOf checks an id that is an ARN: of the right service, and not in contradiction to source.region.
func (c *checker) arnOf(path, id, service string) {
	if !strings.HasPrefix(id, "arn:") {
		return
	}
	a, err := arn.Parse(id)
	switch {
	case err != nil || a.Service != service || a.Region == "":
		c.fault(path, "is not an ARN of this kind", "write the name, or an ARN such as arn:aws:"+service+":eu-west-1:123456789012:…")
	case c.Source.Region != "" && c.Source.Region != a.Region:
		c.fault("source.region", "contradicts the ARN in "+path, "remove it")
	}
}

// secretSettings checks what is said of secrets in general.
func (c *checker) secretSettings() {
	s := &c.Source
	inAWS := s.SecretID != "" || s.ParameterName != ""
	if c.has("source.secret_refresh_interval") && !inAWS {
		c.fault("source.secret_refresh_interval", "has no effect without secrets_manager_secret_id or ssm_parameter_name", "remove it")
	} else if s.SecretRefresh < time.Second || s.SecretRefresh > 24*time.Hour {
		c.fault("source.secret_refresh_interval", "is not from 1s to 24h", "write 1h; a password that the server refuses is read anew in any case")
	}
	if c.has("source.secret_password_key") && !s.Kept() {
		c.fault("source.secret_password_key", "has no effect without secrets_manager_secret_id, ssm_parameter_name or password_file", "remove it")
	} else if s.PasswordKey == "" {
		c.missing("source.secret_password_key", "write the key under which the secret has the password, or leave it out for password")
	}
	if s.Region != "" && !inAWS && !s.IAM && s.TLSCA != RDSBundle {
		c.fault("source.region", "has no effect without a secret, a parameter, iam_authentication or tls_ca: "+RDSBundle, "remove it")
	}
}

// iam checks what a token takes: it goes to the server as it is, and it is signed for the server's own name.
func (c *checker) iam() {
	s := &c.Source
	if !s.TLS.Verifies() {
		c.fault("source.iam_authentication", "sends a token that lets anybody in who reads it",
			"write tls: verify-identity and tls_ca: "+RDSBundle+", so that nobody but the server does")
	}
	if strings.Contains(s.Host, "/") {
		c.fault("source.host", "is a socket, and IAM authentication is for servers of RDS", "write the server's endpoint, name.id.region.rds.amazonaws.com")
	}
}
