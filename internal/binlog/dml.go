package binlog

// dml is the result of a statement that changes the rows of the given tables.
func dml(tables []effect) (statementKind, []effect) { return stmtDML, tables }

// insert reads INSERT and REPLACE: modifiers, INTO, table.
func (p *parser) insert() (statementKind, []effect) {
	p.takeAny("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO")
	return p.target()
}

func (p *parser) target() (statementKind, []effect) {
	schema, name, ok := p.table()
	if !ok {
		return stmtDML, nil
	}
	return dml([]effect{{schema: schema, name: name}})
}

// update reads every table between UPDATE and SET.
func (p *parser) update() (statementKind, []effect) {
	p.takeAny("LOW_PRIORITY", "IGNORE")
	return dml(p.references("SET"))
}

// delete reads every table from DELETE to WHERE, those it only reads as well: it is not worth telling them apart.
func (p *parser) delete() (statementKind, []effect) {
	p.takeAny("LOW_PRIORITY", "QUICK", "IGNORE")
	return dml(p.references("WHERE"))
}

// load reads LOAD DATA ... INTO TABLE name.
func (p *parser) load() (statementKind, []effect) {
	for ; p.tok.kind != tokenEnd; p.advance() {
		if p.take("INTO") && p.take("TABLE") {
			return p.target()
		}
	}
	return stmtOther, nil // LOAD INDEX INTO CACHE
}

// with reads on to the verb behind the common table expressions.
func (p *parser) with() (statementKind, []effect) {
	for depth := 0; p.tok.kind != tokenEnd; p.advance() {
		switch {
		case p.tok.sign("("):
			depth++
		case p.tok.sign(")"):
			depth--
		case depth == 0 && p.tok.is("UPDATE"):
			p.advance()
			return p.update()
		case depth == 0 && p.tok.is("DELETE"):
			p.advance()
			return p.delete()
		}
	}
	return stmtOther, nil
}

// references reads table references up to a keyword: a name counts where a table can stand, at the start and after a
// comma, FROM, USING or JOIN. Aliases follow names without any of these and are passed over.
func (p *parser) references(until string) []effect {
	var out []effect
	for due := true; p.tok.kind != tokenEnd && !p.tok.is(until); {
		switch {
		case p.tok.is("FROM"), p.tok.is("USING"), p.tok.is("JOIN"), p.tok.is("STRAIGHT_JOIN"), p.tok.sign(","), p.tok.sign("("):
			due = true
			p.advance()
		case due && p.tok.name():
			due = false
			if schema, name, ok := p.table(); ok {
				out = append(out, effect{schema: schema, name: name})
			}
		default:
			due = due && !p.tok.name()
			p.advance()
		}
	}
	return out
}
