package hostdeploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// TestCompose reads the Compose file as Compose does, against the specification's schema, and looks at what it says.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "deploy", "compose", "compose.yaml")}, cli.WithoutEnvironmentResolution)
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mysql", "kinesis", "s3", "binlogstreamer", "prometheus", "grafana"} {
		if _, ok := project.Services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
	pinned := regexp.MustCompile(`:v?\d+(\.\d+)*$`)
	for name, s := range project.Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s: the image %s has no version", name, s.Image)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s listens on %q, with passwords that everybody knows", name, p.Published, p.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v; Docker would make an empty folder of it", name, err)
			}
			if !v.ReadOnly {
				t.Errorf("%s: %s can be written to", name, v.Source)
			}
		}
	}
	daemon := project.Services["binlogstreamer"]
	if daemon.StopGracePeriod == nil || time.Duration(*daemon.StopGracePeriod) < 2*25*time.Second {
		t.Errorf("stop_grace_period %v is shorter than what shutdown_grace asks for", daemon.StopGracePeriod)
	}
	if !daemon.ReadOnly || len(daemon.CapDrop) == 0 {
		t.Error("binlogstreamer may write to its image, or has capabilities")
	}
	if memory := int64(daemon.MemLimit); memory != 512<<20 {
		t.Errorf("mem_limit is %d, want twice memory_limit", memory)
	}
	if daemon.Build.Context != mustAbs(t, root) {
		t.Errorf("it builds %s", daemon.Build.Context)
	}
}

// TestComposeHasTheServersOfTheTests holds the stand-ins for AWS to the versions that everything else is tested with.
func TestComposeHasTheServersOfTheTests(t *testing.T) {
	compose, err := os.ReadFile(filepath.Join(root, "deploy", "compose", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	install, err := os.ReadFile(filepath.Join(root, "scripts", "install-test-servers"))
	if err != nil {
		t.Fatal(err)
	}
	gateway := regexp.MustCompile(`versitygw_version=(\S+)`).FindSubmatch(install)
	npm, err := os.ReadFile(filepath.Join(root, "scripts", "test-servers", "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var servers struct{ Dependencies map[string]string }
	if err := json.Unmarshal(npm, &servers); err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"ghcr.io/versity/versitygw:" + string(gateway[1]), "ghcr.io/etspaceman/kinesis-mock:" + servers.Dependencies["kinesis-local"]} {
		if !strings.Contains(string(compose), "image: "+image+"\n") {
			t.Errorf("compose.yaml does not have %s", image)
		}
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
