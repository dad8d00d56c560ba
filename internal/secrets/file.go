package secrets

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// file is a password in a file, such as systemd's LoadCredential, Docker and Kubernetes put there. Whoever rotates it
// replaces the file.
type file struct{ path, key string }

// File reads the password from a file, at every login.
func File(path string, o Options) *Store {
	o.Refresh = 0 // reading a file costs nothing
	return newStore(&file{path, o.PasswordKey}, o)
}

// maxFile is more than any secret has: Secrets Manager takes 64 KiB.
const maxFile = 64 << 10

func (f *file) String() string { return "file " + f.path }

func (f *file) current(context.Context) (source.Login, error) {
	info, err := os.Stat(f.path)
	if err == nil && info.Size() > maxFile {
		return source.Login{}, &errNotALogin{"it is too large to be a password", "name the file that holds the password"}
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		e := &source.LoginError{Origin: f.String(), Err: err}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			e.Hint = "put the password there, or correct source.password_file"
		case errors.Is(err, fs.ErrPermission):
			e.Hint, e.Final = "let the daemon's user read it", true
		}
		return source.Login{}, e
	}
	return parse(string(text), f.key)
}

func (f *file) upcoming(context.Context) (source.Login, bool, error) {
	return source.Login{}, false, nil
}
