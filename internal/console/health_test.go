package console

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestHealthz is 200 unless something is stuck, whether or not the daemon is ready.
func TestHealthz(t *testing.T) {
	var stuck []string
	h := New(Config{
		Gatherer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Stuck: func() []string { return stuck },
		Ready: []Check{{"deliver", func() bool { return false }}},
	}).handler()
	ask := func() (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		return w.Code, w.Body.String()
	}
	if code, body := ask(); code != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %q", code, body)
	}
	stuck = []string{"deliver: storing has not moved for 11m0s", "replicate: sending has not moved for 6m0s"}
	if code, body := ask(); code != http.StatusServiceUnavailable || !strings.Contains(body, stuck[0]+"\n"+stuck[1]) {
		t.Errorf("%d %q", code, body)
	}
}
