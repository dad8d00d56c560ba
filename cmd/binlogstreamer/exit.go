package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
)

// The exit codes. They are part of the command's contract: supervisors and scripts look at them.
const (
	exitDone      = 0  // done, or stopped with everything acknowledged saved
	exitFailed    = 1  // an operator must look
	exitUsage     = 2  // command line or configuration
	exitFaults    = 3  // check or verify found faults
	exitTemporary = 75 // stopped while temporarily unable to go on: start it again
)

// usageError is a command line that can't be understood.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// errFaultsFound is returned by a command that looked for faults and printed those it found.
var errFaultsFound = errors.New("faults were found")

// passing is implemented by errors that pass by themselves.
type passing interface {
	error
	RestartHelps() bool
}

// exitCode is the only place that knows which error gives which code.
func exitCode(err error) int {
	switch {
	case err == nil, errors.Is(err, errHelp):
		return exitDone
	case errors.Is(err, errFaultsFound):
		return exitFaults
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*config.Faults](err); ok {
		return exitUsage
	}
	if t, ok := errors.AsType[passing](err); ok && t.RestartHelps() {
		return exitTemporary
	}
	return exitFailed
}

// finish tells a failure on standard error, with what to do as the last line, and returns the exit code.
func finish(err error, stderr io.Writer) int {
	code := exitCode(err)
	switch {
	case code == exitDone, code == exitFaults:
	default:
		if faults, ok := errors.AsType[*config.Faults](err); ok {
			for _, f := range faults.List {
				fmt.Fprintf(stderr, "  %s\n", f)
			}
			fmt.Fprintf(stderr, "binlogstreamer: %s: correct what is listed above and start again\n", faults.Summary())
			break
		}
		tell(err, stderr)
	}
	return code
}

// tell prints an error so that its gist is the last line: what else it has to say, such as the end of another
// program's log, comes before.
func tell(err error, stderr io.Writer) {
	gist, more, _ := strings.Cut(err.Error(), "\n")
	for line := range strings.Lines(more) {
		fmt.Fprintf(stderr, "  %s\n", strings.TrimRight(line, "\n"))
	}
	fmt.Fprintf(stderr, "binlogstreamer: %s\n", gist)
}
