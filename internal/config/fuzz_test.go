package config

import (
	"errors"
	"os"
	"testing"
)

// FuzzParse feeds any text: it must end in a whole Pipeline or in a list of faults, without a panic.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/faulty.yaml", "../../deploy/examples/pipeline.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(minimal)
	f.Add("a: &a {<<: *a}\nb: [*a]")
	f.Add("replication: {table_mappings: &x [*x]}")
	f.Add("name: ${${A}}$${B}${\n? [a]\n: b\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("fuzz/pipeline.yaml", []byte(text), env("PW", "x"), Both)
		if err == nil {
			if p.Name == "" || p.Source.ServerID == 0 || p.Replication.Rules == nil || p.Checkpoint.Store == (Store{}) {
				t.Errorf("an incomplete pipeline: %+v", p)
			}
			return
		}
		faults, ok := errors.AsType[*Faults](err)
		if !ok || len(faults.List) == 0 {
			t.Errorf("err = %v, want faults", err)
		}
		for _, fault := range faults.List {
			if fault.Problem == "" {
				t.Errorf("a fault without a problem: %+v", fault)
			}
		}
	})
}

// FuzzExpand checks that text without variables stays as it is, but for $${.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"", "${A}", "$${A}", "$$${A}", "${", "a$b", "${A${A}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, missing, err := expand(s, env("A", "${A}"))
		if err == nil && len(missing) == 0 && len(out) > 2*len(s)+8 {
			t.Errorf("%q grew to %q", s, out)
		}
	})
}
