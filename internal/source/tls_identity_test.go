package source

import (
	"crypto/x509"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestVerifyIdentityAndClientCertificate(t *testing.T) {
	a := testservers.NewAuthority(t)
	a.Leaf("server", x509.ExtKeyUsageServerAuth)
	a.Leaf("client", x509.ExtKeyUsageClientAuth)
	s := testservers.MySQL(t, a.Flags("server"))
	s.MustExec(t, "CREATE USER careful@'%' IDENTIFIED BY 'x' REQUIRE X509")

	c := rootConfig(s)
	c.TLS, c.TLSCA = TLSVerifyIdentity, a.Path("ca")
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
	c.TLSCert, c.TLSKey = a.Path("client"), a.Path("client-key")
	if conn, err = Connect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	Close(conn)
}
