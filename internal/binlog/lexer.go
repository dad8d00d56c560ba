package binlog

import "strings"

// tokenKind tells the few kinds of token apart that recognising a statement needs.
type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // an unquoted word: keyword, identifier or number
	tokenQuoted           // a quoted identifier; double quotes count too, which are strings only where no name can stand
	tokenString           // 'text'
	tokenSign             // any other single character
)

type token struct {
	kind tokenKind
	text string // the word in its own case, the unquoted identifier, or the sign
}

// is reports whether the token is the given keyword, which is written in upper case.
func (t token) is(keyword string) bool {
	return t.kind == tokenWord && len(t.text) == len(keyword) && strings.EqualFold(t.text, keyword)
}

func (t token) sign(s string) bool { return t.kind == tokenSign && t.text == s }

// name reports whether the token can be an identifier.
func (t token) name() bool { return t.kind == tokenWord || t.kind == tokenQuoted }

// sqlMode is the session's sql_mode, of which two bits change how a statement is cut into tokens.
type sqlMode uint64

const (
	ansiQuotes         sqlMode = 1 << 2  // double quotes stand around identifiers
	noBackslashEscapes sqlMode = 1 << 20 // a backslash in a string is nothing but a backslash
)

// lexer cuts a statement into tokens. Comments vanish, while what stands inside a version comment counts, as it did on
// the server that logged the statement. It never fails: whatever has no end ends with the statement.
type lexer struct {
	text string
	at   int
	mode sqlMode
}

func (l *lexer) next() token {
	l.skipBlank()
	if l.at >= len(l.text) {
		return token{}
	}
	start, c := l.at, l.text[l.at]
	switch {
	case c == '`':
		return token{tokenQuoted, l.quoted('`', false)}
	case c == '"':
		return token{tokenQuoted, l.quoted('"', l.mode&(ansiQuotes|noBackslashEscapes) == 0)}
	case c == '\'':
		return token{tokenString, l.quoted('\'', l.mode&noBackslashEscapes == 0)}
	case isWordByte(c):
		for l.at < len(l.text) && isWordByte(l.text[l.at]) {
			l.at++
		}
		return token{tokenWord, l.text[start:l.at]}
	}
	l.at++
	return token{tokenSign, l.text[start:l.at]}
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// skipBlank skips white space, comments, and the marks around a version comment.
func (l *lexer) skipBlank() {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		switch {
		case rest[0] <= ' ':
			l.at++
		case rest[0] == '#', strings.HasPrefix(rest, "--") && (len(rest) == 2 || rest[2] <= ' '):
			l.skipPast("\n")
		case strings.HasPrefix(rest, "/*!"), strings.HasPrefix(rest, "/*M!"):
			l.at += strings.IndexByte(rest, '!') + 1
			for l.at < len(l.text) && l.text[l.at] >= '0' && l.text[l.at] <= '9' {
				l.at++
			}
		case strings.HasPrefix(rest, "/*"):
			l.at += 2
			l.skipPast("*/")
		case strings.HasPrefix(rest, "*/"):
			l.at += 2
		default:
			return
		}
	}
}

func (l *lexer) skipPast(mark string) {
	if i := strings.Index(l.text[l.at:], mark); i >= 0 {
		l.at += i + len(mark)
	} else {
		l.at = len(l.text)
	}
}

// quoted reads up to the closing quote and undoes doubled quotes; escapes with a backslash, which only strings know, are
// kept as they are.
func (l *lexer) quoted(quote byte, backslash bool) string {
	var b strings.Builder
	for l.at++; l.at < len(l.text); l.at++ {
		switch c := l.text[l.at]; {
		case c == '\\' && backslash && l.at+1 < len(l.text):
			b.WriteByte(c)
			l.at++
			b.WriteByte(l.text[l.at])
		case c != quote:
			b.WriteByte(c)
		case l.at+1 < len(l.text) && l.text[l.at+1] == quote:
			l.at++
			b.WriteByte(quote)
		default:
			l.at++
			return b.String()
		}
	}
	return b.String()
}
