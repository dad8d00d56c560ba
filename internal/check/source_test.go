package check

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

type inSchema string

func (s inSchema) Selected(schema, _ string) bool { return schema == string(s) }

func look(t *testing.T, s *testservers.MySQLServer, user, password, schema string, serverID uint32) (string, int) {
	t.Helper()
	return run(t, Config{Source: &Source{
		Config: source.Config{
			Host: "127.0.0.1", Port: uint16(s.Port), User: user, TLS: source.TLSDisabled,
			Password: func(context.Context) (string, error) { return password, nil },
		},
		ServerID: serverID, Changes: true,
		Rules: func(int) Rules { return inSchema(schema) },
	}})
}

func TestSource(t *testing.T) {
	for name, server := range map[string]*testservers.MySQLServer{"mysql": testservers.SharedMySQL(t), "mariadb": testservers.SharedMariaDB(t)} {
		t.Run(name, func(t *testing.T) { checkServer(t, server) })
	}
}

func checkServer(t *testing.T, s *testservers.MySQLServer) {
	db := s.Database(t)
	monitor := "REPLICATION CLIENT"
	if strings.Contains(t.Name(), "mariadb") {
		monitor = "BINLOG MONITOR"
	}
	for _, q := range []string{
		fmt.Sprintf("CREATE TABLE %s.keyed (a INT, b INT, c TEXT, PRIMARY KEY (b, a))", db),
		fmt.Sprintf("CREATE TABLE %s.uniq (a INT NOT NULL UNIQUE)", db),
		fmt.Sprintf("CREATE TABLE %s.bare (id INT)", db),
		fmt.Sprintf("CREATE VIEW %s.v AS SELECT 1 AS x", db),
		"CREATE USER IF NOT EXISTS little@'%' IDENTIFIED BY 'pw'",
		fmt.Sprintf("GRANT SELECT ON %s.keyed TO little@'%%'", db),
		fmt.Sprintf("GRANT SELECT, INSERT ON %s.uniq TO little@'%%'", db),
		fmt.Sprintf("GRANT INSERT ON %s.bare TO little@'%%'", db),
	} {
		if err := s.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	out, faults := look(t, s, "root", "", db, 4711)
	if faults != 0 {
		t.Errorf("as root: %d faults\n%s", faults, out)
	}
	mustSay(t, out, "primary key (b, a)", "unique key (a)", "warn  table                 "+db+".bare", "`row_id` BIGINT", "3 selected",
		"binlog_format         ROW", "4711, and no other", "ok    privilege")

	out, faults = look(t, s, "little", "pw", db, 1)
	mustSay(t, out, "FAIL  privilege             REPLICATION SLAVE", "GRANT REPLICATION SLAVE ON *.* TO 'little'@'%';",
		"GRANT "+monitor+" ON *.* TO 'little'@'%';", "FAIL  table                 "+db+".bare", "GRANT SELECT ON `"+db+"`.`bare`", "1 is the source's own")
	if faults != 4 {
		t.Errorf("as little: %d faults, want 4\n%s", faults, out)
	}

	out, faults = run(t, Config{Source: &Source{
		Config:   source.Config{Host: "127.0.0.1", Port: uint16(s.Port), User: "root", TLS: source.TLSDisabled},
		ServerID: 4711, Rules: func(int) Rules { return inSchema(db) }, Suspended: map[string]string{db + ".keyed": "its rows cannot be read"},
	}})
	mustSay(t, out, "FAIL  table                 "+db+".keyed is suspended: its rows cannot be read", "binlogstreamer reload-table "+db+".keyed")
	if faults != 1 {
		t.Errorf("with a suspended table: %d faults\n%s", faults, out)
	}

	role := "little_role" + db
	for _, q := range []string{
		"CREATE ROLE " + role, fmt.Sprintf("GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO %s", role),
		fmt.Sprintf("GRANT %s TO little@'%%'", role), setDefaultRole(t, role),
	} {
		if err := s.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	out, faults = look(t, s, "little", "pw", db, 4711)
	if faults != 0 {
		t.Errorf("with a role: %d faults\n%s", faults, out)
	}
	if strings.Contains(t.Name(), "mariadb") {
		mustSay(t, out, "warn  server id", "GRANT REPLICATION MASTER ADMIN")
	} else {
		mustSay(t, out, "4711, and no other")
	}
	if out, faults := look(t, s, "little", "wrong", db, 4711); faults != 1 {
		t.Errorf("with a wrong password: %d faults\n%s", faults, out)
	} else {
		mustSay(t, out, "FAIL  connect", "password")
	}
	if out, faults := look(t, s, "root", "", "nowhere", 4711); faults != 1 {
		t.Errorf("nothing selected: %d faults\n%s", faults, out)
	}
}

func setDefaultRole(t *testing.T, role string) string {
	if strings.Contains(t.Name(), "mariadb") {
		return fmt.Sprintf("SET DEFAULT ROLE %s FOR little@'%%'", role)
	}
	return fmt.Sprintf("SET DEFAULT ROLE %s TO little@'%%'", role)
}

// Where the pipeline goes on is looked at, and what is wrong with it named.
func TestPosition(t *testing.T) {
	s := testservers.SharedMySQL(t)
	db := s.Database(t)
	s.MustExec(t, "CREATE TABLE "+db+".t (id INT PRIMARY KEY)", "FLUSH BINARY LOGS")
	status := s.MustQuery(t, "SHOW BINARY LOG STATUS")[0]
	uuid := s.MustQuery(t, "SELECT @@server_uuid")[0][0]
	const errant = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"
	for what, c := range map[string]struct {
		saved source.Position
		start string
		says  string
	}{
		"saved here":   {source.Position{File: status[0], Offset: 4, GTIDSet: status[4], ServerUUID: uuid}, "", "ok    position              going on at " + status[0]},
		"a failover":   {source.Position{GTIDSet: status[4], ServerUUID: "another"}, "", "ok    position              going on at " + status[4][:36]},
		"errant":       {source.Position{GTIDSet: status[4] + "," + errant, ServerUUID: uuid}, "", "not on this server: " + errant},
		"a start":      {source.Position{}, status[0] + ":4", "ok    position              " + status[0] + ":4 is " + status[0] + ":4 (" + uuid},
		"a bad start":  {source.Position{}, "2001-01-01T00:00:00", "FAIL  position              start position 2001-01-01T00:00:00Z: the server's binary log does not reach back"},
		"without GTID": {source.Position{File: "binlog.000001", Offset: 4, ServerUUID: "another"}, "", "FAIL  position"},
	} {
		start, err := binlog.ParseStart(c.start)
		if err != nil {
			t.Fatal(err)
		}
		out, _ := run(t, Config{Source: &Source{
			Config:   source.Config{Host: "127.0.0.1", Port: s.Port16(), User: "root", TLS: source.TLSDisabled},
			ServerID: 4711, Changes: true, Rules: func(int) Rules { return inSchema(db) }, Saved: c.saved, Start: start,
		}})
		if !strings.Contains(out, c.says) {
			t.Errorf("%s: it does not say %q:\n%s", what, c.says, out)
		}
	}
}

func TestUnsuitableSource(t *testing.T) {
	s := testservers.MariaDB(t, testservers.Flags("--binlog-format=STATEMENT", "--binlog-row-image=MINIMAL", "--expire-logs-days=1"))
	out, faults := look(t, s, "root", "", "x", 4711)
	mustSay(t, out, "FAIL  binlog_format         STATEMENT", "SET GLOBAL binlog_format = 'ROW'", "FAIL  binlog_row_image", "warn  binlog retention      24h0m0s")
	if faults != 3 { // the third: no table is selected
		t.Errorf("%d faults\n%s", faults, out)
	}
	s = testservers.MySQL(t, testservers.NoGTID(), testservers.Flags("--skip-log-bin"))
	out, _ = look(t, s, "root", "", "x", 4711)
	mustSay(t, out, "FAIL  log_bin", "warn  gtid")
}
