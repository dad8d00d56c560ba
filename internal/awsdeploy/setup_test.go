package awsdeploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestSourceSetup runs the setup task as its definition has it, with a mysql that only notes what it is told, and then
// what it was told on a real server, on which RDS's procedure is a stand-in.
func TestSourceSetup(t *testing.T) {
	server := testservers.MySQL(t)
	server.MustExec(t, `CREATE TABLE mysql.rds_noted (name VARCHAR(64) PRIMARY KEY, value INT)`,
		`CREATE PROCEDURE mysql.rds_set_configuration(name VARCHAR(64), value INT) REPLACE INTO mysql.rds_noted VALUES (name, value)`)
	values := map[string]string{
		"SOURCE_HOST": "db.example.com", "SOURCE_PORT": "3306", "BINLOG_RETENTION_HOURS": "72", "ADMIN_USER": "administrator", "ADMIN_PASSWORD": "admin-secret",
		"REPLICATION_USER": "binlogstreamer",
	}
	for _, password := range []string{"first=,^_-.", "after$rotation"} { // twice: it may be run again
		values["REPLICATION_PASSWORD"] = password
		told, out, err := runSetup(t, values)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if want := "--host=db.example.com --port=3306 --user=administrator --ssl-mode=REQUIRED pw=admin-secret\n"; told.call != want {
			t.Errorf("mysql was called with %q, want %q", told.call, want)
		}
		for statement := range strings.SplitSeq(strings.TrimSpace(told.sql), ";\n") {
			server.MustExec(t, strings.TrimSuffix(statement, ";"))
		}
		ssl := server.MustQuery(t, "SELECT user, host, ssl_type FROM mysql.user WHERE user = 'binlogstreamer'")
		if want := [][]string{{"binlogstreamer", "%", "ANY"}}; !slices.EqualFunc(ssl, want, slices.Equal[[]string]) {
			t.Errorf("users %v, want %v", ssl, want)
		}
		logIn(t, server, "binlogstreamer", password)
	}
	grants := server.MustQuery(t, "SHOW GRANTS FOR 'binlogstreamer'@'%'")
	if want := [][]string{{"GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `binlogstreamer`@`%`"}}; !slices.EqualFunc(grants, want, slices.Equal[[]string]) {
		t.Errorf("grants %v, want %v", grants, want)
	}
	if noted := server.MustQuery(t, "SELECT name, value FROM mysql.rds_noted"); len(noted) != 1 || noted[0][0] != "binlog retention hours" || noted[0][1] != "72" {
		t.Errorf("RDS was told %v", noted)
	}
}

// TestSourceSetupRefuses passwords that would end their quotes.
func TestSourceSetupRefuses(t *testing.T) {
	for _, password := range []string{`it's`, `back\slash`} {
		told, out, err := runSetup(t, map[string]string{"REPLICATION_PASSWORD": password})
		if err == nil || told.call != "" || !strings.Contains(out, "quote or a backslash") || strings.Contains(out, password) {
			t.Errorf("%s: mysql was told %q, error %v, output %q", password, told.call, err, out)
		}
	}
}

// told is what the stand-in for the mysql client got.
type told struct{ call, sql string }

// runSetup runs the container of the setup task with what its definition hands over, and nothing else.
func runSetup(t *testing.T, values map[string]string) (told, string, error) {
	t.Helper()
	container := named(t, template(t), "AWS::ECS::TaskDefinition", "Setup")["ContainerDefinitions"].([]any)[0].(map[string]any)
	dir := t.TempDir()
	const mysql = "#!/bin/sh\necho \"$* pw=$MYSQL_PWD\" >\"${0%/*}/call\"\ncat >\"${0%/*}/sql\"\n"
	if err := os.WriteFile(filepath.Join(dir, "mysql"), []byte(mysql), 0o700); err != nil {
		t.Fatal(err)
	}
	var argv []string
	for _, part := range append(container["EntryPoint"].([]any), container["Command"].([]any)...) {
		argv = append(argv, part.(string))
	}
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	for _, given := range append(container["Environment"].([]any), container["Secrets"].([]any)...) {
		name := given.(map[string]any)["Name"].(string)
		cmd.Env = append(cmd.Env, name+"="+values[name])
	}
	out, err := cmd.CombinedOutput()
	read := func(name string) string { text, _ := os.ReadFile(filepath.Join(dir, name)); return string(text) }
	return told{read("call"), read("sql")}, string(out), err
}

// logIn connects as the user, who has to come over TLS.
func logIn(t *testing.T, server *testservers.MySQLServer, user, password string) {
	t.Helper()
	conn, err := client.Connect(server.Addr(), user, password, "", func(c *client.Conn) error { c.UseSSL(true); return nil })
	if err != nil {
		t.Errorf("log in as %s over TLS: %v", user, err)
		return
	}
	conn.Close()
	if conn, err := client.Connect(server.Addr(), user, password, ""); err == nil {
		conn.Close()
		t.Error("the user was let in without TLS")
	}
}
