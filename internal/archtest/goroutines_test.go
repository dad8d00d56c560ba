package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// owner is a function as the table of goroutines names it: package.function, or package.Type.method.
var owner = regexp.MustCompile("`([a-z0-9]+)\\.([A-Za-z.]+)`")

// TestGoroutinesAreListed holds the table of goroutines against the code: every function outside of tests that starts
// one is an owner in it, and every owner starts one.
func TestGoroutinesAreListed(t *testing.T) {
	root := filepath.Join("..", "..")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "\n## Goroutines\n")
	table, _, _ = strings.Cut(table, "\n## ")
	ours, start := map[string]bool{}, map[string]bool{}
	for _, p := range packages(t) {
		if isTestSupport(p.path) {
			continue
		}
		name := path.Base(p.path)
		ours[name] = true
		for _, function := range starters(t, filepath.Join(root, filepath.FromSlash(p.path))) {
			start[name+"."+function] = true
			if !strings.Contains(table, "`"+name+"."+function+"`") {
				t.Errorf("%s.%s starts a goroutine that the table in docs/ARCHITECTURE.md does not have: say who waits for it, "+
					"and what stops it", name, function)
			}
		}
	}
	for _, m := range owner.FindAllStringSubmatch(table, -1) {
		if name := m[1] + "." + m[2]; ours[m[1]] && !start[name] {
			t.Errorf("the table of goroutines in docs/ARCHITECTURE.md has %s, which starts none", name)
		}
	}
}

// starters names the functions of a package, without its tests, that start goroutines, as Type.Method or as function.
func starters(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && starts(f) {
				names = append(names, nameOf(f))
			}
		}
	}
	return names
}

// starts looks for go statements, the Go of groups, and functions that are called at a time or when a context ends.
func starts(f *ast.FuncDecl) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = true
		case *ast.CallExpr:
			s, ok := n.Fun.(*ast.SelectorExpr)
			found = found || ok && (s.Sel.Name == "Go" || s.Sel.Name == "AfterFunc" || s.Sel.Name == "NotifyContext")
		}
		return !found
	})
	return found
}

func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	if id, ok := of.(*ast.Ident); ok {
		return id.Name + "." + f.Name.Name
	}
	return f.Name.Name
}
