package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// errStopped is the cause of a context that a signal ended. It is a cancellation for whoever asks.
var errStopped = fmt.Errorf("stopped by a signal: %w", context.Canceled)

// withSignals returns a context that the first SIGTERM or SIGINT ends. The second one ends the process at once:
// nothing depends on a clean stop, since the next start goes on from what was saved.
func withSignals(ctx context.Context, stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	over := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-signals:
			cancel(errStopped)
		case <-over:
			return
		}
		select {
		case s := <-signals:
			fmt.Fprintf(stderr, "binlogstreamer: ended at once by a second signal (%v); the next start goes on from the last checkpoint\n", s)
			os.Exit(exitFailed)
		case <-over:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		<-done
		cancel(nil)
	}
}
