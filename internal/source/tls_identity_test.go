package source

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a.key = a.sign("ca", a.cert, nil)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name+".pem") }

// sign makes a key and a certificate for it, as NAME.pem and NAME-key.pem. Without a parent it signs itself.
func (a *authority) sign(name string, cert, parent *x509.Certificate) *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if parent == nil {
		parent, signer = cert, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		a.path(name):          {Type: "CERTIFICATE", Bytes: raw},
		a.path(name + "-key"): {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return key
}

// leaf is a certificate made out to an address.
func (a *authority) leaf(name string, usage x509.ExtKeyUsage) {
	a.sign(name, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.cert)
}

func TestVerifyIdentityAndClientCertificate(t *testing.T) {
	a := newAuthority(t)
	a.leaf("server", x509.ExtKeyUsageServerAuth)
	a.leaf("client", x509.ExtKeyUsageClientAuth)
	s := testservers.MySQL(t, testservers.Flags("--ssl-ca="+a.path("ca"), "--ssl-cert="+a.path("server"), "--ssl-key="+a.path("server-key")))
	s.MustExec(t, "CREATE USER careful@'%' IDENTIFIED BY 'x' REQUIRE X509")

	c := rootConfig(s)
	c.TLS, c.TLSCA = TLSVerifyIdentity, a.path("ca")
	conn, err := Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if encrypted(t, conn) == "" {
		t.Error("verify-identity connected without encryption")
	}
	Close(conn)

	c.User, c.Password = "careful", password("x")
	if _, err := Connect(t.Context(), c); err == nil {
		t.Error("an account that requires a client certificate let us in without one")
	}
	c.TLSCert, c.TLSKey = a.path("client"), a.path("client-key")
	if conn, err = Connect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	Close(conn)
}
