package dbserver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// fillDataDir makes dir a new, empty data directory.
func fillDataDir(ctx context.Context, p Program, dir string, fromTemplate bool) error {
	if !fromTemplate {
		return initialize(ctx, p, dir)
	}
	template, err := templateDir(ctx, p)
	if err != nil {
		return err
	}
	if err := copyTree(dir, template); err != nil {
		return fmt.Errorf("copy the %s %s data directory template: %w", p.Flavor, p.Version, err)
	}
	return nil
}

// templateDir returns an initialised data directory of the program's version that is kept in the cache for
// copying: initialising takes seconds, copying a fraction of one. Processes that need it at once make it once.
func templateDir(ctx context.Context, p Program) (string, error) {
	parent := filepath.Join(CacheDir(), "datadirs")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("make the folder of data directory templates: %w", err)
	}
	unlock, err := lockFile(filepath.Join(parent, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	final := filepath.Join(parent, fmt.Sprintf("%s-%s", p.Flavor, p.Version))
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	tmp, err := os.MkdirTemp(parent, "new-")
	if err != nil {
		return "", fmt.Errorf("make a data directory template: %w", err)
	}
	defer os.RemoveAll(tmp)
	data := filepath.Join(tmp, "data")
	if err := initialize(ctx, p, data); err != nil {
		return "", err
	}
	// Every copy gets a server UUID of its own at its first start.
	if err := os.Remove(filepath.Join(data, "auto.cnf")); err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("make a data directory template: %w", err)
	}
	if err := os.Rename(data, final); err != nil {
		return "", fmt.Errorf("keep the data directory template: %w", err)
	}
	return final, nil
}

func initialize(ctx context.Context, p Program, dir string) error {
	// A MariaDB that starts removes the temporary tables that it finds in its folder for temporary files, also those of
	// another server: none may share it.
	tmp, err := os.MkdirTemp("", "bls-init-")
	if err != nil {
		return fmt.Errorf("make a folder for temporary files: %w", err)
	}
	defer os.RemoveAll(tmp)
	var cmd *exec.Cmd
	switch {
	case p.Flavor == MariaDB && p.baseDir != "":
		if cmd, err = bootstrap(ctx, p, dir); err != nil {
			return err
		}
	case p.Flavor == MariaDB:
		install, err := installDB(p)
		if err != nil {
			return err
		}
		cmd = exec.CommandContext(ctx, install, append([]string{
			"--no-defaults", "--datadir=" + dir, "--skip-test-db", "--auth-root-authentication-method=normal",
			"--innodb-use-native-aio=OFF", "--innodb-log-file-size=16M",
		}, asUser()...)...)
	default:
		flags := []string{
			"--no-defaults", "--initialize-insecure", "--datadir=" + dir, "--innodb-use-native-aio=OFF",
			"--loose-innodb-redo-log-capacity=32M", "--innodb-autoextend-increment=4",
		}
		if p.baseDir != "" {
			flags = append(flags, "--basedir="+p.baseDir)
		}
		cmd = exec.CommandContext(ctx, p.Path, p.args(append(flags, asUser()...)...)...)
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initialise a %s %s data directory in %s: %w\n%s", p.Flavor, p.Version, dir, err, out)
	}
	return nil
}

// bootstrap has an unpacked MariaDB make its system tables itself: mariadb-install-db, which would do the same, knows
// nothing of a dynamic loader of its own.
func bootstrap(ctx context.Context, p Program, dir string) (*exec.Cmd, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("initialise a data directory: %w", err)
	}
	input := []io.Reader{strings.NewReader("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n")}
	for _, name := range []string{"system_tables", "performance_tables", "system_tables_data"} {
		text, err := os.ReadFile(filepath.Join(p.baseDir, "share", "mariadb", "mariadb_"+name+".sql"))
		if err != nil {
			return nil, fmt.Errorf("initialise a data directory: %w", err)
		}
		input = append(input, bytes.NewReader(text))
	}
	cmd := exec.CommandContext(ctx, p.Path, p.args(append([]string{
		"--no-defaults", "--bootstrap", "--datadir=" + dir, "--basedir=" + p.baseDir,
		"--innodb-use-native-aio=OFF", "--innodb-log-file-size=16M",
	}, asUser()...)...)...)
	cmd.Stdin = io.MultiReader(input...)
	return cmd, nil
}

// installDB finds the script that makes MariaDB's system tables, which stands in a bin folder near the server.
func installDB(p Program) (string, error) {
	for _, name := range []string{"mariadb-install-db", "mysql_install_db"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		beside := filepath.Join(filepath.Dir(p.Path), "..", "bin", name)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	return "", fmt.Errorf("initialise a data directory: mariadb-install-db: %w", ErrNotInstalled)
}

// asUser lets a server run as root when we do, which it otherwise refuses.
func asUser() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

func copyTree(dst, src string) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dst, strings.TrimPrefix(path, src))
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return copyFile(target, path)
	})
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}

// lockFile takes an exclusive lock between processes and returns what releases it.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
