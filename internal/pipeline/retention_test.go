package pipeline

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestTimeLeftIsTight(t *testing.T) {
	for _, c := range []struct {
		keep, left time.Duration
		want       bool
	}{
		{30 * 24 * time.Hour, 8 * 24 * time.Hour, false}, {30 * 24 * time.Hour, 7 * 24 * time.Hour, true},
		{3 * time.Hour, 61 * time.Minute, false}, {3 * time.Hour, 59 * time.Minute, true},
		{10 * time.Second, 6 * time.Second, false}, {10 * time.Second, 4 * time.Second, true}, {0, 0, false},
	} {
		if got := (timeLeft{known: true, keep: c.keep, left: c.left}).tight(); got != c.want {
			t.Errorf("%v of %v left: tight %v", c.left, c.keep, got)
		}
	}
	if (timeLeft{known: true, keep: time.Hour, written: true}).tight() || (timeLeft{known: true, forever: true}).tight() {
		t.Error("a file that is still written, or kept for ever, is tight")
	}
}

// The metric and the log follow the saved position's file from the day it is written until it is purged.
func TestRetention(t *testing.T) {
	for name, db := range map[string]*testservers.MySQLServer{"mysql": testservers.MySQL(t), "mariadb": testservers.MariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			l := newTail(t, db, db.Database(t))
			pos := l.end()
			var logged bytes.Buffer
			w := &retention{
				source: l.config().Source, saved: func() source.Position { return pos }, ended: map[string]int64{},
				log: slog.New(slog.NewTextHandler(&logged, nil)), health: outage.New(nil, "source"),
			}
			look := func(what string, says string) float64 {
				t.Helper()
				logged.Reset()
				left, err := w.look(t.Context())
				must(t, err)
				w.tell(left)
				if got := logged.String(); !strings.Contains(got, says) || says == "" && got != "" {
					t.Errorf("%s: logged %q, want %q", what, got, says)
				}
				return w.seconds()
			}
			between := func(what string, got, low, high float64) {
				t.Helper()
				if !(got >= low && got <= high) {
					t.Errorf("%s: %v seconds, want from %v to %v", what, got, low, high)
				}
			}
			if got := w.seconds(); !math.IsNaN(got) {
				t.Errorf("before the first look: %v", got)
			}
			db.MustExec(t, "SET GLOBAL binlog_expire_logs_seconds = 7200")
			between("the file is written", look("the file is written", ""), 7200, 7200)
			db.MustExec(t, "FLUSH BINARY LOGS")
			between("it has a successor", look("it has a successor", ""), 7200-3600, 7200)
			db.MustExec(t, "SET GLOBAL binlog_expire_logs_seconds = 1")
			for over := w.ended[l.end().File] + 2; l.clock().Unix() < over; {
				time.Sleep(50 * time.Millisecond) // on the server's clock
			}
			between("its time is over", look("its time is over", "level=WARN"), 0, 0)
			look("said once", "")
			db.MustExec(t, "SET GLOBAL binlog_expire_logs_seconds = 7200")
			between("kept longer", look("kept longer", "kept long enough again"), 7200-3600, 7200)
			if name == "mysql" {
				db.MustExec(t, "SET GLOBAL binlog_expire_logs_auto_purge = OFF")
				between("nothing is purged", look("nothing is purged", ""), math.Inf(1), math.Inf(1))
				db.MustExec(t, "SET GLOBAL binlog_expire_logs_auto_purge = ON")
			}
			db.MustExec(t, "SET GLOBAL binlog_expire_logs_seconds = 0")
			between("kept for ever", look("kept for ever", ""), math.Inf(1), math.Inf(1))

			// As on RDS, which has its own setting.
			db.MustExec(t, "CREATE TABLE mysql.rds_configuration (name VARCHAR(100), value VARCHAR(100))", "INSERT INTO mysql.rds_configuration VALUES ('binlog retention hours', NULL)")
			between("RDS keeps nothing", look("RDS keeps nothing", ""), 0, 0)
			db.MustExec(t, "UPDATE mysql.rds_configuration SET value = '3'")
			between("RDS keeps it for hours", look("RDS keeps it for hours", ""), 3*3600-1800, 3*3600)
			user := fmt.Sprintf("blind_%s", name)
			db.MustExec(t, "CREATE USER "+user, "GRANT SELECT (name) ON mysql.rds_configuration TO "+user, "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO "+user)
			w.source.User = user
			if got := look("RDS does not tell", ""); !math.IsNaN(got) {
				t.Errorf("RDS does not tell: %v", got)
			}
			w.source.User = "root"
			db.MustExec(t, "DROP TABLE mysql.rds_configuration")

			for db.MustQuery(t, "SHOW BINARY LOGS")[0][0] == pos.File { // MariaDB keeps files until its engine has flushed
				db.MustExec(t, "FLUSH LOGS", "PURGE BINARY LOGS TO '"+l.end().File+"'")
			}
			between("purged", look("purged", "level=ERROR"), 0, 0)
			look("said once", "")
			pos.ServerUUID = "another"
			if got := look("on another server", ""); !math.IsNaN(got) {
				t.Errorf("on another server: %v", got)
			}
		})
	}
}

// A running Replicate watches the position that it saves.
func TestRetentionIsMeasured(t *testing.T) {
	db := testservers.SharedMySQL(t)
	b := newBench(t, db)
	db.MustExec(t, "CREATE TABLE `"+b.name+"`.ticket (id INT PRIMARY KEY)")
	cfg := b.config(CDC)
	registry := prometheus.NewRegistry()
	cfg.Registerer = registry
	r := NewReplicate(cfg)
	stop := b.background(r.Run)
	keep, err := strconv.ParseFloat(db.MustQuery(t, "SELECT @@binlog_expire_logs_seconds")[0][0], 64)
	must(t, err)
	gauge := func() float64 {
		families, err := registry.Gather()
		must(t, err)
		for _, f := range families {
			if f.GetName() == "binlogstreamer_binlog_retention_seconds" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("there is no such metric")
		return 0
	}
	for deadline := time.Now().Add(3 * time.Minute); math.IsNaN(gauge()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is known after three minutes")
		}
	}
	if got := gauge(); got != keep {
		t.Errorf("%v seconds, want %v: the file is still written", got, keep)
	}
	must(t, stop())
}
