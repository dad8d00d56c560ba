package schema

import "strings"

// QuoteIdent is s as an SQL identifier.
func QuoteIdent(s string) string {
	return "`" + strings.ReplaceAll(s, "`", "``") + "`"
}

// stringEscapes are the characters that need a backslash in an SQL string literal. The quote is doubled instead,
// which sql_mode NO_BACKSLASH_ESCAPES understands as well.
var stringEscapes = strings.NewReplacer(`\`, `\\`, "'", "''", "\x00", `\0`)

// QuoteString is s as an SQL string literal, for a session with neither ANSI_QUOTES nor NO_BACKSLASH_ESCAPES
// (see SessionSetup).
func QuoteString(s string) string {
	return "'" + stringEscapes.Replace(s) + "'"
}
