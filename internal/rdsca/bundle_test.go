package rdsca

import (
	"bytes"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// truststore serves a text as AWS does, over TLS.
type truststore struct {
	*httptest.Server
	text atomic.Pointer[string]
	hits atomic.Int64
}

func serve(t *testing.T, text string) *truststore {
	t.Helper()
	s := &truststore{}
	s.put(text)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.hits.Add(1)
		if text := *s.text.Load(); text != "" {
			_, _ = w.Write([]byte(text))
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *truststore) put(text string) { s.text.Store(&text) }

// bundle is one that trusts the test's server.
func (s *truststore) bundle(file string, log *bytes.Buffer) *Bundle {
	b := New(s.URL, file, slog.New(slog.NewTextHandler(log, nil)))
	b.client = s.Client()
	return b
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestServerOfAnAuthorityInTheBundle verifies a server whose authority is one of several that were fetched.
func TestServerOfAnAuthorityInTheBundle(t *testing.T) {
	other, a := testservers.NewAuthority(t), testservers.NewAuthority(t)
	a.Leaf("server", x509.ExtKeyUsageServerAuth)
	db := testservers.MariaDB(t, a.Flags("server"))
	var log bytes.Buffer
	s := serve(t, read(t, other.Path("ca"))+read(t, a.Path("ca")))
	c := source.Config{Host: "127.0.0.1", Port: db.Port16(), User: "root", TLS: source.TLSVerifyIdentity, TLSRoots: s.bundle("", &log)}
	for range 2 {
		conn, err := source.Connect(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		source.Close(conn)
	}
	if n := s.hits.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	s.put(read(t, other.Path("ca")))
	c.TLSRoots = s.bundle("", &log)
	if _, err := source.Connect(t.Context(), c); !source.IsUntrusted(err) || !strings.Contains(err.Error(), "AWS's certificate bundle") {
		t.Errorf("an authority that is not in the bundle: %v", err)
	}
	s.put("")
	c.TLSRoots = s.bundle("", &log)
	_, err := source.Connect(t.Context(), c)
	if source.Refused(err) || err == nil || !strings.Contains(err.Error(), "let the daemon reach "+s.URL) || !strings.Contains(err.Error(), "source.tls_ca") {
		t.Errorf("nothing to be had: %v", err)
	}
}

// TestCopyIsUsedWhenAWSIsAway, by the same process and by the next one.
func TestCopyIsUsedWhenAWSIsAway(t *testing.T) {
	text := read(t, testservers.NewAuthority(t).Path("ca"))
	file := filepath.Join(t.TempDir(), "bundle.pem")
	s := serve(t, text)
	var log bytes.Buffer
	b := s.bundle(file, &log)
	want := func(b *Bundle) {
		t.Helper()
		if got, err := b.PEM(t.Context()); err != nil || string(got) != text {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}
	want(b)
	s.put("")
	b.got = b.got.Add(-fresh)
	want(b)
	next := s.bundle(file, &log)
	want(next)
	want(next)
	if n := s.hits.Load(); n != 3 || strings.Count(log.String(), "certificate bundle fails; trying again") != 2 {
		t.Errorf("fetched %d times: %s", n, log.String())
	}
	next.got = next.got.Add(-retry)
	s.put(text)
	want(next)
	if n := s.hits.Load(); n != 4 || time.Since(next.got) > time.Minute {
		t.Errorf("fetched %d times", n)
	}
	if err := os.WriteFile(file, []byte(text[:len(text)/2]), 0o600); err != nil {
		t.Fatal(err)
	}
	s.put("")
	if _, err := s.bundle(file, &log).PEM(t.Context()); err == nil {
		t.Error("half a copy was used")
	}
}

// TestWhatIsNoBundle: an error page, half a file, and the certificate of somebody who is no authority.
func TestWhatIsNoBundle(t *testing.T) {
	a := testservers.NewAuthority(t)
	a.Leaf("server", x509.ExtKeyUsageServerAuth)
	ca := read(t, a.Path("ca"))
	var log bytes.Buffer
	for what, text := range map[string]string{
		"page": "<html>log in to this network</html>", "half": ca + ca[:len(ca)/2], "leaf": ca + read(t, a.Path("server")), "key": ca + read(t, a.Path("ca-key")),
	} {
		_, err := serve(t, text).bundle("", &log).PEM(t.Context())
		if _, ok := errors.AsType[*source.LoginError](err); !ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Whoever cannot show a certificate that this machine trusts is not asked.
	s := serve(t, ca)
	if _, err := New(s.URL, "", slog.New(slog.DiscardHandler)).PEM(t.Context()); err == nil || s.hits.Load() != 0 {
		t.Errorf("an unverified server was asked %d times, %v", s.hits.Load(), err)
	}
}

func TestURL(t *testing.T) {
	for region, host := range map[string]string{
		"": "truststore.pki.rds.amazonaws.com/", "eu-west-1": "truststore.pki.rds.amazonaws.com/",
		"us-gov-east-1": "truststore.pki.us-gov-west-1.rds.amazonaws.com/", "cn-northwest-1": "rds-truststore.s3.cn-north-1.amazonaws.com.cn/",
	} {
		if got := URL(region); !strings.HasPrefix(got, "https://"+host) {
			t.Errorf("%s: %s", region, got)
		}
	}
}
