package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// healthcheckCmd is for containers, which have no other program that could ask.
type healthcheckCmd struct {
	configFlag
	Timeout time.Duration `default:"3s" help:"How long to wait for an answer."`
}

func (c *healthcheckCmd) Run(a *app) error {
	listen, err := consoleAddress(c.Config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Timeout)
	defer cancel()
	return alive(ctx, "http://"+listen+"/healthz")
}

func alive(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("health check: %s answers %s", url, response.Status)
	}
	return nil
}

// reachable is an address to dial for one that is listened on: all addresses of the machine include its loopback.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
