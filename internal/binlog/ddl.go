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
	replace := p.take("OR") && p.take("REPLACE")
	if p.tok.is("TEMPORARY") {
		return stmtOther, nil
	}
	if p.take("TABLE") {
		p.ifNotExists()
		kind, effects := p.ddl(effect{kind: Created})
		for ; kind == stmtDDL && p.tok.kind != tokenEnd; p.advance() {
			if p.tok.is("SELECT") { // where rows are logged, they are not selected again
				effects[0].rows = true
			}
		}
		if replace && kind == stmtDDL { // the table that was there before is gone with its rows
			effects = append([]effect{{kind: Dropped, schema: effects[0].schema, name: effects[0].name}}, effects...)
		}
		return kind, effects
	}
	p.takeAny("ONLINE", "OFFLINE", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR")
	if p.take("INDEX") {
		p.ifNotExists()
		return p.onTable()
	}
	return stmtOther, nil
}

func (p *parser) ifNotExists() {
	if p.take("IF") {
		p.take("NOT")
		p.take("EXISTS")
	}
}

// onTable reads on to ON table, in CREATE INDEX and DROP INDEX.
func (p *parser) onTable() (statementKind, []effect) {
	for p.advance(); p.tok.kind != tokenEnd; p.advance() {
		if p.take("ON") {
			return p.ddl(effect{kind: Altered})
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
		if !p.tok.name() {
			return stmtUnclear, nil
		}
		return stmtDDL, []effect{{kind: Dropped, schema: p.tok.text, whole: true}}
	}
	p.takeAny("ONLINE", "OFFLINE")
	if p.take("INDEX") {
		if p.take("IF") {
			p.take("EXISTS")
		}
		return p.onTable()
	}
	return stmtOther, nil
}

// rename reads RENAME TABLE a TO b, c TO d.
func (p *parser) rename() (statementKind, []effect) {
	if !p.take("TABLE") && !p.take("TABLES") {
		return stmtOther, nil
	}
	if p.take("IF") {
		p.take("EXISTS")
	}
	var out []effect
	for {
		e := effect{kind: Renamed}
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
		return stmtOther, nil
	}
	if p.take("IF") {
		p.take("EXISTS")
	}
	kind, effects := p.ddl(effect{kind: Altered})
	if kind != stmtDDL {
		return kind, effects
	}
	return p.alterations(effects[0])
}

// alterations looks through the list behind ALTER TABLE name for what touches more than the definition: a new name, and
// the partition commands that move rows without logging them.
func (p *parser) alterations(e effect) (statementKind, []effect) {
	var more []effect
	depth, first := 0, true // first: a specification begins here
	for p.tok.kind != tokenEnd {
		switch {
		case p.tok.sign("("):
			depth++
		case p.tok.sign(")"):
			depth--
		case p.tok.sign(",") && depth == 0:
			first = true
			p.advance()
			continue
		}
		if first && depth == 0 {
			switch {
			case p.tok.is("WAIT"), p.tok.is("NOWAIT"): // MariaDB, before the first specification
				if p.take("WAIT") {
					p.advance()
				} else {
					p.advance()
				}
				continue
			case p.take("RENAME"):
				if !p.newName(&e) {
					return stmtUnclear, nil
				}
			case p.tok.is("TRUNCATE"), p.tok.is("IMPORT"), p.tok.is("DISCARD"):
				e.rows = true
			case p.take("DROP"):
				e.rows = e.rows || p.tok.is("PARTITION")
			case p.take("EXCHANGE"), p.take("CONVERT"):
				var ok bool
				if more, ok = p.otherTable(&e, more); !ok {
					return stmtUnclear, nil
				}
			}
			first = false
			continue
		}
		first = false
		p.advance()
	}
	return stmtDDL, append([]effect{e}, more...)
}

// newName reads what follows RENAME: a table's new name, unless it is a column or an index that is renamed.
func (p *parser) newName(e *effect) bool {
	if p.tok.is("COLUMN") || p.tok.is("INDEX") || p.tok.is("KEY") {
		return true
	}
	if !p.take("TO") && !p.take("AS") {
		p.takeSign("=")
	}
	var ok bool
	e.kind = Renamed
	e.newSchema, e.new, ok = p.table()
	return ok
}

// otherTable reads what follows EXCHANGE or CONVERT: PARTITION p WITH TABLE t, PARTITION p TO TABLE t, TABLE t TO
// PARTITION p. Rows move between both tables. (CONVERT TO CHARACTER SET moves none.)
func (p *parser) otherTable(e *effect, more []effect) ([]effect, bool) {
	if !p.tok.is("PARTITION") && !p.tok.is("TABLE") {
		return more, true
	}
	for p.tok.kind != tokenEnd && !p.tok.is("TABLE") {
		p.advance()
	}
	p.take("TABLE")
	schema, name, ok := p.table()
	e.rows = true
	return append(more, effect{kind: Altered, schema: schema, name: name, rows: true}), ok
}
