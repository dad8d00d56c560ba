package testservers

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed testdata/clearpassword.c
var clearPasswordPlugin []byte

// ClearPassword gives a MariaDB server the authentication plugin clear_password, which asks clients for their password as
// it is, as RDS does for IAM's tokens: CREATE USER u IDENTIFIED VIA clear_password USING 'what the password begins with'.
func ClearPassword(t testing.TB) Option {
	t.Helper()
	dir := tempDir(t)
	from, to := filepath.Join(dir, "clear_password.c"), filepath.Join(dir, "clear_password.so")
	if err := os.WriteFile(from, clearPasswordPlugin, 0o600); err != nil {
		t.Fatal(err)
	}
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		if compiler, err = exec.LookPath("clang"); err != nil {
			t.Fatal(missing("a C compiler", err))
		}
	}
	if out, err := exec.CommandContext(t.Context(), compiler, "-shared", "-fPIC", "-o", to, from).CombinedOutput(); err != nil {
		t.Fatalf("compile an authentication plugin: %v\n%s", err, out)
	}
	return Flags("--plugin-dir="+dir, "--plugin-load-add=clear_password.so")
}
