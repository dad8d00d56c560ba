package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/binlogstreamer/binlogstreamer/"

// pkg is one package of the project.
type pkg struct {
	path    string   // below the module
	name    string   // as the package clause has it, without _test
	doc     string   // the package comment
	imports []string // packages of the project that its product files import, below the module
	foreign []string // other packages that its product files import
}

// packages reads every package of the project from its source.
func packages(t *testing.T) []pkg {
	t.Helper()
	all, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found %d packages only: is this still the module's root?", len(all))
	}
	return all
}

var readOnce = sync.OnceValues(func() ([]pkg, error) {
	root := filepath.Join("..", "..")
	found := map[string]*pkg{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		return readFile(found, root, path)
	})
	var all []pkg
	for _, p := range found {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b pkg) int { return strings.Compare(a.path, b.path) })
	return all, err
})

func readFile(found map[string]*pkg, root, path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return err
	}
	dir, err := filepath.Rel(root, filepath.Dir(path))
	if err != nil {
		return err
	}
	dir = filepath.ToSlash(dir)
	p := found[dir]
	if p == nil {
		p = &pkg{path: dir, name: strings.TrimSuffix(file.Name.Name, "_test")}
		found[dir] = p
	}
	if file.Doc != nil {
		p.doc += file.Doc.Text()
	}
	if !strings.HasSuffix(path, "_test.go") {
		p.addImports(file.Imports)
	}
	return nil
}

func (p *pkg) addImports(specs []*ast.ImportSpec) {
	for _, spec := range specs {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the compiler says it better
		}
		if own, ok := strings.CutPrefix(imported, module); ok {
			p.imports = append(p.imports, own)
		} else {
			p.foreign = append(p.foreign, imported)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	const enough = 80 // characters; less is a label, not a purpose and a promise
	for _, p := range packages(t) {
		start := "Package " + p.name + " "
		if p.name == "main" {
			start = "Command "
		}
		switch {
		case !strings.Contains(p.doc, start):
			t.Errorf("%s has no package comment that begins with %q: say what it is for and what it promises", p.path, start)
		case len(p.doc) < enough:
			t.Errorf("the comment of %s is too short to say what it is for and what it promises: %q", p.path, p.doc)
		}
	}
}
