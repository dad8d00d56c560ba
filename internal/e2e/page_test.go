package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
	"github.com/binlogstreamer/binlogstreamer/internal/faultproxy"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// shotsFolder is where the screenshots are left to be looked at.
func shotsFolder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "artifacts", "status-page"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// hostileTable is a table's name that a careless page would take for more than a name.
const (
	hostileTable = `<img src=x onerror=alert(1)>"'&amp;`
	pageToken    = "a-token-for-the-status-page"
)

// watchedDaemon is a running pipeline with what lies around it.
type watchedDaemon struct {
	t      *testing.T
	db     *testservers.MySQLServer
	stream *faultproxy.Proxy
	daemon *daemon
	config string
	url    string
}

func startWatched(t *testing.T) *watchedDaemon {
	t.Helper()
	db := testservers.MySQL(t)
	seed(t, db.Addr(), 20_000)
	db.MustExec(t, fmt.Sprintf("CREATE TABLE %s.`%s` (id INT PRIMARY KEY, v VARCHAR(40), w VARCHAR(40))", schemaName, hostileTable),
		fmt.Sprintf("INSERT INTO %s.`%s` VALUES (1, '<b>', 'w')", schemaName, hostileTable))
	kinesis := testservers.Kinesalite(t)
	kinesis.CreateStream(t, streamName, shards)
	proxy := faultproxy.New(t, faultproxy.Config{Service: faultproxy.Kinesis, Target: kinesis.Endpoint, Seed: 1})
	port, err := childproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := &pipelineUnderTest{dir: t.TempDir(), streamEndpoint: proxy.Endpoint(), build: binary}
	p.destination = "file://" + filepath.Join(p.dir, "objects")
	text := p.yaml(scenario{dedupe: true}, "127.0.0.1", db.Port)
	text = strings.Replace(text, `http: {listen: "127.0.0.1:0"}`, fmt.Sprintf(`http: {listen: "127.0.0.1:%d", token: %q}`, port, pageToken), 1)
	w := &watchedDaemon{t: t, db: db, stream: proxy, config: writeConfig(t, p.dir, text), url: fmt.Sprintf("http://127.0.0.1:%d/", port)}
	w.daemon = newDaemon(t, "run", "run", "-c", w.config)
	w.daemon.start()
	return w
}

// report asks the daemon what it says of itself.
func (w *watchedDaemon) report() (r status.Report, err error) {
	response, err := http.Get(w.url + "api/status")
	if err != nil {
		return r, err
	}
	defer response.Body.Close()
	return r, json.NewDecoder(response.Body).Decode(&r)
}

// await waits until the daemon's report is as wanted.
func (w *watchedDaemon) await(what string, is func(r *status.Report) bool) {
	w.t.Helper()
	await(w.t, 2*time.Minute, what, func() error {
		w.daemon.alive()
		r, err := w.report()
		if err == nil && !is(&r) {
			text, _ := json.Marshal(r)
			err = fmt.Errorf("the status is %s", text)
		}
		return err
	})
}

func streaming(r *status.Report) bool {
	return r.Replicate.State == status.Streaming && len(r.Replicate.Trouble) == 0 && r.Deliver.Objects > 0
}

func troubled(what string) func(r *status.Report) bool {
	return func(r *status.Report) bool {
		return slices.ContainsFunc(r.Replicate.Trouble, func(t status.Trouble) bool { return strings.HasPrefix(t.What, what) })
	}
}

// TestStatusPage opens the page in Chromium, in light, dark and on a phone, while a real pipeline works, fails, is paused and
// is cured behind it. Everything is done by keyboard. The screenshots are left in artifacts/status-page.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	folder := shotsFolder(t)
	w := startWatched(t)
	w.await("the full load to be under way", func(r *status.Report) bool { return r.Replicate.LoadRows > 500 })
	w.stream.Set(faultproxy.Outage)
	w.await("the stream to be away", troubled("stream"))

	b := testservers.StartBrowser(t, filepath.Join("testdata", "page.js"), w.url, folder)
	shots := func(name string) {
		t.Helper()
		for _, fault := range b.Do(map[string]any{"do": "shots", "name": name}) {
			t.Errorf("%s: %s", name, fault)
		}
	}
	says := func(text string) { t.Helper(); b.Do(map[string]any{"do": "wait", "text": text}) }
	says("loading")
	says("stream tickets")
	says("of about")
	shots("stream-away")

	w.stream.Set(nil)
	w.await("the load to be delivered", streaming)
	says("All is well")
	says(schemaName + "." + hostileTable)
	b.Do(map[string]any{"do": "keepsFocus", "id": "switch-deliver"})
	shots("well")

	w.breakTable()
	says("Table error")
	says("set binlog_row_image=FULL")
	w.db.Kill()
	w.await("the source to be away", troubled("source"))
	says("source: ")
	shots("source-away-and-table-suspended")
	w.db.MustStartAgain(t)
	w.await("the source to be back", func(r *status.Report) bool { return len(r.Replicate.Trouble) == 0 })

	b.Do(map[string]any{"do": "type", "id": "token", "text": pageToken})
	hostile := schemaName + "." + hostileTable
	b.Do(map[string]any{"do": "key", "id": "reload " + hostile, "says": "the reload of " + hostile + " has begun"})
	w.await("the table to be loaded again", streaming)
	says("All is well")

	b.Do(map[string]any{"do": "key", "id": "switch-replicate", "answer": "escape"})
	if r, err := w.report(); err != nil || !r.Replicate.Paused.IsZero() {
		t.Errorf("Escape paused: %v", err)
	}
	b.Do(map[string]any{"do": "key", "id": "switch-replicate", "says": "replicate is paused"})
	b.Do(map[string]any{"do": "key", "id": "switch-deliver", "says": "deliver is paused"})
	says("Resume replicate")
	w.await("the pause", func(r *status.Report) bool {
		return r.Replicate.State == status.Paused && r.Deliver.State == status.Paused && r.Level == status.Warning
	})
	shots("paused")
	w.daemon.stop() // a pause outlasts it
	w.daemon.start()
	w.await("the pause after a restart", func(r *status.Report) bool {
		return r.Replicate.State == status.Paused && r.Deliver.State == status.Paused
	})
	says("Resume replicate")
	b.Do(map[string]any{"do": "key", "id": "switch-replicate", "says": "replicate goes on"})
	w.command("resume", "replicate was running already; deliver goes on")
	w.db.MustExec(t, fmt.Sprintf("INSERT INTO %s.`%s` VALUES (2, 'after', 'the pause')", schemaName, hostileTable))
	w.await("a change behind the pause to be delivered", func(r *status.Report) bool { return streaming(r) && r.Replicate.Changes > 0 })
	w.command("status", "all is well", "streaming", "delivering", hostileTable)

	b.Do(map[string]any{"do": "gone"})
	for _, fault := range b.Do(map[string]any{"do": "end"}) {
		if !strings.Contains(fault, "ERR_CONNECTION_REFUSED") { // while the daemon was started again
			t.Error(fault)
		}
	}
	if shot, err := filepath.Glob(filepath.Join(folder, "*.png")); err != nil || len(shot) != 4*3+1 {
		t.Errorf("%d screenshots, %v", len(shot), err)
	}
	t.Logf("screenshots of the status page: %s", folder)
	w.daemon.stop()
}

// breakTable has a session log a change without the columns that it did not touch.
func (w *watchedDaemon) breakTable() {
	w.t.Helper()
	conn, err := client.Connect(w.db.Addr(), "root", "", schemaName)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range []string{"SET SESSION binlog_row_image = MINIMAL", fmt.Sprintf("UPDATE `%s` SET v = 'c'", hostileTable)} {
		if _, err := conn.Execute(statement); err != nil {
			w.t.Fatal(err)
		}
	}
}

// command runs a command that asks the daemon.
func (w *watchedDaemon) command(name string, says ...string) {
	w.t.Helper()
	c := newDaemon(w.t, name, name, "-c", w.config)
	c.start()
	code := c.wait(time.Minute)
	text := tail(c.log, 20000)
	for _, want := range says {
		if code != 0 || !strings.Contains(text, want) {
			w.t.Errorf("%s: exit code %d, want %q in %s", name, code, want, text)
		}
	}
}
