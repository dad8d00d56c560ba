package archtest

import (
	"path"
	"strings"
	"testing"
)

// layer is how far up a package stands. Imports point to lower layers only.
type layer int

const (
	foundation layer = iota // knows nothing else of the project
	vocabulary              // what the rooms talk about, in terms of the foundation
	leaf                    // one job each
	assembly                // puts leaves together
	exhibit                 // shows what assemblies do
	program                 // commands and whole-system tests
)

// layers places the packages that are not leaves, by their path below the module. A package below another one
// belongs to its layer.
var layers = map[string]layer{
	"internal/backoff":     foundation,
	"internal/ctxsync":     foundation,
	"internal/heap":        foundation,
	"internal/outage":      foundation,
	"internal/requestbody": foundation,
	"internal/schema":      foundation,
	"internal/childproc":   foundation,

	"internal/record":   vocabulary,
	"internal/source":   vocabulary,
	"internal/dbserver": vocabulary,
	"internal/dynamo":   vocabulary,
	"internal/status":   vocabulary,

	"internal/check":    assembly,
	"internal/verify":   assembly,
	"internal/config":   assembly,
	"internal/pipeline": assembly,

	"internal/demo": exhibit,

	"cmd":          program,
	"bench":        program,
	"internal/e2e": program,
}

// exceptions are imports inside one layer, or upwards, with what earned them.
var exceptions = map[[2]string]string{}

// exclusive packages may be imported only by those under the given paths.
var exclusive = []struct {
	pkg   string
	users []string
	why   string
}{
	{"internal/config", []string{"cmd"},
		"only the commands know the configuration file; a package takes what it needs in a Config struct of its own"},
	{"github.com/go-mysql-org/go-mysql/replication", []string{"internal/binlog", "bench"},
		"only internal/binlog sees the replication library's types, so that its traps are handled in one place"},
	{"github.com/go-mysql-org/go-mysql/canal", []string{"bench"},
		"canal boxes every value; it is the baseline that we measure ourselves against"},
	{"github.com/alecthomas/kong", []string{"cmd"}, "flags belong to the commands"},
	{"go.yaml.in/yaml/v3", []string{"internal/config"}, "YAML is read in one place"},
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.imports {
			if top(imported) == top(p.path) || exceptions[[2]string{p.path, imported}] != "" || isTestSupport(p.path) {
				continue
			}
			if from, to := layerOf(p.path), layerOf(imported); to >= from {
				t.Errorf("%s imports %s: both stand in layer %d, or the second one higher (%d). Imports point one way "+
					"(cmd, then demo, then pipeline, config, check and verify, then leaves, then record, then schema, backoff and ctxsync), and leaves do not know each other: "+
					"declare an interface where it is used, or pass the value in", p.path, imported, from, to)
			}
		}
	}
}

func TestExclusivePackages(t *testing.T) {
	for _, p := range packages(t) {
		for _, rule := range exclusive {
			if !contains(append(p.imports, p.foreign...), rule.pkg) || under(p.path, rule.pkg) {
				continue
			}
			if !underAny(p.path, rule.users) {
				t.Errorf("%s imports %s, which only %v may: %s", p.path, rule.pkg, rule.users, rule.why)
			}
		}
	}
}

func TestProductHasNoTestSupport(t *testing.T) {
	for _, p := range packages(t) {
		if isTestSupport(p.path) || layerOf(p.path) == program && top(p.path) != "cmd" {
			continue
		}
		for _, imported := range append(p.imports, p.foreign...) {
			if isTestSupport(imported) || imported == "testing" || strings.HasPrefix(imported, "go.uber.org/goleak") {
				t.Errorf("%s imports %s outside its tests: test support does not belong in the product", p.path, imported)
			}
		}
	}
}

// isTestSupport is true for packages that exist for tests only: testservers, faultproxy, and those named like checkpointtest.
func isTestSupport(pkg string) bool {
	return pkg == "internal/testservers" || pkg == "internal/faultproxy" || strings.HasPrefix(pkg, "internal/") && strings.HasSuffix(pkg, "test")
}

func layerOf(pkg string) layer {
	for p := pkg; p != "."; p = path.Dir(p) {
		if l, ok := layers[p]; ok {
			return l
		}
	}
	return leaf
}

// top is the room that a package belongs to: internal/localstream for internal/localstream/shardlog.
func top(pkg string) string {
	parts := strings.SplitN(pkg, "/", 3)
	if parts[0] == "internal" && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func under(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func underAny(pkg string, folders []string) bool {
	for _, f := range folders {
		if under(pkg, f) {
			return true
		}
	}
	return false
}

func contains(list []string, pkg string) bool {
	for _, p := range list {
		if p == pkg {
			return true
		}
	}
	return false
}
