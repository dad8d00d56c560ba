package hostdeploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// run runs a command of the system and fails with what it says.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v (what is missing is installed by scripts/install-test-servers)\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

var packaged struct {
	once sync.Once
	path string
}

// debPackage is the .deb of the image's binary.
func debPackage(t *testing.T) string {
	t.Helper()
	program := binary(t)
	packaged.once.Do(func() {
		dir := filepath.Join(built.dir, "packages")
		run(t, nil, filepath.Join(root, "scripts", "package"), "deb", program, dir, "v1.2.3-4-gabcdef")
		found, err := filepath.Glob(filepath.Join(dir, "*.deb"))
		if err != nil || len(found) != 1 {
			t.Fatalf("packages made: %v, %v", found, err)
		}
		packaged.path = found[0]
	})
	if packaged.path == "" {
		t.Fatal("the package could not be made")
	}
	return packaged.path
}

// TestPackageHolds looks at what is in the .deb: which files, whose, and with which rights.
func TestPackageHolds(t *testing.T) {
	path := debPackage(t)
	var files []string
	line := regexp.MustCompile(`^(\S+) (\S+) +\d+ \S+ \S+ \.(/\S*[^/\s])$`)
	for l := range strings.Lines(run(t, nil, "dpkg-deb", "-c", path)) {
		if m := line.FindStringSubmatch(strings.TrimSpace(l)); m != nil {
			files = append(files, m[1]+" "+m[2]+" "+m[3])
		}
	}
	slices.Sort(files)
	want := []string{
		"-rw-r----- root/root /etc/binlogstreamer/example.yaml",
		"-rw-r----- root/root /etc/binlogstreamer/table-mappings.json",
		"-rw-r--r-- root/root /usr/lib/systemd/system/binlogstreamer-deliver@.service",
		"-rw-r--r-- root/root /usr/lib/systemd/system/binlogstreamer-replicate@.service",
		"-rw-r--r-- root/root /usr/lib/systemd/system/binlogstreamer@.service",
		"-rw-r--r-- root/root /usr/lib/sysusers.d/binlogstreamer.conf",
		"-rw-r--r-- root/root /usr/share/doc/binlogstreamer/copyright",
		"-rw-r--r-- root/root /usr/share/doc/binlogstreamer/pipeline.yaml",
		"-rwxr-xr-x root/root /usr/bin/binlogstreamer",
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("what is in it (-want +got):\n%s", diff)
	}
	for field, want := range map[string]string{"Package": "binlogstreamer", "Version": "1.2.3+4.gabcdef", "Depends": "systemd (>= 252)"} {
		if got := strings.TrimSpace(run(t, nil, "dpkg-deb", "-f", path, field)); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	conffiles := run(t, nil, "dpkg-deb", "-I", path, "conffiles")
	if got := strings.Fields(conffiles); !slices.Equal(got, []string{"/etc/binlogstreamer/example.yaml", "/etc/binlogstreamer/table-mappings.json"}) {
		t.Errorf("files that an upgrade must not overwrite: %v", got)
	}
}

// dpkg runs dpkg for a system in a folder, whose maintainer scripts see that folder as DPKG_ROOT.
func dpkg(t *testing.T, system string, args ...string) {
	t.Helper()
	// The test's folder has no systemd package, which is what is depended on.
	run(t, nil, "dpkg", append([]string{"--root=" + system, "--force-script-chrootless", "--force-depends", "--force-not-root",
		"--log=" + filepath.Join(system, "dpkg.log")}, args...)...)
}

// system is a folder with what dpkg and sysusers need of a system.
func system(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"var/lib/dpkg/status": "", "var/lib/dpkg/available": "", "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPackageInstalls installs the package into a folder, again over a changed configuration, and removes it.
func TestPackageInstalls(t *testing.T) {
	path, dir := debPackage(t), system(t)
	dpkg(t, dir, "-i", path)
	users, err := os.ReadFile(filepath.Join(dir, "etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	user := regexp.MustCompile(`(?m)^binlogstreamer:x:(\d+):(\d+):[^:]*:/var/lib/binlogstreamer:/usr/sbin/nologin$`).FindStringSubmatch(string(users))
	if user == nil {
		t.Fatalf("the user is not there:\n%s", users)
	}
	example := filepath.Join(dir, "etc/binlogstreamer/example.yaml")
	for file, mode := range map[string]os.FileMode{example: 0o640, filepath.Dir(example): os.ModeDir | 0o750} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || info.Mode() != mode || strconv.Itoa(int(stat.Gid)) != user[2] || stat.Uid != uint32(os.Getuid()) {
			t.Errorf("%s: %v of %d:%d, want %v of the group %s", file, info.Mode(), stat.Uid, stat.Gid, mode, user[2])
		}
	}

	if err := os.WriteFile(example, []byte("name: mine\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "etc/binlogstreamer/table-mappings.json")); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "var/lib/binlogstreamer/mine/state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	dpkg(t, dir, "-i", path)
	if text, err := os.ReadFile(example); err != nil || string(text) != "name: mine\n" {
		t.Errorf("an upgrade leaves %q, %v", text, err)
	}
	dpkg(t, dir, "--purge", "binlogstreamer")
	if _, err := os.Stat(filepath.Join(dir, "usr/bin/binlogstreamer")); err == nil {
		t.Error("the program is still there")
	}
	if _, err := os.Stat(state); err != nil {
		t.Errorf("checkpoints are gone: %v", err)
	}
}

// TestPackageScripts sees which commands the scripts give where systemd runs: none that starts or restarts anything.
func TestPackageScripts(t *testing.T) {
	for _, c := range []struct {
		script string
		arg    string
		want   string
	}{
		{"preremove.sh", "upgrade", ""},
		{"preremove.sh", "1", ""},
		{"preremove.sh", "remove", "systemctl stop binlogstreamer@*.service binlogstreamer-replicate@*.service binlogstreamer-deliver@*.service\n"},
		{"preremove.sh", "0", "systemctl stop binlogstreamer@*.service binlogstreamer-replicate@*.service binlogstreamer-deliver@*.service\n"},
		{"postremove.sh", "remove", "systemctl daemon-reload\n"},
	} {
		text, err := os.ReadFile(filepath.Join(root, "deploy/package", c.script))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		calls := filepath.Join(dir, "calls")
		stub := "#!/bin/sh\necho systemctl \"$@\" >>" + calls + "\n"
		if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(stub), 0o755); err != nil {
			t.Fatal(err)
		}
		script := strings.ReplaceAll(string(text), "/run/systemd/system", dir)
		run(t, []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "DPKG_ROOT="}, "/bin/sh", "-c", script, c.script, c.arg)
		got, err := os.ReadFile(calls)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("%s %s calls %q, want %q", c.script, c.arg, got, c.want)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy/package/postinstall.sh"))
	if err != nil {
		t.Fatal(err)
	}
	if verb := regexp.MustCompile(`systemctl \S*(start|restart|enable|reload-or|stop)`).Find(text); verb != nil {
		t.Errorf("an installation does %q", verb)
	}
}

// TestRPM is made, too, and holds the same.
func TestRPM(t *testing.T) {
	dir := t.TempDir()
	out := run(t, nil, filepath.Join(root, "scripts", "package"), "rpm", binary(t), dir, "abcdef")
	found, err := filepath.Glob(filepath.Join(dir, "binlogstreamer-0~abcdef-1.*.rpm"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages made: %v, %v\n%s", found, err, out)
	}
}
