package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// inVariable begins the place of a text that stands in an environment variable rather than in a file. A file whose
// name begins so is ./env:….
const inVariable = "env:"

// read is the text at a place: a file's path, or env:NAME for the environment variable NAME.
func read(place string, env Lookup) ([]byte, error) {
	name, ok := strings.CutPrefix(place, inVariable)
	if !ok {
		return os.ReadFile(place)
	}
	if !isVariable(name) {
		return nil, fmt.Errorf("env:%s does not name an environment variable", name)
	}
	text, ok := env(name)
	if !ok {
		return nil, fmt.Errorf("the environment variable %s is not set", name)
	}
	return []byte(text), nil
}

// folder is where relative paths of a configuration start: at its file's folder, or where the daemon was started if it
// stands in an environment variable.
func folder(place string) string {
	if strings.HasPrefix(place, inVariable) {
		return "."
	}
	return filepath.Dir(place)
}

// read is the text of a document that the configuration points to.
func (c *checker) read(place string) ([]byte, error) {
	if !strings.HasPrefix(place, inVariable) {
		place = c.path(place)
	}
	text, err := read(place, c.env)
	if err != nil {
		return nil, documentError{place, err}
	}
	return text, nil
}

// documentError is what a fault says of a document that can't be read.
type documentError struct {
	place string
	err   error
}

func (e documentError) Error() string {
	cure := "paths start at the folder of the configuration"
	if strings.HasPrefix(e.place, inVariable) {
		cure = "write env:NAME with the name of a variable that holds the document"
	}
	return "can't be read (" + e.place + ", " + cause(e.err) + "): " + cure
}
