package binlog

// ddl is the result of a statement that changes one table; if its name cannot be read, every table may be meant.
func (p *parser) ddl(e effect) (statementKind, []effect) {
	var ok bool
	if e.schema, e.name, ok = p.table(); !ok {
		return stmtUnclear, nil
	}
	return stmtDDL, []effect{e}
}

// tables reads a list of names that all get the same effect.
func (p *parser) tables(e effect, ifExists bool) (statementKind, []effect) {
	if ifExists && p.take("IF") {
		p.take("EXISTS")
	}
	var out []effect
	for {
		kind, one := p.ddl(e)
		if kind != stmtDDL {
			return kind, nil
		}
		out = append(out, one...)
		if !p.takeSign(",") {
			return stmtDDL, out
		}
	}
}

func (p *parser) create() (statementKind, []effect) {
	replace := p.take("OR")
	if replace {
		p.take("REPLACE")
	}
	if p.tok.is("TEMPORARY") {
		return stmtOther, nil
	}
	if p.take("TABLE") {
		return p.createTable(replace)
	}
	if replace && (p.take("DATABASE") || p.take("SCHEMA")) { // MariaDB: one that is there goes first
		return p.whole()
	}
	p.takeAny("ONLINE", "OFFLINE")
	unique := p.take("UNIQUE")
	p.takeAny("FULLTEXT", "SPATIAL", "VECTOR")
	if p.take("INDEX") {
		p.ifNotExists()
		return p.onTable(!unique)
	}
	return p.object()
}

func (p *parser) createTable(replace bool) (statementKind, []effect) {
	e := effect{kind: Created, conditional: p.ifNotExists()}
	kind, effects := p.ddl(e)
	if kind != stmtDDL {
		return kind, nil
	}
	created := &effects[0]
	for p.tok.kind != tokenEnd { // a query: where rows are logged, they are not selected again
		if p.take("SELECT") || p.take("TABLE") || p.take("VALUES") && (p.tok.is("ROW") || p.tok.sign("(")) {
			created.rows = true
			continue
		}
		p.advance()
	}
	if replace { // MariaDB: one that is there goes first
		effects = []effect{{kind: Dropped, schema: created.schema, name: created.name}, *created}
	}
	return stmtDDL, effects
}

func (p *parser) ifNotExists() bool {
	if !p.take("IF") {
		return false
	}
	p.take("NOT")
	p.take("EXISTS")
	return true
}

// onTable reads on to ON table, in CREATE INDEX and DROP INDEX.
func (p *parser) onTable(same bool) (statementKind, []effect) {
	for p.advance(); p.tok.kind != tokenEnd; p.advance() {
		if p.take("ON") {
			return p.ddl(effect{kind: Altered, same: same})
		}
	}
	return stmtUnclear, nil
}

func (p *parser) drop() (statementKind, []effect) {
	switch {
	case p.take("TEMPORARY"):
		return stmtOther, nil
	case p.take("TABLE"), p.take("TABLES"):
		return p.tables(effect{kind: Dropped}, true)
	case p.take("DATABASE"), p.take("SCHEMA"):
		if p.take("IF") {
			p.take("EXISTS")
		}
		return p.whole()
	}
	p.takeAny("ONLINE", "OFFLINE")
	if p.take("INDEX") {
		if p.take("IF") {
			p.take("EXISTS")
		}
		return p.onTable(false)
	}
	return p.object()
}

// whole reads the name of a schema that is dropped.
func (p *parser) whole() (statementKind, []effect) {
	if !p.tok.name() {
		return stmtUnclear, nil
	}
	return stmtDDL, []effect{{kind: Dropped, schema: p.tok.text, whole: true}}
}

// rename reads RENAME TABLE a TO b, c TO d.
func (p *parser) rename() (statementKind, []effect) {
	if !p.take("TABLE") && !p.take("TABLES") {
		return p.object()
	}
	if p.take("IF") {
		p.take("EXISTS")
	}
	var out []effect
	for {
		e := effect{kind: Renamed, same: true}
		var ok1, ok2 bool
		e.schema, e.name, ok1 = p.table()
		for p.tok.kind != tokenEnd && !p.tok.is("TO") { // MariaDB: WAIT n, NOWAIT
			p.advance()
		}
		p.take("TO")
		e.newSchema, e.new, ok2 = p.table()
		if !ok1 || !ok2 {
			return stmtUnclear, nil
		}
		out = append(out, e)
		if !p.takeSign(",") {
			return stmtDDL, out
		}
	}
}

func (p *parser) alter() (statementKind, []effect) {
	p.takeAny("ONLINE", "OFFLINE", "IGNORE")
	if !p.take("TABLE") {
		return p.object()
	}
	if p.take("IF") {
		p.take("EXISTS")
	}
	kind, effects := p.ddl(effect{kind: Altered, same: true})
	if kind != stmtDDL {
		return kind, effects
	}
	return p.alterations(effects[0])
}

// others are what CREATE, ALTER, DROP and RENAME are about where they are about no table.
var others = []string{
	"AGGREGATE", "ALGORITHM", "DATABASE", "DEFINER", "EVENT", "FUNCTION", "INSTANCE", "LIBRARY", "LOGFILE", "PACKAGE", "PREPARE", "PROCEDURE",
	"RESOURCE", "ROLE", "SCHEMA", "SEQUENCE", "SERVER", "SPATIAL", "SQL", "TABLESPACE", "TRIGGER", "UNDO", "USER", "VIEW",
}

// object tells statements about anything but a table from those that may be about a kind of table that a newer server has.
func (p *parser) object() (statementKind, []effect) {
	for _, o := range others {
		if p.tok.is(o) {
			return stmtOther, nil
		}
	}
	for range 4 {
		if p.tok.is("TABLE") || p.tok.is("TABLES") {
			return stmtUnclear, nil
		}
		p.advance()
	}
	return stmtOther, nil
}
