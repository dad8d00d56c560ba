package mapping

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse: any document is either understood or refused with at least one fault, and a document that is understood
// answers every question.
func FuzzParse(f *testing.F) {
	seed, err := os.ReadFile(filepath.Join("testdata", "tickets.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, doc []byte) {
		r, err := Parse(doc)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || len(e.Faults) == 0 || r != nil {
				t.Fatalf("Parse = %v, %#v", r, err)
			}
			return
		}
		r.Selected("dms_sample", "ticket_purchase_hist")
		r.SelectedView("a", "")
		r.PartitionKey("a", "b")
		if r.Selected("mysql", "user") {
			t.Error("a system table is selected")
		}
		again, err := Parse(doc)
		if err != nil || again.Fingerprint() != r.Fingerprint() {
			t.Errorf("the same document gives another fingerprint, or %v", err)
		}
	})
}

// FuzzPattern compares the matcher with the regular expression that says the same.
func FuzzPattern(f *testing.F) {
	f.Add("a%[_]b_", "axx_bc")
	f.Add("%a%b%", "bab")
	f.Add("[a-d][xy]", "by")
	f.Add("%%", "")
	f.Fuzz(func(t *testing.T, source, name string) {
		p, err := parsePattern(source)
		if err != nil || !utf8.ValidString(name) || strings.ContainsRune(name, utf8.RuneError) {
			return
		}
		var re strings.Builder
		re.WriteString(`(?s)\A`)
		for _, part := range p.parts {
			switch {
			case part.run:
				re.WriteString(`.*`)
			case len(part.ranges) == 0:
				re.WriteString(`.`)
			default:
				re.WriteString(`(?:`)
				for i, s := range part.ranges {
					if i > 0 {
						re.WriteByte('|')
					}
					re.WriteString(`[` + class(s.from) + `-` + class(s.to) + `]`)
				}
				re.WriteString(`)`)
			}
		}
		re.WriteString(`\z`)
		x, err := regexp.Compile(re.String())
		if err != nil {
			t.Skip(err)
		}
		if got, want := p.match(name, false), x.MatchString(name); got != want {
			t.Errorf("pattern %q, name %q: %t, want %t", source, name, got, want)
		}
		if exact := exactly(name); !exact.match(name, false) {
			t.Errorf("exactly(%q) does not match itself", name)
		}
	})
}

// class is a character as a regular expression's class spells it.
func class(r rune) string {
	if strings.ContainsRune(`\]^-[`, r) {
		return `\` + string(r)
	}
	return string(r)
}
