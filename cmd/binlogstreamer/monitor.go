package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/console"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// monitor is what this process says of itself. It is there before the parts are, so that it keeps their first warnings.
type monitor struct {
	cfg     *config.Pipeline
	started time.Time
	events  *status.Events
	parts   *parts
	history *status.History
}

// monitored makes a monitor, and a log that it listens to.
func monitored(cfg *config.Pipeline, log *slog.Logger) (*monitor, *slog.Logger) {
	m := &monitor{cfg: cfg, started: time.Now(), events: status.NewEvents(log.Handler())}
	return m, slog.New(m.events)
}

// watch begins to report what the parts do.
func (m *monitor) watch(p *parts) {
	m.parts = p
	m.history = status.NewHistory(m.sample)
}

// report is the model that the page, the API, the status command and the demonstration draw from.
func (m *monitor) report() *status.Report {
	r := &status.Report{
		Version: status.Version, Name: m.cfg.Name, Program: buildVersion(),
		Time: time.Now().UTC().Truncate(time.Millisecond), Started: m.started.UTC().Truncate(time.Millisecond),
		Events: m.events.Latest(),
	}
	if m.parts.replicate != nil {
		r.Replicate = m.parts.replicate.Status()
	}
	if m.parts.deliver != nil {
		r.Deliver = m.parts.deliver.Report()
	}
	r.Judge()
	return r
}

func (m *monitor) sample() status.Sample {
	s := status.Sample{Time: time.Now()}
	if m.parts.replicate != nil {
		r := m.parts.replicate.Status()
		s.SourceLag, s.TargetLag = r.SourceLag, r.TargetLag
		s.Changes, s.LoadRows, s.Throttled = r.Changes, r.LoadRows, r.Throttled
	}
	if m.parts.deliver != nil {
		d := m.parts.deliver.Report()
		s.Freshness, s.Objects = d.Freshness, d.Objects
	}
	return s
}

// console is the page with all that it shows and controls.
func (m *monitor) console(c console.Config) (console.Config, error) {
	token, err := consoleToken(m.cfg)
	if err != nil {
		return c, err
	}
	c.Report, c.History, c.Token, c.Hosts = m.report, m.history.Points, token, m.cfg.HTTP.AllowedHosts
	if r := m.parts.replicate; r != nil {
		c.Halves = append(c.Halves, console.Half{Name: "replicate", Pause: r.Pause, Resume: r.Resume, Paused: r.Paused})
	}
	if d := m.parts.deliver; d != nil {
		c.Halves = append(c.Halves, console.Half{Name: "deliver", Pause: d.Pause, Resume: d.Resume, Paused: d.Paused})
	}
	return c, nil
}

// beyondThisMachine says whether an address takes clients from elsewhere.
func beyondThisMachine(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "localhost" {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || !ip.IsLoopback()
}

// consoleToken gives what control calls must show; "" where nothing is configured. A token in a file is read again
// whenever it is asked for, so that it can be exchanged; as long as the file cannot be read, the former token counts.
func consoleToken(cfg *config.Pipeline) (func() string, error) {
	if cfg.HTTP.TokenFile == "" {
		return cfg.HTTP.Token.Reveal, nil
	}
	last, err := readToken(cfg)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // covers last
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		if token, err := readToken(cfg); err == nil {
			last = token
		}
		return last
	}, nil
}

func readToken(cfg *config.Pipeline) (string, error) {
	path := cfg.HTTP.TokenFile
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read http.token_file: %w; put the token there, and let the daemon's user read it", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < config.MinToken {
		return "", fmt.Errorf("http.token_file %s holds a token of less than %d characters: take one that cannot be guessed: openssl rand -base64 24", path, config.MinToken)
	}
	return token, nil
}
