package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/verify"
)

// verifyCmd compares what was delivered with the tables.
type verifyCmd struct {
	configFlag
	Table          []string      `placeholder:"SCHEMA.TABLE" help:"Compare this table only; may be given several times."`
	Sample         share         `placeholder:"SHARE" help:"Look at a share of the keys, such as 5% or 0.05: the same ones on both sides."`
	Since          time.Time     `placeholder:"TIME" format:"2006-01-02T15:04:05Z07:00" help:"Leave objects alone that were stored before, such as 2026-01-02T15:04:05Z; rows without a record since are not covered."`
	MaxDifferences int           `default:"20" placeholder:"N" help:"How many differing rows to show of each table (default: 20)."`
	JSON           bool          `name:"json" help:"Print the report as JSON."`
	Restart        bool          `help:"Begin anew where an interrupted verify could be gone on with."`
	Wait           time.Duration `default:"10m" help:"How long to wait for replicate to send what the source has, and for loads to end (default: 10m)."`
	Readers        int           `default:"4" placeholder:"N" help:"Connections that read the source (default: 4)."`
}

// share is a part of the whole.
type share float64

// UnmarshalText reads 5% or 0.05.
func (s *share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	f, err := strconv.ParseFloat(number, 64)
	if percent {
		f /= 100
	}
	if err != nil || !(f > 0 && f <= 1) {
		return fmt.Errorf("%q is not a share: write one from above 0 to 1, or from above 0%% to 100%%", text)
	}
	*s = share(f)
	return nil
}

// Run verifies. The report goes to standard output, all else to standard error.
func (c *verifyCmd) Run(a *app) error {
	cfg, err := load(c.Config, config.Both)
	if err != nil {
		return err
	}
	keepMemoryBelow(int64(cfg.MemoryLimit))
	log := newLogger(a.stderr, cfg.Log, new(slog.LevelVar), newRegistry(cfg))
	display := newDisplay(a.stderr)
	defer display.end()
	what, stop, err := c.config(a.ctx, cfg, log)
	if err != nil {
		return err
	}
	defer stop()
	what.Progress = display.show
	report, err := verify.Run(a.ctx, what)
	display.end()
	switch _, unknown := errors.AsType[*verify.UnknownTableError](err); {
	case a.ctx.Err() != nil && err != nil:
		fmt.Fprintf(a.stderr, "binlogstreamer: verify was stopped; what it replayed and compared is kept in %s, and the same command goes on from there\n", cfg.Verify.WorkDir)
		return &interruptedError{context.Cause(a.ctx)}
	case unknown:
		return &usageError{err}
	case err != nil:
		return err
	}
	return c.tell(a.stdout, report)
}

// interruptedError is a verification that was stopped: another one goes on with it.
type interruptedError struct{ error }

// RestartHelps says that it goes on when it is started again.
func (*interruptedError) RestartHelps() bool { return true }

func (e *interruptedError) Unwrap() error { return e.error }

// tell prints the report and says how the command ends.
func (c *verifyCmd) tell(out io.Writer, r *verify.Report) error {
	if c.JSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return err
		}
	} else {
		printReport(out, r)
	}
	if r.Faulty() {
		return errFaultsFound
	}
	return r.Incomplete()
}

func printReport(out io.Writer, r *verify.Report) {
	for i := range r.Tables {
		printTable(out, &r.Tables[i])
	}
	for _, f := range r.Faults {
		fmt.Fprintf(out, "fault: %s\n", f)
	}
	if more := r.FaultCount - int64(len(r.Faults)); more > 0 {
		fmt.Fprintf(out, "fault: and %d more\n", more)
	}
	fmt.Fprintf(out, "\n%d records of %d objects and %d of the stream's tail, compared at %s", r.Records, r.Objects, r.Tail, r.Position)
	if r.Sample < 1 {
		fmt.Fprintf(out, ", a sample of %g%% of the keys", r.Sample*100)
	}
	if r.Since != nil {
		fmt.Fprintf(out, ", without objects from before %s", r.Since.Format(time.RFC3339))
	}
	fmt.Fprintln(out)
	if len(r.Unselected) > 0 {
		fmt.Fprintf(out, "the objects hold rows of tables that the table mappings do not select, which were not looked at: %s\n", strings.Join(r.Unselected, ", "))
	}
	if r.StandsStill {
		fmt.Fprintln(out, "with migration_type: full-load no changes are sent, so this is exact only while the source stands still: rows that were written to since the load differ")
	}
	if r.Faulty() {
		fmt.Fprintln(out, "what was delivered is not what the source has; binlogstreamer reload-table SCHEMA.TABLE sends a table again")
	} else if r.Incomplete() == nil {
		fmt.Fprintln(out, "what was delivered is what the source has")
	}
}

func printTable(out io.Writer, t *verify.TableReport) {
	fmt.Fprintf(out, "%-40s %12d rows compared  %d missing  %d extra  %d different", t.Schema+"."+t.Table, t.Rows, t.Missing, t.Extra, t.Different)
	if t.Cut > 0 {
		fmt.Fprintf(out, "  %d with LOBs cut", t.Cut)
	}
	if t.NotCovered > 0 {
		fmt.Fprintf(out, "  %d not covered", t.NotCovered)
	}
	fmt.Fprintln(out)
	if t.NotCompared != "" {
		fmt.Fprintf(out, "  not compared as a whole: %s\n", t.NotCompared)
	}
	if t.Note != "" {
		fmt.Fprintf(out, "  %s\n", t.Note)
	}
	for _, d := range t.Differences {
		fmt.Fprintf(out, "  %s: key %s\n", d.Kind, d.Key)
		for _, side := range []struct {
			name string
			data json.RawMessage
		}{{"delivered", d.Delivered}, {"source", d.Source}} {
			if side.data != nil {
				fmt.Fprintf(out, "    %-10s %s\n", side.name, side.data)
			}
		}
	}
	if more := t.Missing + t.Extra + t.Different - int64(len(t.Differences)); more > 0 {
		fmt.Fprintf(out, "  and %d more\n", more)
	}
}

// display shows how far a command is: a bar on a terminal, else a line from time to time.
type display struct {
	out   io.Writer
	bar   *progressbar.ProgressBar // nil: there is no terminal
	phase string
	last  time.Time
}

// between is the time between two lines where there is no terminal.
const between = 10 * time.Second

func newDisplay(out io.Writer) *display {
	d := &display{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		d.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(out), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true))
	}
	return d
}

func (d *display) show(p verify.Progress) {
	fresh := p.Phase != d.phase
	d.phase = p.Phase
	if d.bar == nil {
		if fresh || time.Since(d.last) >= between {
			d.last = time.Now()
			d.line(p)
		}
		return
	}
	if fresh {
		d.bar.Reset()
		d.bar.Describe(p.Phase)
	}
	if total := p.Total; total > 0 {
		d.bar.ChangeMax64(max(total, p.Done+1))
	} else {
		d.bar.ChangeMax64(-1)
	}
	_ = d.bar.Set64(p.Done) // a bar that cannot be drawn is no reason to stop
}

// line writes a line at once, since the log goes to the same place.
func (d *display) line(p verify.Progress) {
	line := "verify: " + p.Phase
	switch {
	case p.Total > 0:
		line += fmt.Sprintf(": %d of about %d %s", p.Done, p.Total, p.Unit)
	case p.Unit != "":
		line += fmt.Sprintf(": %d %s", p.Done, p.Unit)
	}
	if p.Note != "" {
		line += " (" + p.Note + ")"
	}
	fmt.Fprintln(d.out, line)
}

func (d *display) end() {
	if d.bar != nil {
		_ = d.bar.Finish()
		d.bar = nil
	}
}
