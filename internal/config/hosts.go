package config

import (
	"errors"
	"regexp"
	"strings"
)

// Hosts are names that the console is reached by, in lower case and without ports.
type Hosts []string

var validHost = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

// UnmarshalText reads names with commas between them.
func (h *Hosts) UnmarshalText(text []byte) error {
	*h = nil
	for name := range strings.SplitSeq(string(text), ",") {
		name = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "."))
		if name == "" {
			continue
		}
		if !validHost.MatchString(name) {
			return errors.New("holds what is no host name: write names without scheme and port, with commas between them, such as status.example.com")
		}
		*h = append(*h, name)
	}
	return nil
}
