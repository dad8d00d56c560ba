package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestOutages takes each server away for a while, in the middle of a full load and of changes. Everything goes on by
// itself, without a restart of ours.
func TestOutages(t *testing.T) {
	t.Parallel()
	sc := scenario{database: "mysql", stream: "kinesalite", destination: "s3", dedupe: true, rows: 20_000}
	db := startDatabase(t, sc.database)
	seed(t, db.Addr(), sc.rows)
	p := newPipeline(t, sc, db)
	streamAddr := strings.TrimPrefix(p.kinesis.Endpoint, "http://")
	storeAddr := strings.TrimPrefix(p.store.Endpoint, "http://")
	stream, store := testservers.NewRelay(t, streamAddr), testservers.NewRelay(t, storeAddr)
	p.streamEndpoint, p.s3Endpoint = "http://"+stream.Addr(), "http://"+store.Addr()
	p.config = writeConfig(t, p.dir, p.yaml(sc, "127.0.0.1", db.Port))

	replicate, deliver := newDaemon(t, "replicate", "replicate", "-c", p.config), newDaemon(t, "deliver", "deliver", "-c", p.config)
	replicate.start()
	deliver.start()
	w := startWorkload(db.Addr(), sc.rows, 5*time.Millisecond)
	defer w.end()
	outage := func(server *testservers.Relay, addr string) {
		server.Point("")
		time.Sleep(20 * time.Second) // the length of the outage is what is tested
		server.Point(addr)
	}
	outage(stream, streamAddr)
	outage(store, storeAddr)
	db.MustRestart(t)
	written := w.changes.Load()
	await(t, time.Minute, "the workload to go on", func() error {
		if n := w.changes.Load() - written; n < 200 {
			return fmt.Errorf("%d changes since the restart", n)
		}
		return nil
	})
	w.end()
	p.awaitReplicated(t, db, replicate, deliver)
	replicate.stop()
	deliver.stop()
	p.drain(t)
	p.verify(t, db.Addr(), sc)
	for _, d := range []*daemon{replicate, deliver} {
		if n := strings.Count(tail(d.log, 1<<20), "panic"); n > 0 {
			t.Errorf("%s: %d panics", d.log, n)
		}
	}
}

// TestWords starts replicate on sources that it cannot work with. It must end with code 1, and its last line must name
// the fault and the cure.
func TestWords(t *testing.T) {
	db := testservers.MySQL(t)
	seed(t, db.Addr(), 20)
	db.MustExec(t,
		"CREATE USER app@'%' IDENTIFIED BY 'secret-of-app'", "GRANT SELECT ON shop.* TO app@'%'",
		"CREATE USER blind@'%' IDENTIFIED BY 'secret-of-blind'", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO blind@'%'")
	for _, c := range []struct {
		name, user, password string
		sql                  string
		want                 []string
	}{
		{"wrong password", "app", "not-the-secret", "", []string{"Access denied", "app", "check user name and password"}},
		{"no replication privilege", "app", "secret-of-app", "", []string{"REPLICATION", "GRANT"}},
		{"nothing to see", "blind", "secret-of-blind", "", []string{"no table", "GRANT SELECT"}},
		{"statement format", "root", "", "SET GLOBAL binlog_format = 'STATEMENT'", []string{"binlog_format", "STATEMENT", "ROW"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.sql != "" {
				db.MustExec(t, c.sql)
			}
			code, line, all := replicateOnce(t, db, t.TempDir(), c.user, c.password)
			if code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("the last line does not say %q: %s", want, line)
				}
			}
			if c.password != "" && strings.Contains(all, c.password) {
				t.Errorf("the password is in the output: %s", all)
			}
		})
	}
}

// TestPurgedPosition goes on after the source threw the binlog away that holds the next change.
func TestPurgedPosition(t *testing.T) {
	for _, flavor := range []string{"mysql", "mariadb"} {
		t.Run(flavor, func(t *testing.T) {
			db := startDatabase(t, flavor)
			seed(t, db.Addr(), 20)
			dir := t.TempDir()
			p := &pipelineUnderTest{dir: dir, streamEndpoint: "embedded", embeddedDir: filepath.Join(dir, "stream"), destination: "file://" + filepath.Join(dir, "objects")}
			p.config = writeConfig(t, dir, p.yaml(scenario{dedupe: true}, "127.0.0.1", db.Port))
			d := newDaemon(t, "replicate", "replicate", "-c", p.config)
			d.start()
			p.awaitReplicated(t, db, d)
			d.stop()

			db.MustExec(t, "DELETE FROM shop.ticket", "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
			var last string
			for _, row := range db.MustQuery(t, "SHOW BINARY LOGS") {
				last = row[0]
			}
			await(t, 30*time.Second, "the server to purge its log", func() error {
				db.MustExec(t, "PURGE BINARY LOGS TO '"+last+"'") // MariaDB keeps files until their commits are in the engine's own log
				if logs := db.MustQuery(t, "SHOW BINARY LOGS"); logs[0][0] != last {
					return fmt.Errorf("it still has %v", logs)
				}
				return nil
			})
			code, line, _ := replicateOnce(t, db, dir, "root", "")
			if code != 1 || !strings.Contains(line, "purged") {
				t.Errorf("exit code %d, last line %s; want 1 and that the position has been purged", code, line)
			}
		})
	}
}

// replicateOnce runs replicate until it ends, and gives its exit code, its last line, and all that it wrote.
func replicateOnce(t *testing.T, db *testservers.MySQLServer, dir, user, password string) (code int, line, all string) {
	t.Helper()
	p := &pipelineUnderTest{dir: dir, streamEndpoint: "embedded", embeddedDir: filepath.Join(dir, "stream"), destination: "file://" + filepath.Join(dir, "objects")}
	text := p.yaml(scenario{dedupe: true}, "127.0.0.1", db.Port)
	text = strings.Replace(text, `user: root, password: ""`, fmt.Sprintf("user: %s, password: %q", user, password), 1)
	d := newDaemon(t, "replicate", "replicate", "-c", writeConfig(t, t.TempDir(), text))
	d.start()
	code = d.wait(time.Minute)
	all = tail(d.log, 1<<20)
	lines := strings.Split(strings.TrimSpace(all), "\n")
	return code, lines[len(lines)-1], all
}
