package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Roots are certificate authorities that come from somewhere else than a file. PEM is asked at every connect, from any
// goroutine, and may wait for other services until ctx ends; its errors are *LoginError. String says what they are.
type Roots interface {
	PEM(ctx context.Context) ([]byte, error)
	String() string
}

// tlsConfig turns the mode into what crypto/tls understands; nil means that the connection stays in clear.
func tlsConfig(ctx context.Context, c Config) (*tls.Config, error) {
	if c.TLS == TLSDisabled || c.TLS == TLSPreferred && c.socket() {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.Host}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return nil, errors.New("a client certificate needs both its certificate file and its key file")
	}
	if c.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	switch c.TLS {
	case TLSPreferred, TLSRequired:
		t.InsecureSkipVerify = true
		return t, nil
	case TLSVerifyCA, TLSVerifyIdentity:
	default:
		return nil, fmt.Errorf("unknown TLS mode %q: use %s, %s, %s, %s or %s", c.TLS,
			TLSDisabled, TLSPreferred, TLSRequired, TLSVerifyCA, TLSVerifyIdentity)
	}
	roots, err := authorities(ctx, c)
	if err != nil {
		return nil, err
	}
	t.RootCAs = roots
	if c.TLS == TLSVerifyCA {
		// The chain is checked as usual but the name is not: servers that make their own certificates put none in it.
		t.InsecureSkipVerify = true
		t.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s, roots) }
	}
	return t, nil
}

// authorities reads PEM certificates; where none are named the system's are used, which nil stands for.
func authorities(ctx context.Context, c Config) (*x509.CertPool, error) {
	var pem []byte
	var err error
	switch {
	case c.TLSRoots != nil:
		pem, err = c.TLSRoots.PEM(ctx)
	case c.TLSCA != "":
		pem, err = os.ReadFile(c.TLSCA)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read certificate authorities: %s holds no PEM certificate", c.Authorities())
	}
	return pool, nil
}

// Authorities says where the certificates come from that the server's is held against.
func (c Config) Authorities() string {
	switch {
	case c.TLSRoots != nil:
		return c.TLSRoots.String()
	case c.TLSCA != "":
		return c.TLSCA
	}
	return "the system's certificate authorities"
}

func verifyChain(s tls.ConnectionState, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server sent no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	return nil
}
