package hostdeploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
)

// units are the templates, with the command that each runs.
var units = map[string]string{"binlogstreamer@.service": "run", "binlogstreamer-replicate@.service": "replicate", "binlogstreamer-deliver@.service": "deliver"}

// exposure is the most that systemd-analyze security may say of a unit, of 10. What is left over is the network, which
// is the unit's purpose.
const exposure = 1.1

// unpacked is a folder in which the package and what its units refer to is unpacked.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run(t, nil, "dpkg-deb", "-x", debPackage(t), dir)
	for _, d := range []string{"bin", "etc/systemd/system"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/kill"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestUnitsAreAccepted has systemd read the units as they are installed. It warns where it does not know a setting.
func TestUnitsAreAccepted(t *testing.T) {
	dir := unpacked(t)
	for name := range units {
		instance := strings.Replace(name, "@", "@tickets", 1)
		if out := verify(t, dir, instance); out != "" {
			t.Errorf("systemd-analyze verify %s:\n%s", instance, out)
		}
	}
	// That it would say so:
	file := filepath.Join(dir, "usr/lib/systemd/system/binlogstreamer@.service")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "NoNewPrivileges=", "NoNewPrivilege=", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := verify(t, dir, "binlogstreamer@tickets.service"); !strings.Contains(out, "NoNewPrivilege") {
		t.Errorf("a setting that does not exist is accepted: %q", out)
	}
}

// verify gives what systemd says of our units; what the folder has not of the rest of a system is left out.
func verify(t *testing.T, dir, instance string) string {
	t.Helper()
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root="+dir, instance)
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatalf("systemd-analyze: %v (scripts/install-test-servers installs it)", err)
	}
	var ours []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "binlogstreamer") {
			ours = append(ours, line)
		}
	}
	if err != nil && len(ours) == 0 {
		return string(out)
	}
	return strings.Join(ours, "")
}

// TestUnitsAreConfined holds what systemd thinks of a unit's rights to what was reached.
func TestUnitsAreConfined(t *testing.T) {
	dir := unpacked(t)
	for name := range units {
		out := run(t, nil, "systemd-analyze", "security", "--offline=true", "--no-pager", "--root="+dir, strings.Replace(name, "@", "@tickets", 1))
		m := regexp.MustCompile(`Overall exposure level for \S+: (\d+\.\d+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("%s: no level in\n%s", name, out)
		}
		if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > exposure {
			t.Errorf("%s: the exposure level is %s, want at most %v\n%s", name, m[1], exposure, out)
		}
	}
}

// settings are a unit's, the last one of each name; Environment and the like have several.
func settings(t *testing.T, name string) map[string][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "deploy/systemd", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	options, err := unit.DeserializeOptions(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, o := range options {
		all[o.Section+"."+o.Name] = append(all[o.Section+"."+o.Name], o.Value)
	}
	return all
}

// TestUnitsAgree holds the units to each other, and to what the program does.
func TestUnitsAgree(t *testing.T) {
	reference := settings(t, "binlogstreamer@.service")
	differ := []string{"Unit.Description", "Unit.Conflicts", "Service.ExecStart", "Service.Environment"}
	for name, command := range units {
		s := settings(t, name)
		for key, value := range s {
			if !slices.Contains(differ, key) && !slices.Equal(value, reference[key]) {
				t.Errorf("%s: %s is %v, and %v in binlogstreamer@.service", name, key, value, reference[key])
			}
		}
		for key := range reference {
			if s[key] == nil {
				t.Errorf("%s has no %s", name, key)
			}
		}
		if got, want := s["Service.ExecStart"], "/usr/bin/binlogstreamer "+command+" -c /etc/binlogstreamer/%i.yaml"; !slices.Equal(got, []string{want}) {
			t.Errorf("%s starts %v, want %s", name, got, want)
		}
		if !slices.Contains(s["Service.Environment"], "GOTRACEBACK=crash") {
			t.Errorf("%s: a panic would end with 2, which is not started again", name)
		}
		for _, key := range []string{"TimeoutStopSec", "TimeoutStartSec"} {
			// Half a minute, in which the daemon asks for as much as it needs, and 5 s to leave.
			if d, err := time.ParseDuration(s["Service."+key][0]); err != nil || d < 60*time.Second {
				t.Errorf("%s: %s is %v, shorter than two times shutdown_grace", name, key, d)
			}
		}
		for key, want := range map[string]string{"Type": "notify", "Restart": "on-failure", "RestartPreventExitStatus": "2 3", "MemoryMax": "512M", "StateDirectory": "binlogstreamer/%i"} {
			if got := s["Service."+key]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %s is %v, want %s", name, key, got, want)
			}
		}
	}
}
