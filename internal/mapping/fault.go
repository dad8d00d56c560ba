package mapping

import (
	"fmt"
	"strings"
)

// Error is returned by Parse. It lists every fault of the document.
type Error struct{ Faults []Fault }

// Fault is one thing that is wrong with a table-mapping document.
type Fault struct {
	Rule  string // e.g. "rule-id 2"; "" if it is about the whole document
	Key   string // e.g. "object-locator.schema-name"; may be ""
	Value string // the value as it is written, shortened; may be ""
	Cure  string // what is wrong with it and what to write instead
}

// Error is one line per fault.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table mappings: %d fault", len(e.Faults))
	if len(e.Faults) != 1 {
		b.WriteByte('s')
	}
	for _, f := range e.Faults {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// String is the fault in one line.
func (f Fault) String() string {
	var parts []string
	for _, s := range []string{f.Rule, f.Key, f.Value} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if len(parts) == 0 {
		return f.Cure
	}
	return strings.Join(parts, " ") + ": " + f.Cure
}

// faults collects what is wrong with a document. The rule that faults are about is set as the parser goes along.
type faults struct {
	rule string
	all  []Fault
}

func (f *faults) add(key, value, format string, args ...any) {
	const most = 80
	if r := []rune(value); len(r) > most {
		value = string(r[:most]) + "…"
	}
	f.all = append(f.all, Fault{Rule: f.rule, Key: key, Value: value, Cure: fmt.Sprintf(format, args...)})
}
