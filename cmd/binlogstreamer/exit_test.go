package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
)

func TestGistIsTheLastLine(t *testing.T) {
	var out bytes.Buffer
	finish(errors.Join(errors.New("put records: access denied"), errors.New("unlock: gone")), &out)
	if got := out.String(); got != "  unlock: gone\nbinlogstreamer: put records: access denied\n" {
		t.Errorf("printed %q", got)
	}
}

type passed struct{ error }

func (passed) RestartHelps() bool { return true }

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitDone},
		{errHelp, exitDone},
		{fmt.Errorf("x: %w", errFaultsFound), exitFaults},
		{&usageError{errors.New("x")}, exitUsage},
		{fmt.Errorf("x: %w", &config.Faults{}), exitUsage},
		{fmt.Errorf("x: %w", passed{errors.New("y")}), exitTemporary},
		{errors.New("x"), exitFailed},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
	var out bytes.Buffer
	finish(errors.New("put records: access denied; grant kinesis:PutRecords"), &out)
	if got := out.String(); got != "binlogstreamer: put records: access denied; grant kinesis:PutRecords\n" {
		t.Errorf("last line %q", got)
	}
}

func TestStoppedBySignal(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStopped)
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitDone},
		{errStopped, exitDone},
		{named("replicate", errStopped), exitDone},
		{fmt.Errorf("flush: %w", context.DeadlineExceeded), exitTemporary},
		{errors.New("disk full"), exitFailed},
		{errors.Join(errStopped, errors.New("disk full")), exitFailed},
	} {
		if got := exitCode(stopped(ctx, c.err, &config.Pipeline{})); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
	for unread, cure := range map[string]bool{"": true, "4911": false} { // more time helps only where time was short
		err := stopped(ctx, named("deliver", &pipeline.UnstoredError{Records: 3, Unread: unread}), &config.Pipeline{})
		if exitCode(err) != exitTemporary || strings.Contains(err.Error(), "shutdown_grace") != cure || !strings.Contains(err.Error(), unread) {
			t.Errorf("with %q unread: exit code %d, %v", unread, exitCode(err), err)
		}
	}
	if err := stopped(t.Context(), context.DeadlineExceeded, nil); exitCode(err) != exitFailed {
		t.Errorf("without a signal, running out of time is a failure: %v", err)
	}
}

func TestBesideStopsServicesAfterWork(t *testing.T) {
	var order []string
	service := func(ctx context.Context) error {
		<-ctx.Done()
		order = append(order, "service")
		return nil
	}
	err := beside(t.Context(), []func(context.Context) error{service}, func(context.Context) error {
		order = append(order, "work")
		return nil
	})
	if err != nil || strings.Join(order, " ") != "work service" {
		t.Errorf("order %v, %v", order, err)
	}
	broken := errors.New("disk full")
	err = beside(t.Context(), []func(context.Context) error{func(context.Context) error { return broken }}, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, broken) {
		t.Errorf("a failed service must end the work with its error, got %v", err)
	}
}
