package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
)

// buildsEnv hands the folder for binaries to the process that TestMain becomes.
const buildsEnv = "BINLOGSTREAMER_E2E_BUILDS"

func TestMain(m *testing.M) {
	if underRace() {
		fmt.Fprintln(os.Stderr, "the harness goes on without the race detector:", withoutRace())
		os.Exit(1)
	}
	code := m.Run()
	if dir, err := builds(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// withoutRace turns this process into the same tests built without the race detector. It is in the processes that are
// tested, where it belongs; under it the harness itself, which decodes millions of records with encoding/json, would take
// as much time as all of these together. It returns only if that fails.
func withoutRace() error {
	dir, err := builds()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "harness")
	if out, err := exec.Command("go", "test", "-c", "-o", path, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	return syscall.Exec(path, append([]string{path}, os.Args[1:]...), append(os.Environ(), buildsEnv+"="+dir))
}
