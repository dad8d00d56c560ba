package status

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Text is the report for a terminal. What comes from elsewhere is shown without control characters.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, binlogstreamer %s, running for %s\n", clean(r.Name), clean(r.Program), Seconds(r.Time.Sub(r.Started).Seconds()))
	if len(r.Problems) == 0 {
		b.WriteString("all is well\n")
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%-7s %s: %s\n        → %s\n", p.Level, p.Half, clean(p.What), clean(p.Cure))
	}
	if r.Replicate != nil {
		r.Replicate.text(&b)
	}
	if r.Deliver != nil {
		r.Deliver.text(&b, r)
	}
	return b.String()
}

func (r *Replicate) text(b *strings.Builder) {
	fmt.Fprintf(b, "\nreplicate  %s  %s → %s\n", r.State, clean(r.Source), clean(r.Stream))
	lag := "unknown"
	if r.LagKnown() {
		lag = Seconds(r.SourceLag)
	}
	fmt.Fprintf(b, "  lag      source %s, target %s\n", lag, Seconds(r.TargetLag))
	if r.Position.File != "" {
		fmt.Fprintf(b, "  saved    %s:%d; binlog %s\n", clean(r.Position.File), r.Position.Offset, r.Retention)
	}
	fmt.Fprintf(b, "  sent     %s changes, %s rows of full load; %s records throttled\n", Count(r.Changes), Count(r.LoadRows), Count(r.Throttled))
	if len(r.Tables) == 0 {
		return
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "table\tstate\tfull load\tinserts\tupdates\tdeletes\tddls")
	for _, row := range r.Tables {
		fmt.Fprintf(t, "%s.%s\t%s\t%s\t%s\t%s\t%s\t%s\n", clean(row.Schema), clean(row.Table), row.State, row.Load,
			Count(row.Inserts), Count(row.Updates), Count(row.Deletes), Count(row.DDLs))
	}
	_ = t.Flush() // into a Builder
}

func (d *Deliver) text(b *strings.Builder, r *Report) {
	fmt.Fprintf(b, "\ndeliver    %s  %s → %s\n", d.State, clean(d.Stream), clean(d.Destination))
	fmt.Fprintf(b, "  oldest   not stored yet: %s; the stream keeps it: %s\n", Seconds(d.Freshness), d.Retention)
	fmt.Fprintf(b, "  stored   %s objects, %s\n", Count(d.Objects), Bytes(d.ObjectBytes))
	if len(d.Latest) > 0 {
		fmt.Fprintf(b, "  newest   %s, %s\n", clean(d.Latest[0].Key), Ago(r.Time, d.Latest[0].Stored))
	}
	if len(d.Shards) == 0 {
		return
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "shard\tread by\tbehind\toldest\theld")
	for _, s := range d.Shards {
		if !s.Here {
			fmt.Fprintf(t, "%s\t%s\t–\t–\t–\n", clean(s.Shard), clean(s.Owner))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s records\n", clean(s.Shard), clean(s.Owner), Seconds(s.Behind), Seconds(s.Freshness), Count(s.Records))
	}
	_ = t.Flush() // into a Builder
}

// String says how far a load is; nil: there is none.
func (l *Load) String() string {
	if l == nil {
		return "none"
	}
	s := Count(l.Rows) + " rows"
	if l.Share != nil {
		s = fmt.Sprintf("%.0f %%, %s", 100**l.Share, s)
	}
	if l.Remaining != nil {
		s += ", about " + Seconds(*l.Remaining) + " left"
	}
	return s
}

// clean takes away what would move a terminal's cursor, or reorder what it shows.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n', c == '\t':
			return ' '
		case c < ' ', c >= 0x7f && c < 0xa0, c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069:
			return '·'
		}
		return c
	}, s)
}
