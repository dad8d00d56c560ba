package testservers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
)

// PrometheusServer is a private Prometheus.
type PrometheusServer struct {
	URL     string // http://host:port
	process *childproc.Process
}

// Prometheus starts a Prometheus with a configuration file's text, beside which files of more are written.
func Prometheus(t testing.TB, config string, more map[string][]byte) *PrometheusServer {
	t.Helper()
	program, err := prometheusProgram("prometheus")
	if err != nil {
		t.Fatal(missing("prometheus", err))
	}
	dir := tempDir(t)
	log := filepath.Join(dir, "server.log")
	for name, text := range more {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(port int) (*childproc.Process, error) {
		return childproc.Start(childproc.Command{Path: program, Log: log, Dir: dir, Args: []string{"--config.file", file,
			"--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", "127.0.0.1:" + strconv.Itoa(port), "--log.level", "warn"}})
	}
	process, port, err := startOn(t.Context(), 0, start, answersReady)
	if err != nil {
		t.Fatal(fmt.Errorf("start prometheus: %w", err))
	}
	t.Cleanup(process.Kill)
	printLogOnFailure(t, "prometheus", log)
	return &PrometheusServer{URL: "http://127.0.0.1:" + strconv.Itoa(port), process: process}
}

// Promtool runs promtool and gives what it said.
func Promtool(t testing.TB, args ...string) (string, error) {
	t.Helper()
	program, err := prometheusProgram("promtool")
	if err != nil {
		t.Fatal(missing("promtool", err))
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	return string(out), err
}

func prometheusProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return installed("prometheus", "usr", "bin", name)
}

// answersReady waits until Prometheus has read its files.
func answersReady(ctx context.Context, port int) error {
	status, err := probeHTTP(ctx, port, "/-/ready")
	if err == nil && status != http.StatusOK {
		err = errors.New(strconv.Itoa(status) + " " + http.StatusText(status))
	}
	return err
}

// Get asks the HTTP API, and gives the answer's data.
func (p *PrometheusServer) Get(ctx context.Context, path string, parameters url.Values) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+path+"?"+parameters.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s: %w", resp.Status, err)
	}
	if answer.Status != "success" {
		return nil, errors.New(answer.Error)
	}
	return answer.Data, nil
}
