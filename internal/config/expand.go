package config

import (
	"fmt"
	"strings"
)

// Lookup finds an environment variable; os.LookupEnv is one.
type Lookup func(name string) (value string, ok bool)

// expand replaces ${NAME} by the variable's value and $${ by a literal ${. It reports every variable that is not
// set in missing, and text that can't be read in err. Values are not expanded again, so they need no quoting.
func expand(s string, env Lookup) (out string, missing []string, err error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		if !found {
			b.WriteString(s)
			return b.String(), missing, nil
		}
		if literal, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(literal + "${")
			s = rest
			continue
		}
		b.WriteString(before)
		name, after, closed := strings.Cut(rest, "}")
		switch {
		case !closed:
			return "", nil, fmt.Errorf("has a ${ without its }: close it, or write $${ for a literal ${")
		case !isVariable(name):
			return "", nil, fmt.Errorf("has ${%s}, which does not name an environment variable: use letters, digits and underscores, or write $${ for a literal ${", name)
		}
		value, ok := env(name)
		if !ok {
			missing = append(missing, name)
		}
		b.WriteString(value)
		s = after
	}
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
