package dbserver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// keyringComponent keeps keys in a file.
const keyringComponent = "component_keyring_file"

// withKeyring makes a program in dir that is the same but has a keyring, as encryption needs it, and the flags for it.
// MySQL looks for the list of components that it loads first beside its own file, and for their settings beside theirs.
func (p Program) withKeyring(dir string) (Program, []string, error) {
	if p.Flavor != MySQL {
		return p, nil, errors.New("only a MySQL server can be given a keyring")
	}
	server := p.Path
	if n := len(p.prefix); n > 0 {
		server = p.prefix[n-1]
	}
	plugin, err := p.plugin(server, keyringComponent+".so")
	if err != nil {
		return p, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return p, nil, err
	}
	own := filepath.Join(dir, "mysqld")
	if err := linkOrCopy(own, server); err != nil {
		return p, nil, fmt.Errorf("make a server with a keyring: %w", err)
	}
	if err := linkOrCopy(filepath.Join(dir, filepath.Base(plugin)), plugin); err != nil {
		return p, nil, fmt.Errorf("make a server with a keyring: %w", err)
	}
	for name, text := range map[string]string{
		"mysqld.my":               `{"components": "file://` + keyringComponent + `"}`,
		keyringComponent + ".cnf": fmt.Sprintf(`{"path": %q, "read_only": false}`, filepath.Join(dir, "keys")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o400); err != nil {
			return p, nil, err
		}
	}
	if n := len(p.prefix); n > 0 {
		p.prefix = append(append([]string{}, p.prefix[:n-1]...), own)
	} else {
		p.Path = own
	}
	return p, []string{"--plugin-dir=" + dir}, nil
}

// plugin finds a plugin's file.
func (p Program) plugin(server, name string) (string, error) {
	base := p.baseDir
	if base == "" {
		base = filepath.Dir(filepath.Dir(server))
	}
	for _, dir := range []string{"lib/mysql/plugin", "lib/plugin", "lib64/mysql/plugin"} {
		path := filepath.Join(base, dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s of %s %s: %w", name, p.Flavor, p.Version, ErrNotInstalled)
}

// linkOrCopy gives a file another name; a symbolic link would lead the program back to where it is.
func linkOrCopy(to, from string) (err error) {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
