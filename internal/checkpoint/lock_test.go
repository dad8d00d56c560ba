package checkpoint_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
)

// holderDir makes the test binary a process that takes a lock in this folder and keeps it until its input ends.
const holderDir = "CHECKPOINT_TEST_HOLDER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holderDir); dir != "" {
		hold(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func hold(dir string) {
	s, err := checkpoint.OpenFile(dir)
	if err != nil {
		panic(err)
	}
	if _, err := s.Lock(context.Background(), "task"); err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString("held\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
	os.Exit(1) // never: the test kills this process
}

func TestLockOfAKilledProcessIsFree(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderDir+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the holder said %q, %v", line, err)
	}

	s, err := checkpoint.OpenFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Lock(t.Context(), "task")
	locked, ok := errors.AsType[*checkpoint.LockedError](err)
	host, _ := os.Hostname()
	if !ok || locked.PID != cmd.Process.Pid || locked.Host != host {
		t.Fatalf("Lock = %v, want a LockedError with process %d on %s", err, cmd.Process.Pid, host)
	}
	if !strings.Contains(err.Error(), host) {
		t.Errorf("the message does not name the host: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil { // kill -9
		t.Fatal(err)
	}
	_ = cmd.Wait()
	free, err := s.Lock(t.Context(), "task")
	if err != nil {
		t.Fatalf("Lock after the holder was killed = %v", err)
	}
	if err := free.Release(); err != nil {
		t.Error(err)
	}
}
