package binlog

import "strings"

// statementKind is what a logged statement means to a reader of row changes.
type statementKind uint8

const (
	stmtOther    statementKind = iota // nothing to a reader: GRANT, CREATE VIEW, SET ...
	stmtEmpty                         // only comments: a placeholder for an event that was left out
	stmtBegin                         // BEGIN, START TRANSACTION
	stmtCommit                        // COMMIT
	stmtRollback                      // ROLLBACK
	stmtUndo                          // ROLLBACK TO SAVEPOINT
	stmtSave                          // SAVEPOINT, RELEASE SAVEPOINT
	stmtXAStart                       // XA START, XA BEGIN
	stmtXA                            // XA END, XA PREPARE
	stmtXADone                        // XA COMMIT, XA ROLLBACK
	stmtDDL                           // changes the tables in effects
	stmtDML                           // changes the rows of the tables in effects, and was not logged as rows
	stmtUnclear                       // may be DDL on tables that cannot be told: every definition must be looked at again
)

// effect is what a statement does to one table.
type effect struct {
	kind           ChangeKind
	schema, name   string // schema is the session's where the statement names none
	newSchema, new string // of Renamed
	rows           bool   // rows came, went or were changed without being logged
	same           bool   // columns and keys stay as they are; of Renamed: they go along
	conditional    bool   // of Created: IF NOT EXISTS, so that the table may have been there
	whole          bool   // the whole schema: name is empty
}

// parser reads a statement from left to right with one token of foresight.
type parser struct {
	lexer
	tok    token
	schema string // the session's default schema
}

// classify recognises a statement by its verb and the tables it names. It understands no more of the grammar than that,
// so that it understands every version's.
func classify(query, defaultSchema string, mode sqlMode) (statementKind, []effect) {
	switch query {
	case "BEGIN":
		return stmtBegin, nil
	case "COMMIT":
		return stmtCommit, nil
	}
	p := &parser{lexer: lexer{text: query, mode: mode}, schema: defaultSchema}
	p.advance()
	return p.statement()
}

func (p *parser) advance() { p.tok = p.next() }

// take skips the keyword if it comes next.
func (p *parser) take(keyword string) bool {
	if !p.tok.is(keyword) {
		return false
	}
	p.advance()
	return true
}

// takeAny skips any of the keywords in any order and number.
func (p *parser) takeAny(keywords ...string) {
	for again := true; again; {
		again = false
		for _, k := range keywords {
			again = p.take(k) || again
		}
	}
}

func (p *parser) takeSign(s string) bool {
	if !p.tok.sign(s) {
		return false
	}
	p.advance()
	return true
}

// table reads [schema .] name.
func (p *parser) table() (schema, name string, ok bool) {
	if !p.tok.name() {
		return "", "", false
	}
	name = p.tok.text
	p.advance()
	if p.takeSign(".") {
		if !p.tok.name() {
			return "", "", false
		}
		schema, name = name, p.tok.text
		p.advance()
		return schema, name, true
	}
	return p.schema, name, true
}

func (p *parser) statement() (statementKind, []effect) {
	if p.tok.kind == tokenEnd {
		return stmtEmpty, nil
	}
	verb := strings.ToUpper(p.tok.text)
	if p.tok.kind != tokenWord {
		verb = ""
	}
	p.advance()
	switch verb {
	case "BEGIN":
		return stmtBegin, nil
	case "START":
		if p.tok.is("TRANSACTION") {
			return stmtBegin, nil
		}
	case "COMMIT":
		return stmtCommit, nil
	case "ROLLBACK":
		if p.take("WORK"); p.tok.is("TO") {
			return stmtUndo, nil
		}
		return stmtRollback, nil
	case "SAVEPOINT", "RELEASE":
		return stmtSave, nil
	case "XA":
		return p.xa(), nil
	case "CREATE":
		return p.create()
	case "ALTER":
		return p.alter()
	case "DROP":
		return p.drop()
	case "RENAME":
		return p.rename()
	case "TRUNCATE":
		p.take("TABLE")
		return p.tables(effect{kind: Truncated, rows: true, same: true}, false)
	case "INSERT", "REPLACE":
		return p.insert()
	case "UPDATE":
		return p.update()
	case "DELETE":
		return p.delete()
	case "LOAD":
		return p.load()
	case "WITH":
		return p.with()
	case "SELECT", "DO", "CALL":
		return stmtDML, nil // logged for what a function or procedure in it changed, whatever that was
	case "SET":
		return p.set()
	case "GRANT", "REVOKE", "FLUSH", "RESET", "PURGE", "ANALYZE", "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "CACHE", "INSTALL", "UNINSTALL",
		"USE", "LOCK", "UNLOCK", "SHOW":
		return stmtOther, nil
	}
	return stmtUnclear, nil
}

// set reads SET and, where it is MariaDB's SET STATEMENT variables FOR statement, the statement.
func (p *parser) set() (statementKind, []effect) {
	if !p.take("STATEMENT") || p.tok.sign("=") {
		return stmtOther, nil
	}
	p.skipTo("FOR")
	return p.statement()
}

func (p *parser) xa() statementKind {
	switch {
	case p.tok.is("START"), p.tok.is("BEGIN"):
		return stmtXAStart
	case p.tok.is("COMMIT"), p.tok.is("ROLLBACK"):
		return stmtXADone
	}
	return stmtXA
}
