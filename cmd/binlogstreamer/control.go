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
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// askFlags are those of commands that ask the daemon that runs with the same configuration on this machine.
type askFlags struct {
	configFlag
	Timeout time.Duration `default:"1m" help:"How long to wait for the answer."`
}

// reloadCmd asks for a table's reload.
type reloadCmd struct {
	askFlags
	Table string `arg:"" placeholder:"SCHEMA.TABLE" help:"The table, as the source writes it."`
}

func (c *reloadCmd) Run(a *app) error {
	return c.control(a, "/api/reload-table", "reload table "+c.Table, map[string]string{"table": c.Table})
}

// pauseCmd and resumeCmd ask a half to take nothing in, and to go on.
type pauseCmd struct {
	askFlags
	Half string `arg:"" optional:"" enum:"replicate,deliver," default:"" help:"replicate or deliver (default: what the daemon runs)."`
}

type resumeCmd struct {
	askFlags
	Half string `arg:"" optional:"" enum:"replicate,deliver," default:"" help:"replicate or deliver (default: what the daemon runs)."`
}

func (c *pauseCmd) Run(a *app) error {
	return c.control(a, "/api/pause", "pause", map[string]string{"half": c.Half})
}

func (c *resumeCmd) Run(a *app) error {
	return c.control(a, "/api/resume", "resume", map[string]string{"half": c.Half})
}

// control makes one control call and prints its result.
func (c *askFlags) control(a *app, path, what string, body any) error {
	cfg, err := consoleConfig(c.Config, config.Control)
	if err != nil {
		return err
	}
	token, err := consoleToken(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Timeout)
	defer cancel()
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	text, answered, err := ask(ctx, http.MethodPost, reachable(cfg.HTTP.Listen), path, token(), data)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	var answer struct{ Result, Error string }
	switch err := json.Unmarshal(text, &answer); {
	case err != nil || answer.Result == "" && answer.Error == "":
		return fmt.Errorf("%s: %s answers %s: %.200s", what, cfg.HTTP.Listen, answered, bytes.TrimSpace(text))
	case answer.Error != "":
		return fmt.Errorf("%s: %s", what, answer.Error)
	}
	fmt.Fprintln(a.stdout, answer.Result)
	return nil
}

// statusCmd prints what the status page shows.
type statusCmd struct {
	configFlag
	Timeout time.Duration `default:"10s" help:"How long to wait for the answer."`
	JSON    bool          `name:"json" help:"As JSON: docs/FORMATS.md describes it."`
}

func (c *statusCmd) Run(a *app) error {
	cfg, err := consoleConfig(c.Config, config.Console)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Timeout)
	defer cancel()
	text, answered, err := ask(ctx, http.MethodGet, reachable(cfg.HTTP.Listen), "/api/status", "", nil)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	var r status.Report
	if err := json.Unmarshal(text, &r); err != nil || r.Version == 0 {
		return fmt.Errorf("status: %s answers %s: %.200s", cfg.HTTP.Listen, answered, bytes.TrimSpace(text))
	}
	if c.JSON {
		_, err := a.stdout.Write(text)
		return err
	}
	_, err = io.WriteString(a.stdout, r.Text())
	return err
}

// consoleConfig is what of a configuration is about the console. The daemon has checked the rest, which may need what
// only the daemon has: its variables and files.
func consoleConfig(file string, what config.Half) (*config.Pipeline, error) {
	p, err := config.Load(file, os.LookupEnv, what)
	if err != nil {
		return nil, err
	}
	if p.HTTP.Listen == "" {
		return nil, &usageError{fmt.Errorf("%s has no http.listen, so the daemon cannot be asked", file)}
	}
	return p, nil
}

// consoleAddress is where the daemon of a configuration can be asked.
func consoleAddress(file string) (string, error) {
	p, err := consoleConfig(file, config.Console)
	if err != nil {
		return "", err
	}
	return reachable(p.HTTP.Listen), nil
}

// maxAnswer is more than the status of any daemon has.
const maxAnswer = 64 << 20

// ask makes one call of a running daemon.
func ask(ctx context.Context, method, address, path, token string, body []byte) (text []byte, answered string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, "", fmt.Errorf("%w; is the daemon running on this machine, with this configuration's http.listen?", err)
	}
	defer response.Body.Close()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return text, response.Status, err
}
