package awsdeploy

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// callers says where the calls to an AWS service come from, and which policies have to allow them: a package of the
// product and the service, as in "internal/dynamo dynamodb". Policies are files of deploy/ecs, or headings of
// docs/PERMISSIONS.md for what another configuration needs.
var callers = map[string][]string{
	"internal/kinesisout kinesis": {"policy-replicate.json"},
	"internal/kinesisin kinesis":  {"policy-deliver.json", "Verify"},
	"internal/s3sink s3":          {"policy-deliver.json"},
	"internal/s3sink/stored s3":   {"Verify"},
	"internal/dynamo dynamodb":    {"policy-replicate.json", "policy-deliver.json", "Checkpoints in DynamoDB"},
	// The same document in two kinds of store.
	"internal/checkpoint dynamodb":    {"policy-replicate.json", "policy-deliver.json", "Checkpoints in DynamoDB"},
	"internal/checkpoint s3":          {"Checkpoints in S3"},
	"internal/lease dynamodb":         {"policy-deliver.json"},
	"internal/secrets secretsmanager": {"policy-replicate.json"},
	"internal/secrets ssm":            {}, // source.ssm_parameter_name, which the pipeline of deploy/cdk does not have
	// It looks whether the halves may do what they do; the check task has the policies of both.
	"internal/check kinesis": {},
}

// permission is the IAM action of a call that has another name, or "" for one that nothing of AWS's own needs.
var permission = map[string]string{
	"s3:HeadObject":    "s3:GetObject",
	"s3:ListObjectsV2": "s3:ListBucket",
	// Only where the table is missing. The stack and the command in docs/PERMISSIONS.md make it beforehand.
	"dynamodb:CreateTable": "",
}

// TestPoliciesAllowWhatTheCodeCalls holds the policies against the code: each operation that a package of the product
// calls is allowed to the halves that run it, and a policy allows nothing else.
func TestPoliciesAllowWhatTheCodeCalls(t *testing.T) {
	called := operations(t)
	want := map[string]map[string]bool{}
	for caller, actions := range called {
		policies, known := callers[caller]
		if !known {
			t.Errorf("%s is called (%v): say in callers which half it runs in, and allow it in the policies", caller, slices.Sorted(maps.Keys(actions)))
		}
		for _, p := range policies {
			if want[p] == nil {
				want[p] = map[string]bool{}
			}
			maps.Copy(want[p], actions)
		}
	}
	for caller := range callers {
		if called[caller] == nil {
			t.Errorf("nothing is called by %s any more: take it out of callers", caller)
		}
	}
	for p, actions := range want {
		if diff := cmp.Diff(slices.Sorted(maps.Keys(actions)), allowed(t, p)); diff != "" {
			t.Errorf("%s does not allow what the code calls (-called +allowed):\n%s", p, diff)
		}
	}
	all := append(allowed(t, "policy-replicate.json"), allowed(t, "policy-deliver.json")...)
	for action := range called["internal/check kinesis"] {
		if !slices.Contains(all, action) {
			t.Errorf("check calls %s, which neither half does", action)
		}
	}
}

// operations finds the actions that each package of the product asks of each service: wherever the input of an
// operation is made, and where a request is written by hand.
func operations(t *testing.T) map[string]map[string]bool {
	t.Helper()
	found := map[string]map[string]bool{}
	root := filepath.Join("..", "..")
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			dir, err := filepath.Rel(root, filepath.Dir(file))
			if err != nil || isTestSupport(filepath.ToSlash(dir)) {
				return err
			}
			for service, operations := range namedIn(t, file) {
				key := filepath.ToSlash(dir) + " " + service
				if found[key] == nil {
					found[key] = map[string]bool{}
				}
				maps.Copy(found[key], operations)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// isTestSupport: test packages call what tests need, and the embedded stream answers calls rather than makes them.
func isTestSupport(dir string) bool {
	return strings.HasSuffix(dir, "test") || dir == "internal/testservers" || dir == "internal/faultproxy" || strings.HasPrefix(dir, "internal/localstream")
}

// target is the header of a request that is written without the SDK.
var target = regexp.MustCompile(`^"([A-Z][A-Za-z]+)_[0-9]{8}\.([A-Z][A-Za-z]+)"$`)

const services = "github.com/aws/aws-sdk-go-v2/service/"

func namedIn(t *testing.T, file string) map[string]map[string]bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	imported := map[string]string{} // service by the name it has in the file
	for _, i := range parsed.Imports {
		of, err := strconv.Unquote(i.Path.Value)
		if service, ok := strings.CutPrefix(of, services); err == nil && ok {
			name := path.Base(of)
			if i.Name != nil {
				name = i.Name.Name
			}
			imported[name] = service
		}
	}
	found := map[string]map[string]bool{}
	add := func(service, operation string) {
		action := service + ":" + operation
		if other, ok := permission[action]; ok {
			action = other
		}
		if found[service] == nil {
			found[service] = map[string]bool{}
		}
		if action != "" {
			found[service][action] = true
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncType, *ast.InterfaceType:
			return false // what could be called; calls make their input
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			operation, isInput := strings.CutSuffix(n.Sel.Name, "Input")
			if ok && isInput && imported[x.Name] != "" {
				add(imported[x.Name], operation)
			}
		case *ast.BasicLit:
			if m := target.FindStringSubmatch(n.Value); m != nil {
				add(strings.ToLower(m[1]), m[2])
			}
		}
		return true
	})
	return found
}

// policy is a policy document.
type policy struct {
	Version   string
	Statement []struct {
		Effect           string
		Action, Resource texts
	}
}

// texts is one text or a list of them.
type texts []string

func (l *texts) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(l))
	}
	*l = make(texts, 1)
	return json.Unmarshal(b, &(*l)[0])
}

// allowed is what a policy allows: that of a file of deploy/ecs, or the one under a heading of docs/PERMISSIONS.md.
func allowed(t *testing.T, name string) (actions []string) {
	t.Helper()
	read := documented
	if strings.HasSuffix(name, ".json") {
		read = func(t *testing.T, file string) string { return text(t, "ecs", file) }
	}
	source := read(t, name)
	var p policy
	if err := json.Unmarshal([]byte(source), &p); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, s := range p.Statement {
		if s.Effect != "Allow" || p.Version != "2012-10-17" {
			t.Errorf("%s has a statement of effect %q, version %q", name, s.Effect, p.Version)
		}
		for _, action := range s.Action {
			if strings.Contains(action, "*") {
				t.Errorf("%s allows %s: name each action", name, action)
			}
		}
		actions = append(actions, s.Action...)
	}
	slices.Sort(actions)
	return slices.Compact(actions)
}

// documented is the policy under a heading of docs/PERMISSIONS.md.
func documented(t *testing.T, heading string) string {
	t.Helper()
	_, section, found := strings.Cut(text(t, "..", "docs", "PERMISSIONS.md"), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, hasBlock := strings.Cut(section, "```json\n")
	block, _, _ = strings.Cut(block, "```\n")
	if !found || !hasBlock {
		t.Fatalf("docs/PERMISSIONS.md has no policy under %q", heading)
	}
	return block
}

// TestDocumentedPoliciesAreTheFiles: docs/PERMISSIONS.md shows the files, with words for ${WORD}.
func TestDocumentedPoliciesAreTheFiles(t *testing.T) {
	word := regexp.MustCompile(`\$\{([A-Z_]+)\}`)
	for heading, file := range map[string]string{"The replicate half": "policy-replicate.json", "The deliver half": "policy-deliver.json"} {
		want := word.ReplaceAllString(text(t, "ecs", file), "$1")
		if diff := cmp.Diff(want, documented(t, heading)); diff != "" {
			t.Errorf("docs/PERMISSIONS.md, %q, is not deploy/ecs/%s (-file +document):\n%s", heading, file, diff)
		}
	}
}
