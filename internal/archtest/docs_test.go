package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link = regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`) // to a file; one that leads elsewhere has a colon
	// file is a path below the module's root as documents name it; a test's name behind a package is not part of it.
	file = regexp.MustCompile("`((?:internal|cmd|bench|docs|deploy|scripts)/[A-Za-z0-9_./-]+?)(?:\\.(?:Test|Fuzz)[^`]*)?`")
)

// TestDocumentsNameFilesThatExist holds the README and docs against the tree: what they link to, and the files and
// folders that they name, are there.
func TestDocumentsNameFilesThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	exists := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	check := func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if !exists(filepath.Join(filepath.Dir(path), m[1])) {
				t.Errorf("%s links to %s, which does not exist", path, m[1])
			}
		}
		for _, m := range file.FindAllStringSubmatch(string(text), -1) {
			if !exists(filepath.Join(root, m[1])) {
				t.Errorf("%s names %s, which does not exist", path, m[1])
			}
		}
	}
	check(filepath.Join(root, "README.md"))
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			check(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
