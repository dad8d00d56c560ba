package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
	"github.com/binlogstreamer/binlogstreamer/internal/verify"
)

// shop is a server with tables of several kinds, and how a pipeline reads them.
type shop struct {
	t      *testing.T
	server *testservers.MySQLServer
	file   string
	dir    string
}

func openShop(t *testing.T, server *testservers.MySQLServer, more string) *shop {
	t.Helper()
	s := &shop{t: t, server: server}
	s.exec("CREATE DATABASE a",
		`CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(40), n DECIMAL(12,3), at TIMESTAMP(3) NULL, f FLOAT, d DOUBLE, b VARBINARY(20), y YEAR)`,
		`CREATE TABLE a.name (who VARCHAR(30) CHARACTER SET latin1, day DATE, v INT, PRIMARY KEY (who, day))`,
		"CREATE TABLE a.many (e ENUM('x','y'), bits BIT(9), raw VARBINARY(5), at DATETIME(3), d DECIMAL(8,2), c CHAR(4) CHARACTER SET utf8mb4, f FLOAT, tm TIME, y YEAR, g DOUBLE, b1 BIT(1), v INT,"+
			" PRIMARY KEY (e, bits, raw, at, d, c, f, tm, y, g, b1))",
		"INSERT INTO a.many VALUES ('y', 259, x'00ff', '2026-03-01 10:00:00.125', -3.5, x'F09F8E9F', 0.1, '-11:22:33', 2026, 1/3, 1, 1), ('x', 1, x'', '2026-03-01', 0, 'b', -1e-5, '1:00', 1999, 0, 0, 1)",
		`CREATE TABLE a.bare (n INT, v VARCHAR(20))`,
		"CREATE TABLE a.digit (d INT PRIMARY KEY)", "INSERT INTO a.digit VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
		`INSERT INTO a.t SELECT x.d+10*y.d+100*z.d+1000*w.d, CONCAT('ticket ', x.d), x.d*1.5, '2026-03-01 10:00:00.123', 1/3, 1/7, x'00ff10', 2026 FROM a.digit x, a.digit y, a.digit z, a.digit w`,
		`INSERT INTO a.name SELECT CONCAT('J', CHAR(0xFC USING latin1), 'rgen ', x.d), DATE_ADD('2026-01-01', INTERVAL y.d DAY), 1 FROM a.digit x, a.digit y`,
		"INSERT INTO a.bare SELECT x.d, 'same' FROM a.digit x, a.digit y")
	s.file, s.dir = sourceConfigFile(t, server, more)
	return s
}

func (s *shop) exec(statements ...string) {
	s.t.Helper()
	if err := s.server.Exec(s.t.Context(), statements...); err != nil {
		s.t.Fatal(err)
	}
}

// silently changes the source without a trace in its binlog, which is how a fault of the pipeline looks.
func (s *shop) silently(statements ...string) {
	s.t.Helper()
	s.exec(append([]string{"SET sql_log_bin = 0"}, statements...)...)
}

func (s *shop) once() {
	s.t.Helper()
	if r := invoke(s.t, "run", "--once", "-c", s.file); r.code != exitDone {
		s.t.Fatalf("run: exit code %d\n%s", r.code, r.stderr)
	}
}

// verify runs the command and gives its report.
func (s *shop) verify(code int, args ...string) verify.Report {
	s.t.Helper()
	r := invoke(s.t, append([]string{"verify", "--json", "-c", s.file}, args...)...)
	if r.code != code {
		s.t.Fatalf("verify: exit code %d, want %d\n%s\n%s", r.code, code, r.stdout, r.stderr)
	}
	var report verify.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		s.t.Fatalf("%v\n%s", err, r.stdout)
	}
	return report
}

func (s *shop) table(r verify.Report, name string) verify.TableReport {
	s.t.Helper()
	for _, t := range r.Tables {
		if t.Schema+"."+t.Table == name {
			return t
		}
	}
	s.t.Fatalf("table %s is not in the report: %+v", name, r)
	return verify.TableReport{}
}

func counts(t verify.TableReport) string {
	return fmt.Sprintf("%d rows, %d missing, %d extra, %d different", t.Rows, t.Missing, t.Extra, t.Different)
}

// TestVerify finds nothing where nothing is wrong, and every kind of difference where there is one.
func TestVerify(t *testing.T) {
	servers := map[string]func(testing.TB, ...testservers.Option) *testservers.MySQLServer{"MySQL": testservers.MySQL, "MariaDB": testservers.MariaDB}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			s := openShop(t, start(t), "")
			s.once()
			s.exec("UPDATE a.t SET v = 'sold' WHERE id < 50", "DELETE FROM a.t WHERE id = 77", "UPDATE a.t SET id = 20000 WHERE id = 78",
				"DELETE FROM a.bare WHERE n = 3 LIMIT 1", "INSERT INTO a.bare VALUES (4, 'same')")
			s.once()
			r := s.verify(exitDone)
			for table, want := range map[string]string{
				"a.t": "9999 rows, 0 missing, 0 extra, 0 different", "a.name": "100 rows, 0 missing, 0 extra, 0 different",
				"a.bare": "100 rows, 0 missing, 0 extra, 0 different",
			} {
				if got := counts(s.table(r, table)); got != want {
					t.Errorf("%s: %s, want %s", table, got, want)
				}
			}
			if _, err := os.Stat(filepath.Join(s.dir, "verify", "store")); !os.IsNotExist(err) {
				t.Errorf("the work folder is left: %v", err)
			}

			s.silently("UPDATE a.t SET v = 'tickeT 4' WHERE id = 4444", "DELETE FROM a.t WHERE id = 5555", "INSERT INTO a.t (id, v) VALUES (30000, 'new')",
				"UPDATE a.many SET v = 2",
				"UPDATE a.name SET v = 2 WHERE who LIKE '%rgen 5' AND day = '2026-01-03'", "DELETE FROM a.bare WHERE n = 9 LIMIT 1")
			r = s.verify(exitFaults)
			ticket := s.table(r, "a.t")
			if got, want := counts(ticket), "9999 rows, 1 missing, 1 extra, 1 different"; got != want {
				t.Errorf("a.t: %s, want %s", got, want)
			}
			found := map[string]verify.Difference{}
			for _, d := range ticket.Differences {
				found[d.Kind+" "+d.Key] = d
			}
			d := found["different 4444"]
			if !strings.Contains(string(d.Source), "tickeT 4") || !strings.Contains(string(d.Delivered), "ticket 4") || found["missing 30000"].Source == nil || found["extra 5555"].Delivered == nil {
				t.Errorf("the differences are %+v", ticket.Differences)
			}
			if got := s.table(r, "a.name"); got.Different != 1 || !strings.Contains(got.Differences[0].Key, "Jürgen 5") {
				t.Errorf("a.name: %+v", got)
			}
			if got := counts(s.table(r, "a.many")); got != "2 rows, 0 missing, 0 extra, 2 different" {
				t.Errorf("a.many: %s", got)
			}
			if got := s.table(r, "a.bare"); got.Extra != 1 || got.Missing != 0 {
				t.Errorf("a.bare: %+v", got)
			}
			if r := s.verify(exitDone, "--table", "a.digit"); len(r.Tables) != 1 {
				t.Errorf("of one table: %+v", r)
			}
		})
	}
}

// running runs the pipeline until the test's end.
func (s *shop) running() (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan int)
	var stderr output
	go func() { done <- execute(ctx, []string{"run", "-c", s.file}, io.Discard, &stderr) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if code := <-done; code != exitDone {
				s.t.Errorf("run ends with %d\n%s", code, stderr.String())
			}
		})
	}
	s.t.Cleanup(stop)
	return stop
}

// writing changes rows until it is stopped, and gives how many transactions that were.
func (s *shop) writing() (stop func() int) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	n := 0
	go func() {
		r := rand.New(rand.NewPCG(1, 2))
		for ; ctx.Err() == nil; n++ {
			id := r.IntN(10_000)
			statements := []string{
				fmt.Sprintf("UPDATE a.t SET v = 'written %d', n = n + 1 WHERE id BETWEEN %d AND %d", n, id, id+20),
				fmt.Sprintf("REPLACE INTO a.t (id, v) VALUES (%d, 'new')", 20_000+n%50),
				fmt.Sprintf("DELETE FROM a.t WHERE id = %d", 20_000+(n+25)%50),
				fmt.Sprintf("UPDATE a.name SET v = v + 1 WHERE day = '2026-01-0%d'", 1+r.IntN(9)),
				fmt.Sprintf("INSERT INTO a.bare VALUES (%d, 'same')", r.IntN(5)),
				fmt.Sprintf("DELETE FROM a.bare WHERE n = %d LIMIT 1", r.IntN(5)),
			}
			if n == 40 {
				statements = append(statements, "TRUNCATE a.name", "INSERT INTO a.name VALUES ('again', '2026-01-01', 1)")
			}
			if err := s.server.Exec(context.WithoutCancel(ctx), statements...); err != nil {
				done <- err
				return
			}
			time.Sleep(20 * time.Millisecond) // what the machine can follow
		}
		done <- nil
	}()
	stop = sync.OnceValue(func() int {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
		return n
	})
	s.t.Cleanup(func() { stop() })
	return stop
}

// TestVerifyWhileWriting blames no row for being on its way, and finds one byte that is different meanwhile.
func TestVerifyWhileWriting(t *testing.T) {
	for _, c := range []struct {
		name    string
		reshard bool
		start   func(t *testing.T) *shop
	}{
		{"MySQL, S3, partitions", false, func(t *testing.T) *shop {
			store := testservers.VersityGW(t)
			store.CreateBucket(t, "tickets")
			t.Setenv("AWS_ACCESS_KEY_ID", testservers.AccessKey)
			t.Setenv("AWS_SECRET_ACCESS_KEY", testservers.SecretKey)
			s := openShop(t, testservers.MySQL(t), "")
			s.file = rewrite(t, s.file, map[string]string{"delivery:": fmt.Sprintf("delivery: {destination: \"s3://tickets\", endpoint: %q, region: us-east-1, use_path_style: true, "+
				"compression_format: ZSTD, prefix: \"d/!{partitionKeyFromQuery:operation}/\", error_output_prefix: \"e/\", dynamic_partitioning: {enabled: true}, buffering_hints: {interval_in_seconds: 1}}", store.Endpoint)})
			return s
		}},
		{"MariaDB, folder, splits and merges", true, func(t *testing.T) *shop { return openShop(t, testservers.MariaDB(t), "") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.start(t)
			s.exec("INSERT INTO a.t (id, v) VALUES (15000, 'nobody writes to this one')") // which would bring the silent change into the log
			s.once()
			s.running()
			stop := s.writing()
			resharded := func() (int, int) { return 1, 1 }
			if c.reshard {
				resharded = s.resharding()
			}
			if r := s.verify(exitDone); r.Tail == 0 || len(r.Tables) != 5 {
				t.Errorf("%d records of the stream's tail, %d tables", r.Tail, len(r.Tables))
			}
			s.silently("UPDATE a.t SET b = x'00ff11' WHERE id = 15000")
			r := s.verify(exitFaults)
			if splits, merges := resharded(); splits == 0 || merges == 0 {
				t.Errorf("%d splits and %d merges meanwhile", splits, merges)
			}
			if n := stop(); n < 5 {
				t.Errorf("only %d transactions were written meanwhile", n)
			}
			for _, table := range r.Tables {
				want := int64(0)
				if table.Table == "t" {
					want = 1
				}
				if table.Different != want || table.Missing+table.Extra != 0 {
					t.Errorf("%s: %+v", table.Table, table)
				}
			}
			if d := s.table(r, "a.t").Differences; len(d) != 1 || d[0].Key != "15000" || !strings.Contains(string(d[0].Source), "0x00ff11") {
				t.Errorf("found %+v", d)
			}
		})
	}
}

// trigger is a writer that calls fn when it is given some text.
type trigger struct {
	output
	text string
	fn   func()
}

func (w *trigger) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		w.fn()
	}
	return w.output.Write(p)
}

// TestVerifyGoesOn goes on where an interrupted verify was, finds a damaged object, and does without one that is gone.
func TestVerifyGoesOn(t *testing.T) {
	s := openShop(t, testservers.MariaDB(t), "")
	s.once()
	for _, phase := range []string{"replaying objects", "comparing rows"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stderr := &trigger{text: phase, fn: cancel}
		if code := execute(ctx, []string{"verify", "-c", s.file}, io.Discard, stderr); code != exitTemporary || !strings.Contains(stderr.String(), "goes on from there") {
			t.Fatalf("interrupted while %s: exit code %d\n%s", phase, code, stderr)
		}
	}
	s.exec("UPDATE a.t SET v = 'later' WHERE id = 3")
	s.once()
	r := s.verify(exitDone)
	if !r.Resumed || s.table(r, "a.t").Rows != 10_000 {
		t.Errorf("resumed: %v, %s", r.Resumed, counts(s.table(r, "a.t")))
	}

	part := s.verify(exitDone, "--sample", "10%", "--table", "a.t")
	if rows := part.Tables[0].Rows; rows < 500 || rows > 2000 {
		t.Errorf("a sample of 10%% has %d of 10000 rows", rows)
	}

	objects, err := filepath.Glob(filepath.Join(s.dir, "objects", "*", "*", "*", "*", "*.gz"))
	if err != nil || len(objects) < 2 {
		t.Fatal(objects, err)
	}
	body, err := os.ReadFile(objects[0])
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)/2] ^= 1
	if err := os.WriteFile(objects[0], body, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := s.verify(exitFaults); r.FaultCount == 0 || !strings.Contains(strings.Join(r.Faults, "\n"), filepath.Base(objects[0])+" is damaged") {
		t.Errorf("the faults are %q", r.Faults)
	}
}

// TestVerifySince covers what newer objects tell, says what they do not, and blames nothing.
func TestVerifySince(t *testing.T) {
	s := openShop(t, testservers.MariaDB(t), "")
	s.once()
	objects, err := filepath.Glob(filepath.Join(s.dir, "objects", "*", "*", "*", "*", "*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	since := time.Now().UTC()
	s.exec("UPDATE a.t SET v = 'later' WHERE id < 30")
	s.once()
	r := s.verify(exitDone, "--since", since.Format(time.RFC3339Nano))
	if got := s.table(r, "a.t"); got.Rows != 30 || got.NotCovered != 9970 {
		t.Errorf("%s, %d not covered", counts(got), got.NotCovered)
	}
	for _, o := range objects { // as a lifecycle rule does
		if err := os.Remove(o); err != nil {
			t.Fatal(err)
		}
	}
	r = s.verify(exitFailed)
	if got := s.table(r, "a.t"); got.Rows != 30 || got.Missing != 0 || !strings.Contains(got.NotCompared, "--since") {
		t.Errorf("%s: %s", counts(got), got.NotCompared)
	}
}

// TestVerifyBehind says what to do where replicate does not send what the source has.
func TestVerifyBehind(t *testing.T) {
	s := openShop(t, testservers.MariaDB(t), "")
	s.once()
	s.exec("UPDATE a.t SET v = 'not sent' WHERE id = 1")
	r := invoke(t, "verify", "-c", s.file, "--wait", "300ms")
	if r.code != exitTemporary || !strings.Contains(r.lastLine(), "let replicate run") {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
	if r := invoke(t, "verify", "-c", s.file, "--table", "a.none"); r.code != exitUsage || !strings.Contains(r.lastLine(), "a.none") {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
	if r := invoke(t, "verify", "-c", s.file, "--sample", "120%"); r.code != exitUsage {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
}

// writes keeps what each write was.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

// TestDisplayWritesWholeLines: a line in two writes could have one of the log between them.
func TestDisplayWritesWholeLines(t *testing.T) {
	var got writes
	d := newDisplay(&got)
	d.show(verify.Progress{Phase: "listing objects", Unit: "objects", Done: 4})
	d.show(verify.Progress{Phase: "comparing rows", Unit: "rows", Done: 3, Total: 9, Note: "again"})
	d.show(verify.Progress{Phase: "comparing rows", Unit: "rows", Done: 4, Total: 9}) // too soon
	if want := (writes{"verify: listing objects: 4 objects\n", "verify: comparing rows: 3 of about 9 rows (again)\n"}); !slices.Equal(got, want) {
		t.Errorf("it writes %q, want %q", got, want)
	}
}
