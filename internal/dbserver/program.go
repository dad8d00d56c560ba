package dbserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
)

// Flavor says whose server it is.
type Flavor string

// The flavors.
const (
	MySQL   Flavor = "mysql"
	MariaDB Flavor = "mariadb"
)

// ErrNotInstalled is returned by Find when this machine has no usable server of the flavor.
var ErrNotInstalled = errors.New("not installed")

// Program is an installed database server.
type Program struct {
	Flavor  Flavor
	Version string // as it prints it, without suffixes: "9.7.4", "10.11.19"
	Path    string // the file to execute
	prefix  []string
	baseDir string // for --basedir; empty: the one that was built in
}

// Find looks for a server of the flavor: first on the PATH and in the folders that system packages use (MySQL
// there has to be 8.0 or newer), then in the folder that scripts/install-test-servers fills.
func Find(f Flavor) (Program, error) {
	names := []string{"mysqld"}
	if f == MariaDB {
		names = []string{"mariadbd", "mysqld"}
	}
	for _, name := range names {
		for _, path := range candidates(name) {
			p, err := identify(Program{Path: path})
			if err == nil && p.Flavor == f && p.usable() {
				return p, nil
			}
		}
	}
	if f == MySQL {
		if p, err := FindUnpacked(f); err == nil {
			return p, nil
		}
	}
	return Program{}, fmt.Errorf("%s server: %w; run scripts/install-test-servers, or install one so that %s is on the PATH",
		f, ErrNotInstalled, names[0])
}

// FindUnpacked is the server of the flavor that scripts/install-test-servers unpacked, whatever the system has: the
// newest one that can be had.
func FindUnpacked(f Flavor) (Program, error) {
	p, err := identify(unpacked(filepath.Join(CacheDir(), string(f)), f))
	if err != nil || p.Flavor != f {
		return Program{}, fmt.Errorf("%s server in %s: %w; run scripts/install-test-servers", f, CacheDir(), ErrNotInstalled)
	}
	return p, nil
}

// CacheDir is the folder of servers that were installed for tests only.
func CacheDir() string {
	if dir := os.Getenv("BINLOGSTREAMER_TEST_SERVERS"); dir != "" {
		return dir
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			home = os.TempDir()
		}
		cache = filepath.Join(home, ".cache")
	}
	return filepath.Join(cache, "binlogstreamer", "servers")
}

// candidates are the places where a system package puts a server: many users' PATH leaves the sbin folders out.
func candidates(name string) []string {
	var found []string
	if path, err := exec.LookPath(name); err == nil {
		found = append(found, path)
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/mysql/bin", "/opt/homebrew/bin"} {
		found = append(found, filepath.Join(dir, name))
	}
	return found
}

// unpacked is a server in a folder of unpacked distribution packages. Its libraries may be newer than the
// system's, so it is run by its own dynamic loader; nothing needs chroot or root.
func unpacked(root string, f Flavor) Program {
	program := "mysqld"
	if f == MariaDB {
		program = "mariadbd"
	}
	lib := filepath.Join(root, "usr", "lib")
	loader, triplet := "ld-linux-x86-64.so.2", "x86_64-linux-gnu"
	if runtime.GOARCH == "arm64" {
		loader, triplet = "ld-linux-aarch64.so.1", "aarch64-linux-gnu"
	}
	return Program{
		Path:    filepath.Join(lib, triplet, loader),
		prefix:  []string{"--library-path", filepath.Join(lib, triplet), filepath.Join(root, "usr", "sbin", program)},
		baseDir: filepath.Join(root, "usr"),
	}
}

var versionLine = regexp.MustCompile(`Ver (\d+)\.(\d+)\.(\d+)(-MariaDB)?`)

// identify asks the program what it is: Debian's mysqld is MariaDB's, so names say nothing.
func identify(p Program) (Program, error) {
	out, err := exec.Command(p.Path, p.args("--no-defaults", "--version")...).Output()
	if err != nil {
		return p, fmt.Errorf("%s --version: %w", p.Path, err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return p, fmt.Errorf("%s --version: no version in %q", p.Path, bytes.TrimSpace(out))
	}
	p.Version = fmt.Sprintf("%s.%s.%s", m[1], m[2], m[3])
	p.Flavor = MySQL
	if len(m[4]) > 0 {
		p.Flavor = MariaDB
	}
	return p, nil
}

// usable is false for a MySQL that is too old to be started with the flags we use.
func (p Program) usable() bool {
	major, _ := strconv.Atoi(p.Version[:bytes.IndexByte([]byte(p.Version), '.')])
	return p.Flavor == MariaDB || major >= 8
}

// args is the argument list that makes Path run the server with these flags.
func (p Program) args(flags ...string) []string {
	return append(append([]string{}, p.prefix...), flags...)
}
