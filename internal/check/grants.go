package check

import (
	"regexp"
	"strings"
)

// grants is what SHOW GRANTS says that an account may do, its active roles included.
type grants struct {
	global  privileges
	schemas []schemaGrant
	tables  map[[2]string]privileges
	revoked []schemaGrant // partial revokes of global privileges, MySQL 8
	roles   []string      // granted, active or not
}

type schemaGrant struct {
	pattern string // LIKE wildcards, as GRANT takes them
	privileges
}

// privileges are the names of privileges in upper case; those that hold for some columns only are left out.
type privileges map[string]bool

func (p privileges) has(names ...string) bool {
	if p["ALL PRIVILEGES"] || p["ALL"] {
		return true
	}
	for _, n := range names {
		if p[n] {
			return true
		}
	}
	return false
}

var (
	grantLine  = regexp.MustCompile(`(?is)^(GRANT|REVOKE)\s+(.+?)\s+ON\s+(?:TABLE\s+)?(\*|` + identifier + `)\.(\*|` + identifier + `)\s+(?:TO|FROM)\s`)
	roleLine   = regexp.MustCompile("(?is)^GRANT\\s+((?:[`'\"]).+?)\\s+TO\\s")
	columnList = regexp.MustCompile(`(?s)[^,(]+\([^)]*\)`)
)

const identifier = "`(?:[^`]|``)*`|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[^\\s.`'\"]+"

// parseGrants reads the lines of SHOW GRANTS. Lines about procedures, proxies and default roles are passed over.
func parseGrants(lines []string) *grants {
	g := &grants{global: privileges{}, tables: map[[2]string]privileges{}}
	for _, line := range lines {
		if m := grantLine.FindStringSubmatch(line); m != nil {
			g.add(strings.EqualFold(m[1], "REVOKE"), names(m[2]), unquote(m[3]), unquote(m[4]), m[3] == "*")
			continue
		}
		if m := roleLine.FindStringSubmatch(line); m != nil {
			g.roles = append(g.roles, m[1])
		}
	}
	return g
}

func (g *grants) add(revoke bool, p privileges, schema, table string, global bool) {
	switch {
	case revoke && !global:
		g.revoked = append(g.revoked, schemaGrant{schema, p})
	case revoke:
	case global:
		merge(g.global, p)
	case table == "*":
		g.schemas = append(g.schemas, schemaGrant{schema, p})
	default:
		key := [2]string{schema, table}
		if g.tables[key] == nil {
			g.tables[key] = privileges{}
		}
		merge(g.tables[key], p)
	}
}

func merge(into, from privileges) {
	for p := range from {
		into[p] = true
	}
}

func names(list string) privileges {
	p := privileges{}
	for name := range strings.SplitSeq(columnList.ReplaceAllString(list, ""), ",") {
		if name = strings.ToUpper(strings.Join(strings.Fields(name), " ")); name != "" {
			p[name] = true
		}
	}
	return p
}

func unquote(s string) string {
	if len(s) < 2 || !strings.ContainsRune("`'\"", rune(s[0])) {
		return s
	}
	quote := s[:1]
	return strings.ReplaceAll(s[1:len(s)-1], quote+quote, quote)
}

// everywhere says whether one of the privileges is held on the whole server.
func (g *grants) everywhere(names ...string) bool { return g.global.has(names...) }

// on says whether a privilege is held on all columns of a table.
func (g *grants) on(schema, table, name string) bool {
	if g.tables[[2]string{schema, table}].has(name) {
		return true
	}
	for _, s := range g.schemas {
		if s.has(name) && like(s.pattern, schema) {
			return true
		}
	}
	if !g.global.has(name) {
		return false
	}
	for _, r := range g.revoked {
		if r.pattern == schema && r.has(name) {
			return false
		}
	}
	return true
}

// like matches a name with a pattern of % and _, where a backslash takes the next character as it is.
func like(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	switch c := pattern[0]; {
	case c == '%':
		for i := 0; i <= len(name); i++ {
			if like(strings.TrimLeft(pattern, "%"), name[i:]) {
				return true
			}
		}
		return false
	case name == "":
		return false
	case c == '\\' && len(pattern) > 1:
		return pattern[1] == name[0] && like(pattern[2:], name[1:])
	case c == '_':
		_, size := firstRune(name)
		return like(pattern[1:], name[size:])
	default:
		return c == name[0] && like(pattern[1:], name[1:])
	}
}

func firstRune(s string) (rune, int) {
	for i, r := range s {
		if i > 0 {
			return r, i
		}
	}
	return 0, len(s)
}
