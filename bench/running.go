package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"os/signal"
	"syscall"
)

// running is a child process with a step that goes on until it is told to end.
type running struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// startStep starts it.
func startStep(ctx context.Context, name string, p params) (*running, error) {
	cmd, err := stepWith(ctx, name, p)
	if err != nil {
		return nil, err
	}
	r := &running{cmd: cmd}
	r.cmd.Stdout = &r.out
	return r, r.cmd.Start()
}

// end has the step end in its own way, and gives what it measured.
func (r *running) end() (m measurement, err error) {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return m, err
	}
	if err := r.cmd.Wait(); err != nil {
		return m, err
	}
	if err := json.Unmarshal(r.out.Bytes(), &m); err != nil {
		return m, fmt.Errorf("result %q: %w", r.out.Bytes(), err)
	}
	return m, nil
}

// kill ends it in any case.
func (r *running) kill() {
	if r.cmd.ProcessState == nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	}
}

// untilTerminated is the context of such a step.
func untilTerminated(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGTERM)
}
