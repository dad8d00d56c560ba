package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestStandby runs two replicate processes with one store that several hosts could share. The active one is killed, and
// the next one is stopped for a while and then goes on, as on a host that was suspended. Each time the other one takes
// over within seconds, and nothing is missing, doubled or out of order in the objects. The race detector is in one of them.
func TestStandby(t *testing.T) {
	for name, share := range map[string]func(*testing.T, *pipelineUnderTest){
		"dynamodb": func(t *testing.T, p *pipelineUnderTest) {
			server := testservers.Dynalite(t)
			p.checkpoints = fmt.Sprintf("{store: \"dynamodb://state\", region: us-east-1, endpoint: %q, failover_time: 3s}", server.Endpoint)
			table := &dynamo.Table{API: server.DynamoDB(), Name: "state"}
			p.openStore = func() (checkpoint.Store, error) { return checkpoint.NewDynamoDB(table, 0), nil }
		},
		"s3": func(t *testing.T, p *pipelineUnderTest) {
			server := testservers.VersityGW(t)
			server.CreateBucket(t, "state")
			p.checkpoints = fmt.Sprintf("{store: \"s3://state/of/tickets\", region: us-east-1, endpoint: %q, use_path_style: true, failover_time: 3s}", server.Endpoint)
			p.openStore = func() (checkpoint.Store, error) {
				return checkpoint.NewS3(checkpoint.S3Config{API: server.S3(), Bucket: "state", Prefix: "of/tickets", Compatible: true}), nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			standby(t, share, name == "s3")
		})
	}
}

func standby(t *testing.T, share func(*testing.T, *pipelineUnderTest), plain bool) {
	sc := scenario{database: "mysql", stream: "kinesalite", destination: "file", dedupe: true, rows: 400, plain: plain, zombies: true}
	db := startDatabase(t, sc.database)
	seed(t, db.Addr(), sc.rows)
	p := newPipeline(t, sc, db)
	share(t, p)
	p.config = writeConfig(t, p.dir, p.yaml(sc, "127.0.0.1", db.Port))
	a, b := newDaemon(t, "replicate-a", "replicate", "-c", p.config), newDaemon(t, "replicate-b", "replicate", "-c", p.config)
	a.build, b.build = p.build, p.build
	a.start()
	p.awaitReplicated(t, db, a)
	b.start()
	b.awaitLog("standing by to take over", 1)
	if ready, healthy := b.get("/readyz"), b.get("/healthz"); ready != http.StatusServiceUnavailable || healthy != http.StatusOK {
		t.Errorf("a process that stands by answers /readyz with %d and /healthz with %d", ready, healthy)
	}
	for _, command := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"run", "--once", "-c", p.config}, 75, "is locked by process"}, // it is to end by itself
		{[]string{"check", "-c", p.config}, 0, "another process stands by"},
	} {
		c := newDaemon(t, command.args[0], command.args...)
		c.build = p.build
		c.start()
		if code, log := c.wait(time.Minute), tail(c.log, 1<<20); code != command.code || !strings.Contains(log, command.says) {
			t.Errorf("%v: exit code %d, want %d and that it says %q\n%s", command.args, code, command.code, command.says, log)
		}
	}
	w := startWorkload(db.Addr(), sc.rows, 50*time.Millisecond)
	defer w.end()

	began := time.Now()
	a.kill()
	b.awaitLog("taking over", 1)
	t.Logf("the takeover from a killed process took %v", time.Since(began).Round(time.Millisecond))
	b.awaitReady()

	a.start()
	a.awaitLog("standing by to take over", 1)
	began = time.Now()
	signal(t, b, syscall.SIGSTOP)
	a.awaitLog("taking over", 1)
	t.Logf("the takeover from a stopped process took %v", time.Since(began).Round(time.Millisecond))
	a.awaitReady()
	began = time.Now()
	signal(t, b, syscall.SIGCONT)
	b.awaitLog("another process has taken over, or may have; standing by", 1)
	t.Logf("the stopped process stood by %v after it went on", time.Since(began).Round(time.Millisecond))

	w.end()
	if w.changes.Load() == 0 {
		t.Fatal("the workload wrote nothing")
	}
	p.awaitReplicated(t, db, a, b)
	b.stop()
	a.stop()
	p.drain(t)
	p.verify(t, db.Addr(), sc)
}

func signal(t *testing.T, d *daemon, s syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// awaitLog waits until a daemon's log has a text as often as that.
func (d *daemon) awaitLog(text string, times int) {
	d.t.Helper()
	await(d.t, time.Minute, "the log to say: "+text, func() error {
		d.alive()
		if log, _ := os.ReadFile(d.log); strings.Count(string(log), text) < times {
			return fmt.Errorf("it does not")
		}
		return nil
	})
}

var listening = regexp.MustCompile(`serving status page, metrics and health.* address=http://([^/\s]+)/`)

// address is where a daemon's console listens.
func (d *daemon) address() string {
	d.t.Helper()
	log, _ := os.ReadFile(d.log)
	found := listening.FindAllStringSubmatch(string(log), -1)
	if found == nil {
		d.t.Fatal("the daemon does not say where it listens")
	}
	return found[len(found)-1][1]
}

// get asks a daemon's console.
func (d *daemon) get(path string) (status int) {
	d.t.Helper()
	answer, err := http.Get("http://" + d.address() + path)
	if err != nil {
		d.t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

func (d *daemon) awaitReady() {
	d.t.Helper()
	await(d.t, time.Minute, "a process to be ready", func() error {
		if status := d.get("/readyz"); status != http.StatusOK {
			return fmt.Errorf("/readyz answers %d", status)
		}
		return nil
	})
}
