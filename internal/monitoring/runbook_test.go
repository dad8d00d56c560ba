package monitoring

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// book is docs/RUNBOOK.md.
type book struct {
	text     string
	sections map[string]string // by anchor, with all that is below a heading up to the next one
}

func (b *book) has(anchor string) bool { return len(strings.TrimSpace(b.sections[anchor])) > 80 }

var heading = regexp.MustCompile("(?m)^#+ (.+)$")

func runbook(t *testing.T) *book {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "RUNBOOK.md"))
	if err != nil {
		t.Fatal(err)
	}
	b := &book{text: string(text), sections: map[string]string{}}
	at := heading.FindAllStringSubmatchIndex(b.text, -1)
	for i, m := range at {
		end := len(b.text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		b.sections[anchorOf(b.text[m[2]:m[3]])] = b.text[m[1]:end]
	}
	return b
}

var dropped = regexp.MustCompile("[^a-z0-9 _-]")

// anchorOf is how GitHub links to a heading.
func anchorOf(title string) string {
	return strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}

var inside = regexp.MustCompile(`\]\(#([^)]+)\)`)

// TestRunbookLinksInside follows the links from one paragraph of the runbook to another.
func TestRunbookLinksInside(t *testing.T) {
	b := runbook(t)
	links := inside.FindAllStringSubmatch(b.text, -1)
	if len(links) == 0 {
		t.Error("no links were found")
	}
	for _, m := range links {
		if _, ok := b.sections[m[1]]; !ok {
			t.Errorf("docs/RUNBOOK.md links to #%s, which is not there", m[1])
		}
	}
}

// untold are errors that no operator sees, each with the reason.
var untold = map[string]string{
	"lease.ErrChanged":         "whoever loses a race for a lease looks again",
	"dbserver.ErrNotInstalled": "of the demonstration and of tests; it names what to install",
	"demo.ErrDiffer":           "of the demonstration",
	"s3sink.ErrExists":         "an object that is there already is looked at and gone on from",
	"s3sink.ErrNotFound":       "the answer to a question",
	"s3sink.ErrNoMeta":         "an object of somebody else, which is passed over and counted",
	"snapshot.ErrVoid":         "the chunk is read again",
	"snapshot.ErrGivenUp":      "a load that is not wanted any more ends in silence",
	"source.ErrNoOtherLogin":   "the server's own refusal is told",
	"record.ErrNoEnvelope":     "such records are stored as they are",
	"kinesisout.ErrStopped":    "who ended the writer has the reason",
	"checkpoint.ErrNotFound":   "a new pipeline",
	"checkpoint.ErrName":       "a fault of this program",
	"shardlog.ErrSealed":       "the embedded stream answers as Kinesis does of a closed shard",
	"shardlog.ErrClosed":       "the embedded stream is ending",
	"shardlog.ErrTrimmed":      "the embedded stream answers with what is left, as Kinesis does",
	"dedupe.ErrState":          "the state is made anew from the stream",
}

// TestErrorsAreInTheRunbook looks for every exported error of the program in the runbook, by its name in the code.
func TestErrorsAreInTheRunbook(t *testing.T) {
	b := runbook(t)
	found := map[string]bool{}
	for _, name := range exportedErrors(t) {
		found[name] = true
		_, isUntold := untold[name]
		if told := strings.Contains(b.text, "`"+name+"`"); told == isUntold {
			t.Errorf("%s: in docs/RUNBOOK.md: %v, and among those that no operator sees: %v. Say there what it means and what to do", name, told, isUntold)
		}
	}
	if len(found) < 40 {
		t.Errorf("only %d errors were found", len(found))
	}
	for _, m := range regexp.MustCompile("`([a-z0-9]+\\.(?:Err[A-Z]\\w*|[A-Z]\\w*Error|Error|Faults))`").FindAllStringSubmatch(b.text, -1) {
		if !found[m[1]] {
			t.Errorf("docs/RUNBOOK.md has %s, which the code does not", m[1])
		}
	}
	for name := range untold {
		if !found[name] {
			t.Errorf("%s does not exist any more", name)
		}
	}
}

// exportedErrors lists package.Name of exported values that begin with Err and of types that are errors.
func exportedErrors(t *testing.T) (names []string) {
	t.Helper()
	support := []string{"testservers", "faultproxy", "checkpointtest", "sinktest", "leasetest", "e2e", "schematest"}
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && slices.Contains(support, d.Name()) {
			return cmpErr(err, fs.SkipDir)
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			for _, name := range errorsOf(d) {
				names = append(names, file.Name.Name+"."+name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

func errorsOf(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if name := receiver(d); d.Name.Name == "Error" && ast.IsExported(name) {
			return []string{name}
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			v, ok := s.(*ast.ValueSpec)
			if !ok || d.Tok != token.VAR {
				continue
			}
			for _, n := range v.Names {
				if strings.HasPrefix(n.Name, "Err") {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	if id, ok := of.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// TestExitCodesAreInTheRunbook compares the table of exit codes with cmd/binlogstreamer/exit.go.
func TestExitCodesAreInTheRunbook(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "cmd", "binlogstreamer", "exit.go"))
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`(?m)^\s+exit\w+\s+= (\d+)`).FindAllStringSubmatch(string(text), -1)
	if len(codes) < 5 {
		t.Errorf("%d exit codes were found", len(codes))
	}
	section := runbook(t).sections["exit-codes"]
	for _, c := range codes {
		if !strings.Contains(section, "\n| "+c[1]+" |") {
			t.Errorf("docs/RUNBOOK.md does not tell of exit code %s", c[1])
		}
	}
}

// lossLine is a call of a logger that says severity=DATALOSS; its first argument begins the line.
var lossLine = regexp.MustCompile(`(?s)\.(?:Error|Warn)\((".*?").{0,400}?"severity", "DATALOSS"`)

// TestEveryLossIsInTheRunbook looks for each line of the log that tells of lost data.
func TestEveryLossIsInTheRunbook(t *testing.T) {
	b, lines := runbook(t).sections["binlogstreamerdataloss"], 0
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, part := range strings.Split(string(text), "\nfunc ") { // so that no match reaches into another function
			for _, m := range lossLine.FindAllStringSubmatch(part, -1) {
				lines++
				says, err := strconv.Unquote(m[1])
				if err != nil {
					return err
				}
				begin, _, _ := strings.Cut(says, ";")
				begin, _, _ = strings.Cut(begin, ":")
				if !strings.Contains(b, begin) {
					t.Errorf("docs/RUNBOOK.md does not tell of %q, which %s logs as a loss of data", begin, path)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if lines < 5 {
		t.Errorf("%d lines were found", lines)
	}
}
