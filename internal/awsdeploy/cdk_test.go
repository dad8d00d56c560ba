package awsdeploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

var deploy = filepath.Join("..", "..", "deploy")

// TestMain removes what the app was built in.
func TestMain(m *testing.M) {
	code := m.Run()
	if app.dir != "" {
		_ = os.RemoveAll(app.dir)
	}
	os.Exit(code)
}

// TestCDKApp runs the app's own tests.
func TestCDKApp(t *testing.T) {
	dir := built(t)
	out, err := node(t.Context(), dir, "dist/test/all.js")
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if !strings.Contains(out, "\n# fail 0\n") || strings.Contains(out, "\n# pass 0\n") {
		t.Errorf("no tests were run, or some failed:\n%s", out)
	}
}

// app is the CDK app, built and synthesized once for all tests of this package.
var app struct {
	once sync.Once
	dir  string // of its copy; where cdk.out is
	err  error
}

// built is the folder of the app's copy, compiled and synthesized as `npx cdk synth` does it.
func built(t *testing.T) string {
	t.Helper()
	app.once.Do(func() { app.dir, app.err = build(context.WithoutCancel(t.Context())) })
	if app.err != nil {
		t.Fatal(app.err)
	}
	return filepath.Join(app.dir, "deploy", "cdk")
}

// build copies deploy, so that nothing is left in the tree, and gives the copy the npm packages that the tests have.
func build(ctx context.Context) (dir string, err error) {
	packages := filepath.Join(dbserver.CacheDir(), "cdk", "node_modules")
	if _, err := os.Stat(packages); err != nil {
		return "", fmt.Errorf("the AWS CDK is not installed: %w; run scripts/install-test-servers", err)
	}
	if dir, err = os.MkdirTemp("", "bls-cdk-"); err != nil {
		return "", err
	}
	cdk := filepath.Join(dir, "deploy", "cdk")
	for _, name := range []string{"cdk", "ecs"} {
		if err := copyTree(filepath.Join(dir, "deploy", name), filepath.Join(deploy, name)); err != nil {
			return dir, err
		}
	}
	if err := os.Symlink(packages, filepath.Join(cdk, "node_modules")); err != nil {
		return dir, err
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return dir, err
	}
	for _, args := range [][]string{
		{"node_modules/typescript/bin/tsc"},
		{"node_modules/aws-cdk/bin/cdk", "synth", "--quiet", "--no-build"},
	} {
		if out, err := node(ctx, cdk, args...); err != nil {
			return dir, fmt.Errorf("%s: %w:\n%s", strings.Join(args, " "), err, out)
		}
	}
	return dir, nil
}

// node runs a program of npm in dir, in an environment without an AWS account.
func node(ctx context.Context, dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dbserver.CacheDir(), "bin", "cdk-node"), args...)
	cmd.Dir = dir
	tmp := filepath.Join(dir, "..", "..", "tmp")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + tmp, "TMPDIR=" + tmp, "CI=true", "NO_COLOR=1",
		"CDK_DISABLE_CLI_TELEMETRY=true", "CDK_DISABLE_VERSION_CHECK=true", "AWS_EC2_METADATA_DISABLED=true"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// copyTree copies what git would: not what a developer has installed or built there.
func copyTree(to, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case e.Name() == "node_modules" || e.Name() == "dist" || e.Name() == "cdk.out":
			continue
		case e.IsDir():
			err = copyTree(target, source)
		default:
			err = copyFile(target, source)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}

// template is the stack's template, as cdk synth has left it.
func template(t *testing.T) map[string]resource {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(built(t), "cdk.out", "*.template.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("templates %v, %v", files, err)
	}
	var doc struct{ Resources map[string]resource }
	mustRead(t, files[0], &doc)
	return doc.Resources
}

type resource struct {
	Type       string
	Properties map[string]any
}

func mustRead(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
