// Package childproc runs a helper program, such as a private database server, as a child that can't outlive us. It
// promises that the child is dead when Stop or Kill returns, that on Linux the kernel kills it if we die without
// calling either, and that its output is in a log file that errors quote from.
package childproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Command says what to run.
type Command struct {
	Path string
	Args []string
	Env  []string // added to our own environment
	Dir  string   // working directory; empty: ours
	Log  string   // file that standard output and standard error are appended to
}

// Process is a running or finished child. Its methods are safe for concurrent use.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has been waited for
	err  error         // how it ended; read only after done
}

// Start starts the child. The child belongs to the caller, who ends it with Stop or Kill.
func Start(c Command) (*Process, error) {
	out, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", c.Path, err)
	}
	defer out.Close() // the child has its own descriptor

	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = dieWithParent()

	p := &Process{name: filepath.Base(c.Path), log: c.Log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.own(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	return p, nil
}

// own starts the child and waits for it on one operating-system thread: the kernel's parent-death signal follows
// the thread that forked, not the process, and the Go runtime ends idle threads as it likes.
func (p *Process) own(started chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// PID is the child's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended, however it ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends sig, for example SIGSTOP and SIGCONT to freeze and thaw the child.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Stop asks the child to end, kills it when grace is over, and returns once it is gone. It says whether the child
// had to be killed.
func (p *Process) Stop(grace time.Duration) (killed bool) {
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
		return false
	case <-t.C:
		p.Kill()
		return true
	}
}

// Kill kills the child as a crash would and returns once it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Await calls probe until it succeeds. It gives up with an error that quotes the log when the child ends first or
// ctx is done.
func (p *Process) Await(ctx context.Context, probe func(context.Context) error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it answered: %w; the end of its log:\n%s", p.name, exitError(p.err), p.LogTail(40))
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w (last try: %w); the end of its log:\n%s", p.name, context.Cause(ctx), err, p.LogTail(40))
		case <-tick.C:
		}
	}
}

// LogTail returns the last lines that the child wrote.
func (p *Process) LogTail(lines int) string { return Tail(p.log, lines) }

// Tail returns the last lines of a log file, or says why it can't.
func Tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
