package testservers

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// Browser is Chromium, driven by a script that takes a JSON command a line and answers each with one.
type Browser struct {
	t       testing.TB
	in      io.WriteCloser
	answers chan []byte
}

// StartBrowser runs the script with Node.js. CHROMIUM names the program; playwright-core and axe-core can be required.
func StartBrowser(t testing.TB, script string, args ...string) *Browser {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(missing("node", dbserver.ErrNotInstalled))
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(missing("chromium", dbserver.ErrNotInstalled))
	}
	modules, err := installed("browser", "node_modules")
	if err != nil {
		t.Fatal(missing("playwright-core", err))
	}
	if script, err = filepath.Abs(script); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, append([]string{script}, args...)...)
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium, "NODE_PATH="+modules)
	cmd.Stderr = os.Stderr
	b := &Browser{t: t, answers: make(chan []byte)}
	if b.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(missing("node", err))
	}
	read := make(chan struct{})
	go b.read(out, read)
	t.Cleanup(func() {
		b.in.Close() // the script ends, and with it the browser
		kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		for range b.answers { // one that nobody waited for
			t.Log("the browser answered too late")
		}
		<-read
		_ = cmd.Wait()
		kill.Stop()
	})
	return b
}

// read takes answers until the script ends.
func (b *Browser) read(out io.Reader, done chan<- struct{}) {
	defer close(done)
	defer close(b.answers)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		b.answers <- append([]byte{}, lines.Bytes()...)
	}
}

// Do makes the browser do something and gives what it says of it. An error fails the test.
func (b *Browser) Do(command map[string]any) (result []string) {
	b.t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		b.t.Fatal(err)
	}
	select {
	case text, ok := <-b.answers:
		var answer struct {
			Result []string
			Error  string
		}
		if !ok {
			b.t.Fatalf("the browser has ended before %s", line)
		}
		if err := json.Unmarshal(text, &answer); err != nil {
			b.t.Fatalf("%s: the browser says %q", line, text)
		}
		if answer.Error != "" {
			b.t.Fatalf("%s: %s", line, answer.Error)
		}
		return answer.Result
	case <-time.After(2 * time.Minute):
		b.t.Fatalf("%s: no answer of the browser", line)
		return nil
	}
}
