package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// named is a test as docs/HAZARDS.md names it: package, function, subtest.
var named = regexp.MustCompile("`((?:internal|cmd|bench)[a-z0-9/]*)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)(?:/([^`]+))?`")

// TestHazardsNameTestsThatExist holds the index of hazards against the code: every one of them is there, and every test
// that it names exists.
func TestHazardsNameTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "HAZARDS.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{} // text of a package's test files
	for _, m := range named.FindAllStringSubmatch(string(doc), -1) {
		pkg, function, subtest := m[1], m[2], m[3]
		if _, ok := tests[pkg]; !ok {
			tests[pkg] = testFiles(t, filepath.Join(root, filepath.FromSlash(pkg)))
		}
		if !strings.Contains(tests[pkg], "\nfunc "+function+"(") {
			t.Errorf("docs/HAZARDS.md names %s.%s, which does not exist", pkg, function)
		}
		if subtest != "" && !strings.Contains(tests[pkg], strconv.Quote(subtest)) {
			t.Errorf("docs/HAZARDS.md names the subtest %q of %s.%s, which does not exist", subtest, pkg, function)
		}
	}
	for n := 1; n <= 23; n++ {
		_, line, found := strings.Cut(string(doc), "\n| "+strconv.Itoa(n)+" | ")
		line, _, _ = strings.Cut(line, "\n")
		if !found || !named.MatchString(line) && !strings.Contains(line, "cannot be provoked") {
			t.Errorf("docs/HAZARDS.md says of hazard %d neither which test provokes it nor that it cannot be provoked", n)
		}
	}
}

func testFiles(t *testing.T, dir string) string {
	t.Helper()
	files, err := fs.Glob(os.DirFS(dir), "*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
