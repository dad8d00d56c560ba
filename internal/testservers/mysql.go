package testservers

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// Option changes a database server's settings.
type Option func(*dbserver.Options)

// NoGTID turns a MySQL server's GTIDs off.
func NoGTID() Option { return func(o *dbserver.Options) { o.NoGTID = true } }

// ServerID sets the server id, which is 1 otherwise.
func ServerID(id uint32) Option { return func(o *dbserver.Options) { o.ServerID = id } }

// Keyring gives a MySQL server a keyring, so that it can encrypt.
func Keyring() Option { return func(o *dbserver.Options) { o.Keyring = true } }

// Flags adds server flags, such as "--binlog-row-image=MINIMAL", that win over the defaults.
func Flags(flags ...string) Option {
	return func(o *dbserver.Options) { o.Flags = append(o.Flags, flags...) }
}

// MySQLServer is a private MySQL or MariaDB server. Its administrator is root without a password.
type MySQLServer struct {
	*dbserver.Server
}

// MySQL starts a MySQL server for this test alone.
func MySQL(t testing.TB, opts ...Option) *MySQLServer {
	t.Helper()
	return database(t, dbserver.MySQL, opts)
}

// MariaDB starts a MariaDB server for this test alone.
func MariaDB(t testing.TB, opts ...Option) *MySQLServer {
	t.Helper()
	return database(t, dbserver.MariaDB, opts)
}

// MariaDBNew starts a MariaDB server of Debian unstable for this test alone: newer than the one of MariaDB.
func MariaDBNew(t testing.TB, opts ...Option) *MySQLServer {
	t.Helper()
	return database(t, dbserver.MariaDB, append([]Option{unpacked}, opts...))
}

func unpacked(o *dbserver.Options) { o.Unpacked = true }

func database(t testing.TB, f dbserver.Flavor, opts []Option) *MySQLServer {
	t.Helper()
	dir := tempDir(t)
	s, err := start(t.Context(), dir, f, opts)
	if err != nil {
		t.Fatal(missing(string(f), err))
	}
	t.Cleanup(s.Kill) // the data is thrown away, so a clean shutdown would only take time
	printLogOnFailure(t, string(f), s.LogFile())
	return s
}

// StartMySQL starts a MySQL server in dir without a test, for TestMain. The caller stops it.
func StartMySQL(ctx context.Context, dir string, opts ...Option) (*MySQLServer, error) {
	return start(ctx, dir, dbserver.MySQL, opts)
}

// StartMariaDB starts a MariaDB server in dir without a test, for TestMain. The caller stops it.
func StartMariaDB(ctx context.Context, dir string, opts ...Option) (*MySQLServer, error) {
	return start(ctx, dir, dbserver.MariaDB, opts)
}

func start(ctx context.Context, dir string, f dbserver.Flavor, opts []Option) (*MySQLServer, error) {
	o := dbserver.Options{Flavor: f, Template: true}
	for _, opt := range opts {
		opt(&o)
	}
	s, err := dbserver.Start(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	return &MySQLServer{Server: s}, nil
}

// shared holds the servers that the tests of this package's binary have in common.
var shared struct {
	sync.Mutex // covers the map
	servers    map[string]*MySQLServer
	dirs       []string
}

// SharedMySQL returns a MySQL server that all tests of the package share; the first call starts it. Tests keep out
// of each other's way with Database. The package's TestMain has to be Main, which ends the server.
func SharedMySQL(t testing.TB) *MySQLServer {
	t.Helper()
	return sharedDatabase(t, "mysql", dbserver.MySQL)
}

// SharedMariaDB is SharedMySQL for MariaDB.
func SharedMariaDB(t testing.TB) *MySQLServer {
	t.Helper()
	return sharedDatabase(t, "mariadb", dbserver.MariaDB)
}

// SharedMariaDBNew is SharedMySQL for the MariaDB of MariaDBNew.
func SharedMariaDBNew(t testing.TB) *MySQLServer {
	t.Helper()
	return sharedDatabase(t, "new mariadb", dbserver.MariaDB, unpacked)
}

func sharedDatabase(t testing.TB, name string, f dbserver.Flavor, opts ...Option) *MySQLServer {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	s := shared.servers[name]
	if s == nil {
		dir, err := os.MkdirTemp("", "bls-")
		if err != nil {
			t.Fatalf("make a folder for a test server: %v", err)
		}
		shared.dirs = append(shared.dirs, dir)
		if s, err = start(context.Background(), dir, f, opts); err != nil {
			t.Fatal(missing(name, err))
		}
		if shared.servers == nil {
			shared.servers = map[string]*MySQLServer{}
		}
		shared.servers[name] = s
	}
	printLogOnFailure(t, name, s.LogFile())
	return s
}

func stopShared() {
	shared.Lock()
	defer shared.Unlock()
	for _, s := range shared.servers {
		s.Kill()
	}
	for _, dir := range shared.dirs {
		_ = os.RemoveAll(dir)
	}
	shared.servers, shared.dirs = nil, nil
}

var databases atomic.Uint64 // numbers the names that Database makes

// Database creates an empty utf8mb4 database with a name of its own, which is dropped when the test ends.
func (s *MySQLServer) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	s.MustExec(t, "CREATE DATABASE "+quote(name)+" CHARACTER SET utf8mb4")
	t.Cleanup(func() {
		// The test may have ended the server, and then there is nothing to drop.
		_ = s.Exec(context.Background(), "DROP DATABASE IF EXISTS "+quote(name))
	})
	return name
}

// Conn opens an administrator's connection that is closed when the test ends. database may be empty.
func (s *MySQLServer) Conn(t testing.TB, database string) *client.Conn {
	t.Helper()
	conn, err := s.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// MustExec runs statements one by one in one connection of their own, or fails the test.
func (s *MySQLServer) MustExec(t testing.TB, statements ...string) {
	t.Helper()
	if err := s.Exec(t.Context(), statements...); err != nil {
		t.Fatal(err)
	}
}

// MustQuery runs one statement in a connection of its own and returns the rows as text, with "NULL" for NULL.
func (s *MySQLServer) MustQuery(t testing.TB, query string) [][]string {
	t.Helper()
	r, err := s.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([][]string, r.RowNumber())
	for i := range rows {
		for j := range r.ColumnNumber() {
			v, err := r.GetString(i, j)
			if err != nil {
				t.Fatalf("%.200s: row %d, column %d: %v", query, i, j, err)
			}
			if null, _ := r.IsNull(i, j); null {
				v = "NULL"
			}
			rows[i] = append(rows[i], v)
		}
	}
	return rows
}

// MustRestart stops the server cleanly and starts it again on the same port and data, with extra flags.
func (s *MySQLServer) MustRestart(t testing.TB, flags ...string) {
	t.Helper()
	if err := s.Restart(t.Context(), flags...); err != nil {
		t.Fatal(err)
	}
}

// MustStartAgain starts a killed or stopped server on the same port and data, with extra flags.
func (s *MySQLServer) MustStartAgain(t testing.TB, flags ...string) {
	t.Helper()
	if err := s.StartAgain(t.Context(), flags...); err != nil {
		t.Fatal(err)
	}
}

// Port16 is the port in the width that connection settings have.
func (s *MySQLServer) Port16() uint16 { return uint16(s.Port) }
