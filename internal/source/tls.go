package source

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// tlsConfig turns the mode into what crypto/tls understands; nil means that the connection stays in clear.
func tlsConfig(c Config) (*tls.Config, error) {
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
	roots, err := authorities(c.TLSCA)
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

// authorities reads a file of PEM certificates; without a file the system's are used, which nil stands for.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read certificate authorities: %s holds no PEM certificate", file)
	}
	return pool, nil
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
