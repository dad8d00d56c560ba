// Package check looks at everything a pipeline needs before it runs: the source's settings and privileges, the
// selected tables, the stream, the destination, the place for oversized records, the checkpoints. It promises one line an item, which says what was
// found and, where something is wrong, the statement or policy that cures it; and that looking changes nothing.
package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// State is how an item stands.
type State string

// The states. A warning is no fault: the pipeline runs, but not as well or as safely as it could.
const (
	OK   State = "ok"
	Warn State = "warn"
	Fail State = "FAIL"
)

// Result is what was found about one item.
type Result struct {
	Item  string
	State State
	Found string
	Cure  string // SQL, a policy, or words; may have several lines; empty when all is well
}

// String is the result as it is printed: a line, and the cure below it where there is one.
func (r Result) String() string {
	s := fmt.Sprintf("%-4s  %-20s  %s", r.State, r.Item, oneLine(r.Found))
	for line := range strings.Lines(r.Cure) {
		s += "\n      " + strings.Repeat(" ", 20) + "  → " + strings.TrimRight(line, "\n")
	}
	return s
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Config says what to look at. A nil part is left out.
type Config struct {
	Credentials *Credentials
	Source      *Source
	Stream      *Stream
	Destination *Destination
	Oversized   *Oversized
	Store       *Store
}

// Run looks at every part and reports each item as soon as it is known. It returns how many faults it found.
func Run(ctx context.Context, c Config, report func(Result)) (faults int) {
	r := &reporter{print: report}
	for _, part := range []interface {
		check(context.Context, *reporter)
	}{c.Credentials, c.Store, c.Source, c.Stream, c.Destination, c.Oversized} {
		part.check(ctx, r)
	}
	return r.faults
}

// reporter hands results on and counts the faults.
type reporter struct {
	print   func(Result)
	faults  int
	running bool // this pipeline's replicate holds its checkpoint
}

func (r *reporter) add(state State, item, found, cure string) {
	if state == Fail {
		r.faults++
	}
	r.print(Result{Item: item, State: state, Found: found, Cure: cure})
}

func (r *reporter) ok(item, format string, args ...any) {
	r.add(OK, item, fmt.Sprintf(format, args...), "")
}

// failed reports an error that carries its own cure or none.
func (r *reporter) failed(item string, err error, cure string) {
	if errors.Is(err, context.Canceled) {
		cure = ""
	}
	r.add(Fail, item, err.Error(), cure)
}
