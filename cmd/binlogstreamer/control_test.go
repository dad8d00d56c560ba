package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/console"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// TestReloadTable asks a console as the command does, and as others might.
func TestReloadTable(t *testing.T) {
	var asked []string
	c := console.New(console.Config{Listen: "127.0.0.1:0", Gatherer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		Reload: func(_ context.Context, table string) error {
			if asked = append(asked, table); table != "shop.ticket" {
				return errors.New("table " + table + " is not replicated by this task")
			}
			return nil
		}})
	if err := c.Bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()

	file := writeConfig(t, "http: {listen: \""+c.Addr()+"\"}\n")
	expectReload(t, file, "shop.ticket", 0, "the reload of shop.ticket has begun")
	expectReload(t, file, "shop.tickets", 1, "table shop.tickets is not replicated by this task")

	url := "http://" + c.Addr() + "/api/reload-table"
	for _, r := range []struct {
		contentType, body string
		status            int
	}{
		{"text/plain", `{"table": "shop.ticket"}`, http.StatusUnsupportedMediaType}, // as a web page could send it
		{"application/x-www-form-urlencoded", "table=shop.ticket", http.StatusUnsupportedMediaType},
		{"application/json", `{"tabel": "shop.ticket"}`, http.StatusBadRequest},
		{"application/json", ``, http.StatusBadRequest},
	} {
		response, err := http.Post(url, r.contentType, strings.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != r.status {
			t.Errorf("%s %q: %s, want %d", r.contentType, r.body, response.Status, r.status)
		}
	}
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"table": "shop.ticket"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "tickets.example.com" // a foreign name that was resolved to this machine
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("a foreign host: %s", response.Status)
	}
	if len(asked) != 2 {
		t.Errorf("asked for %v", asked)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	expectReload(t, file, "shop.ticket", 1, "is the daemon running")
}

func expectReload(t *testing.T, file, table string, code int, text string) {
	t.Helper()
	var stdout, stderr strings.Builder
	got := execute(t.Context(), []string{"reload-table", "-c", file, table}, &stdout, &stderr)
	if got != code || !strings.Contains(stdout.String()+stderr.String(), text) {
		t.Errorf("reload-table %s: exit code %d, %q %q; want %d and %q", table, got, stdout.String(), stderr.String(), code, text)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestStatusPauseAndResume asks a console with a token as the commands do.
func TestStatusPauseAndResume(t *testing.T) {
	const token = "a-token-of-this-test"
	paused := false
	c := console.New(console.Config{
		Listen: "127.0.0.1:0", Gatherer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Token: func() string { return token },
		Report: func() *status.Report {
			r := &status.Report{Version: status.Version, Name: "tickets", Time: time.Now(), Started: time.Now(), Deliver: &status.Deliver{Half: status.Half{State: status.Delivering}}}
			if paused {
				r.Deliver.State = status.Paused
			}
			r.Judge()
			return r
		},
		History: func() []status.Point { return nil },
		Halves: []console.Half{{Name: "deliver", Paused: func() bool { return paused },
			Pause:  func(context.Context) error { paused = true; return nil },
			Resume: func(context.Context) error { paused = false; return nil },
		}},
	})
	if err := c.Bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	with := writeConfig(t, "http: {listen: \""+c.Addr()+"\", token: "+token+"}\n")
	without := writeConfig(t, "http: {listen: \""+c.Addr()+"\"}\n")
	wrong := writeConfig(t, "http: {listen: \""+c.Addr()+"\", token: another-token-of-this-test}\n")
	for _, step := range []struct {
		args string
		file string
		code int
		says string
	}{
		{"status", without, 0, "deliver    delivering"},
		{"status --json", without, 0, `"state":"delivering"`},
		{"pause deliver", wrong, 1, "needs the token of http.token"},
		{"pause", without, 1, "needs the token of http.token"},
		{"pause both", with, 2, "must be one of"},
		{"pause replicate", with, 1, "does not run in this process"},
		{"pause deliver", with, 0, "deliver is paused"},
		{"pause", with, 0, "was paused already"},
		{"status", with, 0, "resume it: binlogstreamer resume"},
		{"resume", with, 0, "deliver goes on"},
	} {
		r := invoke(t, append(strings.Fields(step.args), "-c", step.file)...)
		if r.code != step.code || !strings.Contains(r.stdout+r.stderr, step.says) || strings.Contains(r.stdout+r.stderr, token) {
			t.Errorf("%s: exit code %d, %s%s; want %d and %q", step.args, r.code, r.stdout, r.stderr, step.code, step.says)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if r := invoke(t, "status", "-c", without); r.code != exitFailed || !strings.Contains(r.lastLine(), "is the daemon running") {
		t.Errorf("without a daemon: %d %s", r.code, r.stderr)
	}
}
