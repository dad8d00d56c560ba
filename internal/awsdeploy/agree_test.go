package awsdeploy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/itchyny/gojq"
)

// words are what the files of deploy/ecs are filled in with, so that they say the same as the stack does.
func words(t *testing.T) map[string]string {
	return map[string]string{
		"ACCOUNT": "111122223333", "REGION": "eu-west-1", "NAME": "tickets", "REPOSITORY": "binlogstreamer", "TAG": "1.0.0",
		"STREAM": "<Stream>", "TABLE": "<Checkpoints>", "BUCKET": "<Bucket>", "SECRET_ARN": "<ReplicationUserAttachment>",
		"SOURCE_HOST": "<Source.Endpoint.Address>", "SOURCE_PORT": "<Source.Endpoint.Port>",
		"PIPELINE": text(t, "cdk", "pipeline.yaml"), "TABLE_MAPPINGS": text(t, "cdk", "table-mappings.json"),
	}
}

func text(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{deploy}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rendered is a file of deploy/ecs, filled in by render.jq as a user does it.
func rendered(t *testing.T, file string, words map[string]string) (any, error) {
	t.Helper()
	query, err := gojq.Parse(text(t, "ecs", "render.jq"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := gojq.Compile(query, gojq.WithEnvironLoader(func() (env []string) {
		for word, value := range words {
			env = append(env, word+"="+value)
		}
		return env
	}))
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	mustRead(t, filepath.Join(deploy, "ecs", file), &doc)
	out, _ := code.RunWithContext(t.Context(), doc).Next()
	if err, failed := out.(error); failed {
		return nil, err
	}
	return out, nil
}

// files are the documents of deploy/ecs.
func files(t *testing.T) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(deploy, "ecs", "*.json"))
	if err != nil || len(paths) < 6 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return names
}

func TestFilesNeedEachWord(t *testing.T) {
	used := map[string]bool{}
	for _, file := range files(t) {
		for _, m := range regexp.MustCompile(`\$\{([A-Z_]+)\}`).FindAllStringSubmatch(text(t, "ecs", file), -1) {
			used[m[1]] = true
			short := words(t)
			delete(short, m[1])
			if _, err := rendered(t, file, short); err == nil || !strings.Contains(err.Error(), "set and export "+m[1]) {
				t.Errorf("%s without %s: %v", file, m[1], err)
			}
		}
		if _, err := rendered(t, file, words(t)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for word := range words(t) {
		if !used[word] {
			t.Errorf("no file has ${%s}", word)
		}
	}
}

// TestPoliciesAgree holds the policies of the stack against the files, with everything filled in.
func TestPoliciesAgree(t *testing.T) {
	stack := template(t)
	for id, file := range map[string]string{
		"ReplicatePolicy": "policy-replicate.json", "DeliverPolicy": "policy-deliver.json", "ExecutionPolicy": "policy-execution.json",
	} {
		want := mustRender(t, file)
		if diff := cmp.Diff(want, plain(named(t, stack, "AWS::IAM::ManagedPolicy", id)["PolicyDocument"]), anyOrder); diff != "" {
			t.Errorf("%s and the stack's %s differ (-file +stack):\n%s", file, id, diff)
		}
	}
}

// anyOrder: the actions and resources of a statement are sets.
var anyOrder = cmpopts.SortSlices(func(a, b any) bool {
	x, isText := a.(string)
	y, areTexts := b.(string)
	return isText && areTexts && x < y
})

// TestTrustAgrees: the stack's roles are taken up by whom the file says, and by nobody else.
func TestTrustAgrees(t *testing.T) {
	want := mustRender(t, "trust-policy.json").(map[string]any)
	delete(want["Statement"].([]any)[0].(map[string]any), "Sid") // the library gives trust no name
	roles := 0
	for id, r := range template(t) {
		if r.Type != "AWS::IAM::Role" {
			continue
		}
		roles++
		if diff := cmp.Diff(any(want), plain(r.Properties["AssumeRolePolicyDocument"])); diff != "" {
			t.Errorf("%s (-file +stack):\n%s", id, diff)
		}
	}
	if roles < 5 {
		t.Errorf("the stack has %d roles", roles)
	}
}

// TestTaskDefinitionsAgree: what runs without the CDK is what runs with it.
func TestTaskDefinitionsAgree(t *testing.T) {
	stack := template(t)
	for half, id := range map[string]string{"replicate": "Replicate", "deliver": "Deliver"} {
		want := mustRender(t, "task-"+half+".json").(map[string]any)
		got := camel(plain(named(t, stack, "AWS::ECS::TaskDefinition", id))).(map[string]any)
		// The roles have other names; which policies they have, the app's own tests say.
		for _, role := range []string{"executionRoleArn", "taskRoleArn"} {
			if want[role] == nil || got[role] == nil {
				t.Errorf("%s: %s is %v in the file and %v in the stack", half, role, want[role], got[role])
			}
			delete(want, role)
			delete(got, role)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("task-%s.json and the stack differ (-file +stack):\n%s", half, diff)
		}
	}
}

func mustRender(t *testing.T, file string) any {
	t.Helper()
	doc, err := rendered(t, file, words(t))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return doc
}

// hash ends the ids that the CDK makes of those in its code.
var hash = regexp.MustCompile(`[0-9A-F]{8}$`)

// named is the resource that has the id in the app's code.
func named(t *testing.T, stack map[string]resource, kind, id string) map[string]any {
	t.Helper()
	for key, r := range stack {
		if r.Type == kind && hash.ReplaceAllString(key, "") == id {
			return r.Properties
		}
	}
	t.Fatalf("the stack has no %s %s", kind, id)
	return nil
}

// plain is a part of a template as CloudFormation would see it: references to resources become <Id> or <Id.Attribute>.
func plain(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case map[string]any:
		if text, ok := intrinsic(v); ok {
			return text
		}
		out := map[string]any{}
		for key := range v {
			out[key] = plain(v[key])
		}
		return out
	}
	return v
}

var pseudo = map[string]string{"AWS::Partition": "aws", "AWS::Region": "eu-west-1", "AWS::AccountId": "111122223333", "AWS::URLSuffix": "amazonaws.com"}

func intrinsic(v map[string]any) (string, bool) {
	if len(v) != 1 {
		return "", false
	}
	if id, ok := v["Ref"].(string); ok {
		if known, ok := pseudo[id]; ok {
			return known, true
		}
		return reference(id), true
	}
	if join, ok := v["Fn::Join"].([]any); ok {
		var b strings.Builder
		for _, part := range join[1].([]any) {
			fmt.Fprint(&b, plain(part))
		}
		return b.String(), true
	}
	if get, ok := v["Fn::GetAtt"].([]any); ok {
		return fmt.Sprintf("<%s.%s>", hash.ReplaceAllString(get[0].(string), ""), get[1]), true
	}
	return "", false
}

// logGroups are referred to, and have names that don't depend on the stack.
var logGroups = map[string]string{"ReplicateLog": "/binlogstreamer/tickets/replicate", "DeliverLog": "/binlogstreamer/tickets/deliver"}

func reference(id string) string {
	id = hash.ReplaceAllString(id, "")
	if name, ok := logGroups[id]; ok {
		return name
	}
	return "<" + id + ">"
}

// camel writes keys as the ECS API has them. CloudFormation's begin with a capital, but for those of options, which are
// not its own.
func camel(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = camel(v[i])
		}
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			if key == "Tags" {
				continue
			}
			out[strings.ToLower(key[:1])+key[1:]] = camel(value)
		}
		return out
	}
	return v
}

// TestFilesAreFormatted keeps the files readable: two spaces, and one line feed at the end.
func TestFilesAreFormatted(t *testing.T) {
	for _, file := range files(t) {
		s := text(t, "ecs", file)
		if !json.Valid([]byte(s)) || strings.Contains(s, "\t") || !strings.HasSuffix(s, "}\n") {
			t.Errorf("%s is not JSON with two spaces and a line feed at its end", file)
		}
	}
}
