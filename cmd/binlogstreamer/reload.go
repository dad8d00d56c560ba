package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
)

// reloadCmd asks the daemon that runs with the same configuration on this machine.
type reloadCmd struct {
	configFlag
	Table   string        `arg:"" placeholder:"SCHEMA.TABLE" help:"The table, as the source writes it."`
	Timeout time.Duration `default:"1m" help:"How long to wait for the reload to begin."`
}

func (c *reloadCmd) Run(a *app) error {
	listen, err := consoleAddress(c.Config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Timeout)
	defer cancel()
	result, err := control(ctx, listen, "/api/reload-table", map[string]string{"table": c.Table})
	if err != nil {
		return fmt.Errorf("reload table %s: %w", c.Table, err)
	}
	fmt.Fprintln(a.stdout, result)
	return nil
}

// consoleAddress is where the daemon of a configuration listens. The daemon has checked the rest, which may need what
// only the daemon has: its variables and files.
func consoleAddress(file string) (string, error) {
	p, err := config.Load(file, os.LookupEnv, config.Console)
	if err != nil {
		return "", err
	}
	if p.HTTP.Listen == "" {
		return "", &usageError{fmt.Errorf("%s has no http.listen, so the daemon cannot be asked", file)}
	}
	return reachable(p.HTTP.Listen), nil
}

// control makes one call of a running daemon's control API.
func control(ctx context.Context, address, path string, body any) (string, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("%w; is the daemon running on this machine, with this configuration's http.listen?", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return "", err
	}
	var a struct{ Result, Error string }
	switch err := json.Unmarshal(text, &a); {
	case err != nil || a.Result == "" && a.Error == "":
		return "", fmt.Errorf("%s answers %s: %.200s", address, response.Status, bytes.TrimSpace(text))
	case a.Error != "":
		return "", fmt.Errorf("%s", a.Error)
	}
	return a.Result, nil
}
