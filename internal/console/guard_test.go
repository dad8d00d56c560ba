package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// asked is what the halves of a console under test were asked for.
type asked []string

func (a *asked) half(name string) Half {
	note := func(what string) func(context.Context) error {
		return func(context.Context) error { *a = append(*a, what+" "+name); return nil }
	}
	return Half{Name: name, Pause: note("pause"), Resume: note("resume"), Paused: func() bool { return false }}
}

func underTest(token string, calls *asked, report *status.Report) http.Handler {
	report.Judge()
	return New(Config{
		Gatherer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Token: func() string { return token },
		Report: func() *status.Report { return report }, History: func() []status.Point { return nil },
		Halves: []Half{calls.half("replicate"), calls.half("deliver")}, Hosts: []string{"status.example.com"},
		Reload: func(_ context.Context, table string) error {
			*calls = append(*calls, "reload "+table)
			if table == "shop.gone" {
				return errors.New("no such table")
			}
			return nil
		},
	}).handler()
}

// client is who asks.
type client struct {
	remote, host string
	header       map[string]string
}

func (c client) do(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = c.remote, c.host
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const token = "correct-horse-battery-staple"

var (
	here = client{remote: "127.0.0.1:5000", host: "127.0.0.1:9187"}
	afar = client{remote: "10.0.0.7:5000", host: "10.0.0.1:9187"}
)

func (c client) with(pairs ...string) client {
	header := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		header[pairs[i]] = pairs[i+1]
	}
	c.header = header
	return c
}

func TestWhoMayControl(t *testing.T) {
	for _, c := range []struct {
		what   string
		token  string
		client client
		want   int
	}{
		{"this machine", "", here, 200},
		{"this machine by its other names", "", client{remote: "[::1]:5000", host: "localhost:9187"}, 200},
		{"another machine without a token set", "", afar, 403},
		{"another machine that shows one all the same", "", afar.with("Authorization", "Bearer "), 403},
		{"a proxy on this machine for one elsewhere", "", here.with("X-Forwarded-For", "10.0.0.7"), 403},
		{"with the token", token, afar.with("Authorization", "Bearer "+token), 200},
		{"with a wrong token", token, afar.with("Authorization", "Bearer "+token+"x"), 401},
		{"with half the token", token, afar.with("Authorization", "Bearer "+token[:10]), 401},
		{"without it", token, afar, 401},
		{"with the token by another scheme", token, afar.with("Authorization", "Basic "+token), 401},
		{"this machine without the token that is set", token, here, 401},
		{"this machine with it", token, here.with("Authorization", "Bearer "+token), 200},
		{"by a configured name", token, client{remote: "10.0.0.7:1", host: "Status.Example.com:9187"}.with("Authorization", "Bearer "+token), 200},
		{"a page that had its name resolved to this machine", "", client{remote: "127.0.0.1:5000", host: "evil.example.com"}, 403},
		{"the same with the token", token, client{remote: "127.0.0.1:5000", host: "evil.example.com"}.with("Authorization", "Bearer "+token), 403},
		{"our page", "", here.with("Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:9187"), 200},
		{"a page of another site", "", here.with("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.com"), 403},
		{"a page on another port of this machine", "", here.with("Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:8080"), 403},
		{"a page of another site in an old browser", "", here.with("Origin", "https://evil.example.com"), 403},
		{"a sandboxed frame", "", here.with("Origin", "null"), 403},
		{"a form", "", here.with("Content-Type", "application/x-www-form-urlencoded"), 415},
		{"a form as text", "", here.with("Content-Type", "text/plain"), 415},
	} {
		for path, body := range map[string]string{"/api/pause": "{}", "/api/resume": `{"half":""}`, "/api/reload-table": `{"table":"shop.ticket"}`} {
			var calls asked
			got := c.client.do(underTest(c.token, &calls, &status.Report{}), http.MethodPost, path, body)
			want := c.want
			if want == 200 && path == "/api/reload-table" {
				want = 202
			}
			if got.Code != want || (len(calls) > 0) != (c.want == 200) {
				t.Errorf("%s, %s: %d %s, did %v; want %d", c.what, path, got.Code, got.Body, calls, want)
			}
			if strings.Contains(got.Body.String(), token) {
				t.Errorf("%s, %s: the answer holds the token", c.what, path)
			}
		}
	}
}

func TestWhoMayRead(t *testing.T) {
	for _, c := range []struct {
		what   string
		client client
		want   int
	}{
		{"this machine", here, 200},
		{"another machine, by address", afar, 200},
		{"by a configured name", client{remote: "10.0.0.7:1", host: "status.example.com"}, 200},
		{"by another name", client{remote: "10.0.0.7:1", host: "evil.example.com"}, 403},
		{"by a name that looks like an address", client{remote: "127.0.0.1:1", host: "127.0.0.1.evil.example.com:9187"}, 403},
		{"without a name", client{remote: "127.0.0.1:1"}, 403},
	} {
		for _, path := range []string{"/", "/api/status", "/api/history", "/static/status.js", "/static/status.css"} {
			var calls asked
			if got := c.client.do(underTest("", &calls, &status.Report{}), http.MethodGet, path, ""); got.Code != c.want {
				t.Errorf("%s, %s: %d, want %d", c.what, path, got.Code, c.want)
			}
		}
	}
	var calls asked
	for _, path := range []string{"/api/pause", "/api/resume", "/api/reload-table"} { // a link must change nothing
		if got := here.do(underTest("", &calls, &status.Report{}), http.MethodGet, path, ""); got.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, got.Code)
		}
	}
}

func TestPauseAndResume(t *testing.T) {
	for _, c := range []struct {
		path, body string
		code       int
		says       string
		does       []string
	}{
		{"/api/pause", `{}`, 200, "deliver is paused", []string{"pause replicate", "pause deliver"}},
		{"/api/pause", `{"half":"deliver"}`, 200, "deliver is paused", []string{"pause deliver"}},
		{"/api/resume", `{"half":"replicate"}`, 200, "replicate was running already", []string{"resume replicate"}},
		{"/api/pause", `{"half":"both"}`, 409, "the halves are replicate and deliver", nil},
		{"/api/pause", `{"hlaf":"deliver"}`, 400, "the body must be JSON", nil},
		{"/api/pause", ``, 400, "the body must be JSON", nil},
		{"/api/reload-table", `{"table":"shop.gone"}`, 409, "no such table", []string{"reload shop.gone"}},
		{"/api/reload-table", `{}`, 400, "SCHEMA.TABLE", nil},
	} {
		var calls asked
		got := here.do(underTest("", &calls, &status.Report{}), http.MethodPost, c.path, c.body)
		if got.Code != c.code || !strings.Contains(got.Body.String(), c.says) || !slices.Equal(calls, c.does) {
			t.Errorf("%s %s: %d %s, did %v; want %d, %q, %v", c.path, c.body, got.Code, got.Body, calls, c.code, c.says, c.does)
		}
	}
}
