package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
			if got := s.table(r, "a.bare"); got.Extra != 1 || got.Missing != 0 {
				t.Errorf("a.bare: %+v", got)
			}
			if r := s.verify(exitDone, "--table", "a.digit"); len(r.Tables) != 1 {
				t.Errorf("of one table: %+v", r)
			}
		})
	}
}

var _ = context.Background
var _ = time.Second
