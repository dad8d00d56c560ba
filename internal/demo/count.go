package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/verify"
)

// count has the objects compared with every row of every table, and prints what was found.
func (d *demo) count(ctx context.Context) error {
	d.view.phase("counting: replaying the objects and reading the tables")
	report, err := d.Verify(ctx, d.configFile(), d.log, d.counting)
	if err != nil {
		return err
	}
	size, sample, err := lookAt(ctx, d.path("objects"))
	if err != nil {
		return err
	}
	d.view.settle()
	d.summary(report, size, sample)
	for i := range report.Tables {
		d.result(&report.Tables[i])
	}
	for _, fault := range report.Faults {
		fmt.Fprintf(d.Out, "  %s %s\n", d.view.paint(red, "fault:"), fault)
	}
	return d.verdict(report)
}

// counting shows on a terminal how far the count is.
func (d *demo) counting(p verify.Progress) {
	what := "counting: " + p.Phase
	if p.Total > 0 {
		what += fmt.Sprintf(", %d %%", min(100, 100*p.Done/p.Total))
	}
	d.view.step(what)
}

// verdict says whether the objects, and nothing that is not among them, are what the tables hold.
func (d *demo) verdict(r *verify.Report) error {
	err := r.Incomplete()
	switch {
	case r.Faulty():
		d.Keep = true
		return fmt.Errorf("%w: %s; everything is kept in %s", ErrDiffer, differences(r), d.Dir)
	case err != nil:
		return fmt.Errorf("count: %w", err)
	case r.Tail > 0:
		return fmt.Errorf("count: %s of the stream are in no object, though everything was delivered", plural(r.Tail, "record"))
	}
	fmt.Fprintf(d.Out, "\n  %s\n", d.view.paint(green, "Objects and source agree, row by row and byte by byte."))
	return nil
}

// differences is how much is wrong.
func differences(r *verify.Report) string {
	var parts []string
	rows := int64(0)
	for i := range r.Tables {
		rows += differing(&r.Tables[i])
	}
	if rows > 0 {
		parts = append(parts, plural(rows, "row"))
	}
	if r.FaultCount > 0 {
		parts = append(parts, plural(r.FaultCount, "fault")+" of objects")
	}
	return strings.Join(parts, " and ")
}

func differing(t *verify.TableReport) int64 { return t.Missing + t.Extra + t.Different }

func (d *demo) summary(r *verify.Report, size int64, sample []byte) {
	out := d.Out
	fmt.Fprintf(out, "\n  objects    %s\n             %s, %s, %s records\n", d.path("objects"), plural(r.Objects, "object"), byteSize(size), thousands(r.Records))
	fmt.Fprintf(out, "  pipeline   %s\n", d.configFile())
	if sample != nil {
		fmt.Fprintf(out, "\n  one record of them:\n\n%s\n", indent(sample))
	}
	fmt.Fprintf(out, "\n  %-22s %12s %12s\n", "table", "source", "objects")
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

// result prints how one table came out.
func (d *demo) result(t *verify.TableReport) {
	verdict, differ := d.view.paint(green, "equal"), differing(t)
	switch {
	case differ > 0:
		verdict = d.view.paint(red, plural(differ, "row")+" differ")
	case t.NotCompared != "":
		verdict = d.view.paint(red, "not compared: "+t.NotCompared)
	}
	fmt.Fprintf(d.Out, "  %-22s %12s %12s  %s\n", t.Table, thousands(t.Rows), thousands(t.Rows-t.Missing+t.Extra), verdict)
	for _, row := range t.Differences {
		fmt.Fprintf(d.Out, "      %s: %s\n", row.Key, kinds[row.Kind])
		d.side("objects", row.Delivered)
		d.side("table", row.Source)
	}
	if more := differ - int64(len(t.Differences)); more > 0 {
		fmt.Fprintf(d.Out, "      … and %s more\n", thousands(more))
	}
}

// kinds are the kinds of difference in words.
var kinds = map[string]string{
	verify.Missing:   "in the table, not in the objects",
	verify.Extra:     "in the objects, not in the table",
	verify.Different: "the objects hold other values",
}

// side prints what one side holds of a row.
func (d *demo) side(name string, data json.RawMessage) {
	if data != nil {
		fmt.Fprintf(d.Out, "        %-8s %s\n", name, data)
	}
}

// indent prints a record for people.
func indent(line []byte) string {
	pretty, err := json.MarshalIndent(json.RawMessage(line), "    ", "  ")
	if err != nil {
		return string(line)
	}
	return "    " + string(pretty)
}
