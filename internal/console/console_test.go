package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunServesUntilStopped(t *testing.T) {
	reg := prometheus.NewRegistry()
	up := prometheus.NewGauge(prometheus.GaugeOpts{Name: "binlogstreamer_up", Help: "Test."})
	reg.MustRegister(up)
	var ready atomic.Bool
	c := New(Config{Listen: "127.0.0.1:0", Gatherer: reg, Ready: []Check{{"replicate", ready.Load}}, Log: slog.New(slog.DiscardHandler)})
	if err := c.Bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()

	expect(t, c, "/healthz", 200, "ok")
	expect(t, c, "/metrics", 200, "binlogstreamer_up 0")
	expect(t, c, "/readyz", 503, "replicate: not ready")
	ready.Store(true)
	expect(t, c, "/readyz", 200, "replicate: ok")
	expect(t, c, "/debug/pprof/goroutine?debug=1", 200, "goroutine profile")
	expect(t, c, "/nowhere", 404, "")

	stop()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if _, err := http.Get("http://" + c.Addr() + "/healthz"); err == nil {
		t.Error("it still answers after Run")
	}
}

func expect(t *testing.T, c *Console, path string, status int, text string) {
	t.Helper()
	r, err := http.Get("http://" + c.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != status || !strings.Contains(string(body), text) {
		t.Errorf("%s: %d %.200q, want %d with %q", path, r.StatusCode, body, status, text)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestBindNamesTheAddressInUse(t *testing.T) {
	first := New(Config{Listen: "127.0.0.1:0"})
	if err := first.Bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	err := New(Config{Listen: first.Addr()}).Bind(t.Context())
	if err == nil || !strings.Contains(err.Error(), first.Addr()) {
		t.Errorf("err = %v", err)
	}
}

func TestProfilesAreForThisMachine(t *testing.T) {
	h := New(Config{Gatherer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}).handler()
	for _, c := range []struct {
		remote, host string
		want         int
	}{
		{"127.0.0.1:5000", "127.0.0.1:9187", 200},
		{"[::1]:5000", "localhost:9187", 200},
		{"10.0.0.7:5000", "10.0.0.1:9187", 403},
		{"127.0.0.1:5000", "evil.example.com", 403},
	} {
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/cmdline", nil)
		r.RemoteAddr, r.Host = c.remote, c.host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("from %s for %s: %d, want %d", c.remote, c.host, w.Code, c.want)
		}
	}
}
