package source

import (
	"context"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// open connects to a test server as its administrator.
func open(t *testing.T, s *testservers.MySQLServer) *client.Conn {
	t.Helper()
	conn, err := Connect(t.Context(), rootConfig(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(conn) })
	return conn
}

func rootConfig(s *testservers.MySQLServer) Config {
	return Config{Host: "127.0.0.1", Port: s.Port16(), User: "root"}
}

// each runs a test against both families, and against a newer version of the second.
func each(t *testing.T, fn func(t *testing.T, s *testservers.MySQLServer, f Flavor)) {
	t.Run("MySQL", func(t *testing.T) { fn(t, testservers.SharedMySQL(t), MySQL) })
	t.Run("MariaDB", func(t *testing.T) { fn(t, testservers.SharedMariaDB(t), MariaDB) })
	t.Run("new MariaDB", func(t *testing.T) { fn(t, testservers.SharedMariaDBNew(t), MariaDB) })
}

func password(s string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, nil }
}
