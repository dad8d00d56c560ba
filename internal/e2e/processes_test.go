package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// builds is a folder for binaries.
var builds = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(buildsEnv); dir != "" {
		return dir, os.Unsetenv(buildsEnv)
	}
	return os.MkdirTemp("", "binlogstreamer-e2e-")
})

func build(name string, flags ...string) (string, error) {
	dir, err := builds()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	args := append(append([]string{"build"}, flags...), "-o", path, "../../cmd/binlogstreamer")
	cmd := exec.Command("go", args...)
	if !slices.Contains(flags, "-race") {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return path, nil
}

// binary is what is tested; plainBinary the same without the race detector, whose memory is not the program's, as make build
// makes it: what of a program is resident depends on that.
var (
	binary      = sync.OnceValues(func() (string, error) { return build("binlogstreamer-race", "-race") })
	plainBinary = sync.OnceValues(func() (string, error) {
		return build("binlogstreamer", "-trimpath", "-tags", "timetzdata", "-ldflags", "-s -w")
	})
)

// daemon is one command of the binary that is started, killed and started again.
type daemon struct {
	t     *testing.T
	build func() (string, error)
	args  []string
	log   string
	cmd   *exec.Cmd
	done  chan error
}

func newDaemon(t *testing.T, name string, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, build: binary, args: args, log: filepath.Join(t.TempDir(), name+".log")}
	t.Cleanup(func() {
		if d.cmd != nil {
			_ = d.cmd.Process.Kill()
			<-d.done
		}
		if t.Failed() {
			t.Logf("%s:\n%s", name, tail(d.log, 6000))
		}
	})
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	path, err := d.build()
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer out.Close()
	d.cmd = exec.Command(path, d.args...)
	d.cmd.Stdout, d.cmd.Stderr = out, out
	d.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1 exitcode=66", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID="+testservers.AccessKey, "AWS_SECRET_ACCESS_KEY="+testservers.SecretKey)
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan<- error) { done <- cmd.Wait() }(d.cmd, d.done)
}

// kill ends the process with SIGKILL. A process that ended before by itself is a fault.
func (d *daemon) kill() {
	if d.cmd == nil {
		return
	}
	d.alive()
	_ = d.cmd.Process.Kill()
	<-d.done
	d.cmd = nil
}

// alive fails the test if the process has ended by itself.
func (d *daemon) alive() {
	d.t.Helper()
	if d.cmd == nil {
		return
	}
	select {
	case err := <-d.done:
		d.cmd = nil
		d.t.Fatalf("%v ended by itself: %v\n%s", d.args, err, tail(d.log, 4000))
	default:
	}
}

// wait gives the exit code of a process that ends by itself.
func (d *daemon) wait(limit time.Duration) int {
	d.t.Helper()
	select {
	case err := <-d.done:
		d.cmd = nil
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		if err != nil {
			d.t.Fatal(err)
		}
		return 0
	case <-time.After(limit):
		_ = d.cmd.Process.Signal(syscall.SIGQUIT)
		<-d.done
		d.cmd = nil
		d.t.Fatalf("%v did not end within %v\n%s", d.args, limit, tail(d.log, 20000))
		return -1
	}
}

// stop ends the process with SIGTERM, which must save everything and exit with 0.
func (d *daemon) stop() {
	d.t.Helper()
	d.wantDone(d.terminate())
}

// terminate ends the process with SIGTERM and gives its exit code.
func (d *daemon) terminate() int {
	d.t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	return d.wait(40 * time.Second)
}

func (d *daemon) wantDone(code int) {
	d.t.Helper()
	if code != 0 {
		d.t.Errorf("%v: exit code %d after SIGTERM\n%s", d.args, code, tail(d.log, 4000))
	}
}

// tail is the end of a file.
func tail(path string, n int) string {
	b, _ := os.ReadFile(path)
	if len(b) > n {
		b = b[len(b)-n:]
		b = b[bytes.IndexByte(b, '\n')+1:]
	}
	return string(b)
}
