package localstream

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// runServingChild makes the test binary a process that serves a directory until it is killed, if it was started as
// such.
func runServingChild() bool {
	dir := os.Getenv("LOCALSTREAM_TEST_DIR")
	if dir == "" {
		return false
	}
	n, err := New(Config{Dir: dir, Stream: "s", Shards: 3, SegmentBytes: 20_000, Logger: quiet()})
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err = n.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}
