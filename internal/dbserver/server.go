// Package dbserver runs a private MySQL or MariaDB server on loopback with a data directory of its own, for the
// demo and for tests. It promises that a started server answers, that its settings are those that change data
// capture needs, and that it is gone after Stop or Kill, and after our own death.
package dbserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
)

// Host is where every server listens.
const Host = "127.0.0.1"

// User is the administrator of every server. It has no password.
const User = "root"

const (
	startTimeout   = 90 * time.Second
	stopGrace      = 30 * time.Second
	connectTimeout = 10 * time.Second
)

// Options are what callers may want to differ. The zero value is a MySQL server with row images, GTIDs and a
// free port.
type Options struct {
	Flavor   Flavor   // default MySQL
	Port     int      // default: a free one
	ServerID uint32   // default 1
	NoGTID   bool     // MySQL: gtid_mode=OFF
	Unpacked bool     // the server that scripts/install-test-servers unpacked, rather than the system's
	Keyring  bool     // MySQL: with a keyring, which encryption needs
	Flags    []string // added behind ours, so they win, e.g. "--binlog-row-image=MINIMAL"

	// Template keeps an initialised data directory in the cache and copies it, which is faster from the second
	// time on. Without it nothing is written outside the server's own folder.
	Template bool
}

// Server is a private database server. Start, Stop, Kill and Restart may not be called at the same time; the
// other methods are safe for concurrent use.
type Server struct {
	Program Program
	Port    int
	Dir     string // holds the data directory "data" and the log "server.log"

	opts    Options
	process *childproc.Process
	sockDir string // a short-named folder for the socket, where Dir's name is too long for one
}

// Start runs a server in dir, initialising a data directory there unless there is one already, and waits until
// it answers.
func Start(ctx context.Context, dir string, o Options) (*Server, error) {
	if o.Flavor == "" {
		o.Flavor = MySQL
	}
	if o.ServerID == 0 {
		o.ServerID = 1
	}
	find := Find
	if o.Unpacked {
		find = FindUnpacked
	}
	program, err := find(o.Flavor)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Flavor, err)
	}
	s := &Server{Program: program, Port: o.Port, Dir: dir, opts: o}
	if err := os.MkdirAll(s.tempDir(), 0o700); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Flavor, err)
	}
	if _, err := os.Stat(s.DataDir()); os.IsNotExist(err) {
		if err := fillDataDir(ctx, program, s.DataDir(), o.Template); err != nil {
			return nil, err
		}
	}
	if o.Keyring {
		var flags []string
		if s.Program, flags, err = program.withKeyring(filepath.Join(dir, "keyring")); err != nil {
			return nil, err
		}
		s.opts.Flags = append(flags, s.opts.Flags...)
	}
	if err := s.startSomewhere(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// startSomewhere starts the server on the wanted port, or on free ports until one is still free when the server
// takes it.
func (s *Server) startSomewhere(ctx context.Context) error {
	if s.Port != 0 {
		return s.StartAgain(ctx)
	}
	var err error
	for range 3 {
		if s.Port, err = childproc.FreePort(); err != nil {
			return err
		}
		if err = s.StartAgain(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// StartAgain starts a server that was stopped or killed, on the same port and data, with extra flags behind the
// others, and waits until it answers.
func (s *Server) StartAgain(ctx context.Context, flags ...string) error {
	init := filepath.Join(s.Dir, "init.sql")
	if err := os.WriteFile(init, []byte(initSQL), 0o600); err != nil {
		return fmt.Errorf("start %s: %w", s.Program.Flavor, err)
	}
	socket, err := s.socket()
	if err != nil {
		return err
	}
	args := s.Program.args(append(s.flags(socket, init), flags...)...)
	s.process, err = childproc.Start(childproc.Command{Path: s.Program.Path, Args: args, Dir: s.Dir, Log: s.LogFile()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.process.Await(ctx, s.ping); err != nil {
		s.process.Kill()
		s.removeSocketDir()
		return fmt.Errorf("start %s %s: %w", s.Program.Flavor, s.Program.Version, err)
	}
	return nil
}

// initSQL lets the administrator in over TCP without a name look-up, and stays out of the binlog.
const initSQL = `SET SESSION sql_log_bin = 0;
CREATE USER IF NOT EXISTS root@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL PRIVILEGES ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
`

func (s *Server) flags(socket, init string) []string {
	flags := []string{
		"--no-defaults",
		"--datadir=" + s.DataDir(),
		"--tmpdir=" + s.tempDir(),
		"--bind-address=" + Host,
		"--port=" + strconv.Itoa(s.Port),
		"--socket=" + socket,
		"--pid-file=" + filepath.Join(s.Dir, "server.pid"),
		"--init-file=" + init,
		"--skip-name-resolve",
		"--server-id=" + strconv.FormatUint(uint64(s.opts.ServerID), 10),
		"--log-bin=binlog",
		"--binlog-row-image=FULL",
		"--secure-file-priv=",
		"--local-infile=ON",
		// A crash of the process loses nothing with these; only a crash of the machine would.
		"--sync-binlog=0",
		"--innodb-flush-log-at-trx-commit=2",
		"--innodb-buffer-pool-size=64M",
		"--innodb-use-native-aio=OFF", // its system-wide limit is easily used up by a few servers
	}
	if s.Program.baseDir != "" {
		flags = append(flags, "--basedir="+s.Program.baseDir)
	}
	if s.Program.Flavor == MariaDB {
		flags = append(flags, "--binlog-format=ROW")
	} else {
		flags = append(flags, "--mysqlx=OFF")
		if s.opts.NoGTID {
			flags = append(flags, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
		} else {
			flags = append(flags, "--gtid-mode=ON", "--enforce-gtid-consistency=ON")
		}
	}
	return append(append(flags, asUser()...), s.opts.Flags...)
}

// socket names the Unix socket; the name has to fit a socket address.
func (s *Server) socket() (string, error) {
	path := filepath.Join(s.Dir, "server.sock")
	if len(path) <= 100 {
		return path, nil
	}
	if s.sockDir == "" {
		dir, err := os.MkdirTemp("", "bls")
		if err != nil {
			return "", fmt.Errorf("make a folder for the socket: %w", err)
		}
		s.sockDir = dir
	}
	return filepath.Join(s.sockDir, "server.sock"), nil
}

func (s *Server) removeSocketDir() {
	if s.sockDir != "" {
		_ = os.RemoveAll(s.sockDir)
		s.sockDir = ""
	}
}

// Stop shuts the server down cleanly.
func (s *Server) Stop() error {
	defer s.removeSocketDir()
	if s.process.Stop(stopGrace) {
		return fmt.Errorf("stop %s: it was killed after %s", s.Program.Flavor, stopGrace)
	}
	return nil
}

// Kill ends the server as a crash would.
func (s *Server) Kill() {
	s.process.Kill()
	s.removeSocketDir()
}

// Restart stops the server cleanly and starts it again on the same port and data, with extra flags behind the
// others.
func (s *Server) Restart(ctx context.Context, flags ...string) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.StartAgain(ctx, flags...)
}

// Pause freezes the server: connections stay open and nothing answers.
func (s *Server) Pause() error { return s.process.Signal(syscall.SIGSTOP) }

// Resume thaws a paused server.
func (s *Server) Resume() error { return s.process.Signal(syscall.SIGCONT) }

// Done is closed when the server has ended, however it ended.
func (s *Server) Done() <-chan struct{} { return s.process.Done() }

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort(Host, strconv.Itoa(s.Port)) }

// DataDir is the data directory.
func (s *Server) DataDir() string { return filepath.Join(s.Dir, "data") }

// tempDir is the server's own folder for temporary files: one that is shared is cleared by any MariaDB that starts.
func (s *Server) tempDir() string { return filepath.Join(s.Dir, "tmp") }

// LogFile is the file that the server's messages go to.
func (s *Server) LogFile() string { return filepath.Join(s.Dir, "server.log") }

// Connect opens a connection as the administrator; the caller closes it. database may be empty.
func (s *Server) Connect(ctx context.Context, database string) (*client.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	// The client library heeds ctx while it dials, but not in the handshake, which a frozen server never ends.
	var undo []func() bool
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			undo = append(undo, context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }))
		}
		return c, err
	}
	conn, err := client.ConnectWithDialer(ctx, "tcp", s.Addr(), User, "", database, dial)
	for _, stop := range undo {
		stop()
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s at %s: %w", s.Program.Flavor, s.Addr(), err)
	}
	return conn, nil
}

// Exec runs statements one by one in one connection of their own.
func (s *Server) Exec(ctx context.Context, statements ...string) error {
	conn, err := s.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, q := range statements {
		if _, err := conn.Execute(q); err != nil {
			return fmt.Errorf("%.200s: %w", q, err)
		}
	}
	return nil
}

// Query runs one statement in a connection of its own and returns its result, which the caller may keep.
func (s *Server) Query(ctx context.Context, query string) (*mysql.Result, error) {
	conn, err := s.Connect(ctx, "")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r, err := conn.Execute(query)
	if err != nil {
		return nil, fmt.Errorf("%.200s: %w", query, err)
	}
	return r, nil
}

func (s *Server) ping(ctx context.Context) error { return s.Exec(ctx, "SELECT 1") }

// PID is the server's process id.
func (s *Server) PID() int { return s.process.PID() }
