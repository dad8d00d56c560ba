package check

import (
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestCascades(t *testing.T) {
	for name, server := range map[string]struct {
		*testservers.MySQLServer
		logs bool
	}{
		"mysql": {testservers.SharedMySQL(t), true}, "mariadb": {testservers.SharedMariaDB(t), false},
		"mysql that leaves it to the engine": {testservers.MySQL(t, testservers.Flags("--innodb-native-foreign-keys=ON")), false},
	} {
		t.Run(name, func(t *testing.T) {
			db := server.Database(t)
			server.MustExec(t, "USE "+db, "CREATE TABLE parent (id INT PRIMARY KEY)",
				"CREATE TABLE plain (id INT PRIMARY KEY, p INT, CONSTRAINT strict_one FOREIGN KEY (p) REFERENCES parent (id))")
			out, faults := look(t, server.MySQLServer, "root", "", db, 4711)
			mustSay(t, out, "ok    foreign keys")
			server.MustExec(t, "USE "+db, "CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT follows FOREIGN KEY (p) REFERENCES parent (id) ON DELETE SET NULL)")
			again, more := look(t, server.MySQLServer, "root", "", db, 4711)
			if server.logs {
				mustSay(t, again, "ok    foreign keys")
			} else {
				mustSay(t, again, "warn  foreign keys          "+db+".child (follows): ON DELETE")
			}
			if faults != 0 || more != 0 {
				t.Errorf("%d and %d faults\n%s", faults, more, again)
			}
		})
	}
}
