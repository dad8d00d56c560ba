package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with the configuration.
type Fault struct {
	Path    string // the key, from the root: stream.message_format; empty where the file as a whole is meant
	Line    int    // where it stands; 0 where the key is missing
	Value   string // what is written there, quoted; empty where there is nothing or where it must not be shown
	Problem string // what is wrong with it
	Cure    string // what to write instead
}

// String is the fault on one line.
func (f Fault) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	if f.Value != "" {
		b.WriteString(f.Value + " ")
	}
	b.WriteString(f.Problem)
	if f.Cure != "" {
		b.WriteString("; " + f.Cure)
	}
	return b.String()
}

// Faults is the error that Load returns for a file that can't be used. It holds everything that is wrong with it.
type Faults struct {
	File string
	List []Fault
}

// Error lists every fault, a line each.
func (f *Faults) Error() string {
	var b strings.Builder
	b.WriteString(f.Summary())
	for _, fault := range f.List {
		b.WriteString("\n  " + fault.String())
	}
	return b.String()
}

// Summary says how many faults there are, without listing them.
func (f *Faults) Summary() string {
	if len(f.List) == 1 {
		return f.File + " has a fault"
	}
	return fmt.Sprintf("%s has %d faults", f.File, len(f.List))
}

func (f *Faults) add(fault Fault) { f.List = append(f.List, fault) }

// orNil is the faults in file order as an error, or nil if there are none. What is missing comes last.
func (f *Faults) orNil() error {
	if len(f.List) == 0 {
		return nil
	}
	slices.SortStableFunc(f.List, func(a, b Fault) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Compare(a.Line, b.Line)
	})
	return f
}
