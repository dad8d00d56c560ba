package hostdeploy

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
)

var root = filepath.Join("..", "..")

// built is what the Dockerfile's RUN makes, in /out there; made once.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// dockerfile parses the Dockerfile as Docker does, and fails at what Docker's own linter says.
func dockerfile(t *testing.T) (stages []instructions.Stage, meta []instructions.ArgCommand) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, description, _, message string, at []parser.Range) {
		t.Errorf("Dockerfile, line %d: %s: %s (%s)", at[0].Start.Line, rule, message, description)
	}})
	stages, meta, err = instructions.Parse(tree.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	return stages, meta
}

// commands are a stage's of one kind.
func commands[T any](s instructions.Stage) (found []T) {
	for _, c := range s.Commands {
		if c, ok := c.(T); ok {
			found = append(found, c)
		}
	}
	return found
}

// TestDockerfile holds the image to its rules: nothing in it but the binary and what it needs, no root, and a health check
// that needs no other program.
func TestDockerfile(t *testing.T) {
	stages, meta := dockerfile(t)
	if len(stages) != 2 || stages[1].BaseName != "scratch" {
		t.Fatalf("there are %d stages, the last one from %s; want a build, and scratch", len(stages), stages[len(stages)-1].BaseName)
	}
	if len(meta) != 1 || meta[0].Args[0].Key != "GO_IMAGE" || !regexp.MustCompile(`^golang:1\.\d+-[a-z]+$`).MatchString(meta[0].Args[0].ValueString()) {
		t.Errorf("GO_IMAGE must name the toolchain by minor version and distribution: %+v", meta)
	}
	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if minor := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindSubmatch(goMod); !strings.HasPrefix(meta[0].Args[0].ValueString(), "golang:"+string(minor[1])+"-") {
		t.Errorf("the image has another Go than go.mod: %s, %s", meta[0].Args[0].ValueString(), minor[1])
	}
	final := stages[1]
	if runs := commands[*instructions.RunCommand](final); len(runs) > 0 {
		t.Errorf("there is nothing to RUN with in scratch: %v", runs)
	}
	if users := commands[*instructions.UserCommand](final); len(users) != 1 || users[0].User != "65532:65532" {
		t.Errorf("USER must be a number that is not root's, so that Kubernetes' runAsNonRoot can tell: %v", users)
	}
	for _, c := range commands[*instructions.CopyCommand](final) {
		if c.From != "build" {
			t.Errorf("%s copies from the context: everything comes from the build", c)
		}
	}
	checks := commands[*instructions.HealthCheckCommand](final)
	if len(checks) != 1 || !slices.Equal(checks[0].Health.Test, []string{"CMD", "/binlogstreamer", "healthcheck", "-c", "/etc/binlogstreamer/pipeline.yaml"}) {
		t.Errorf("HEALTHCHECK must ask by the binary itself: %+v", checks)
	}
	entry, cmd := commands[*instructions.EntrypointCommand](final), commands[*instructions.CmdCommand](final)
	if len(entry) != 1 || entry[0].PrependShell || len(cmd) != 1 || cmd[0].PrependShell {
		t.Error("ENTRYPOINT and CMD must be lists: there is no shell")
	}
	labels := map[string]bool{}
	for _, c := range commands[*instructions.LabelCommand](final) {
		for _, l := range c.Labels {
			labels[l.Key] = true
		}
	}
	for _, name := range []string{"title", "description", "licenses", "source", "documentation", "version", "revision"} {
		if !labels["org.opencontainers.image."+name] {
			t.Errorf("label org.opencontainers.image.%s is missing", name)
		}
	}
}

// binary is the image's binary, made by the commands of the Dockerfile's RUN from what .dockerignore lets through.
func binary(t *testing.T) string {
	t.Helper()
	stages, _ := dockerfile(t)
	built.once.Do(func() { built.dir, built.err = buildAsDocker(stages[0]) })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "out", "binlogstreamer")
}

func buildAsDocker(build instructions.Stage) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "bls-image-"); err != nil {
		return "", err
	}
	src := filepath.Join(dir, "src")
	if err := copyContext(src); err != nil {
		return dir, err
	}
	runs := commands[*instructions.RunCommand](build)
	script := strings.Join(runs[len(runs)-1].CmdLine, " ")
	script = strings.ReplaceAll(script, "/out/", filepath.Join(dir, "out")+"/")
	cmd := exec.Command("/bin/sh", "-euc", script)
	cmd.Dir = src
	cmd.Env = append(os.Environ(), "VERSION=test", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return dir, nil
}

// copyContext copies what docker build would be sent.
func copyContext(to string) error {
	text, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		return err
	}
	ignored := strings.Fields(string(text))
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case slices.Contains(ignored, filepath.ToSlash(name)) && d.IsDir():
			return fs.SkipDir
		case slices.Contains(ignored, filepath.ToSlash(name)):
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		file, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), file, 0o644)
	})
}

// TestBinaryIsStatic looks for what would have to be loaded beside it.
func TestBinaryIsStatic(t *testing.T) {
	path := binary(t)
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a segment %s", p.Type)
		}
	}
	if s := f.Section(".dynamic"); s != nil {
		t.Error("it has a section .dynamic")
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
		t.Error("symbols are not stripped")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mib := info.Size() >> 20; mib > 60 {
		t.Errorf("it has %d MiB", mib)
	}
}

// TestImageRuns runs the binary as the image does: in a folder that holds nothing else, with an empty environment, as user
// 65532.
func TestImageRuns(t *testing.T) {
	image := t.TempDir()
	port, err := childproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("name: t\nstream: {name: t, endpoint: embedded}\ndelivery: {destination: 'file:///var/lib/binlogstreamer/o', custom_time_zone: Europe/Berlin}\n"+
		"checkpoint: {store: 'file:///var/lib/binlogstreamer/state'}\nhttp: {listen: '127.0.0.1:%d'}\n", port)
	put := func(name string, data []byte, mode fs.FileMode) {
		t.Helper()
		path := filepath.Join(image, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
	}
	put("binlogstreamer", text, 0o755)
	put("etc/binlogstreamer/pipeline.yaml", []byte(config), 0o644)
	state := filepath.Join(image, "var/lib/binlogstreamer")
	for _, dir := range []string{state, filepath.Join(image, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		if err := os.Chown(state, 65532, 65532); err != nil {
			t.Fatal(err)
		}
		for dir := image; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) { // the test's folder is for root alone
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, err := inside(image, "version").Output(); err != nil || !strings.HasPrefix(string(out), "binlogstreamer test") {
		t.Fatalf("version prints %q, %v", out, err)
	}
	check := []string{"healthcheck", "-c", "/etc/binlogstreamer/pipeline.yaml"}
	if err := inside(image, check...).Run(); err == nil {
		t.Error("healthy before it runs")
	}
	daemon := inside(image, "deliver", "-c", "/etc/binlogstreamer/pipeline.yaml")
	var log bytes.Buffer
	daemon.Stderr = &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	for deadline := time.Now().Add(30 * time.Second); inside(image, check...).Run() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("it does not become healthy")
		}
		time.Sleep(50 * time.Millisecond) // between attempts
	}
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Wait(); err != nil {
		t.Errorf("it ends with %v\n%s", err, log.String())
	}
	if _, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second); err == nil {
		t.Error("somebody still listens")
	}
}

// inside is the program in a container without anything. Who is not root becomes 65532 in a user namespace.
func inside(image string, args ...string) *exec.Cmd {
	cmd := exec.Command("/binlogstreamer", args...)
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: image}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65532, Gid: 65532}
		return cmd
	}
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 65532, HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 65532, HostID: os.Getgid(), Size: 1}}
	return cmd
}
