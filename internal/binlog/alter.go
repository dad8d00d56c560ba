package binlog

// alterations looks through the list behind ALTER TABLE name for what touches more than the definition: a new name, and
// the partition commands that move rows without logging them. It also finds out whether columns and keys stay as they
// are, which they do only if every specification is known to leave them alone.
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
			if p.waits() {
				continue
			}
			first = false
			var ok bool
			if more, ok = p.alteration(&e, more); !ok {
				return stmtUnclear, nil
			}
			continue
		}
		first = false
		p.advance()
	}
	return stmtDDL, append([]effect{e}, more...)
}

// waits skips what MariaDB allows before the first specification.
func (p *parser) waits() bool {
	if p.take("WAIT") {
		p.advance()
		return true
	}
	return p.take("NOWAIT")
}

// alteration reads the beginning of one specification.
func (p *parser) alteration(e *effect, more []effect) ([]effect, bool) {
	ok := true
	switch {
	case p.take("RENAME"):
		ok = p.newName(e)
	case p.take("TRUNCATE"), p.take("IMPORT"), p.take("DISCARD"):
		e.rows = true
		p.partitions()
	case p.take("DROP"):
		if p.partitions() {
			e.rows = true
			break
		}
		if p.take("SYSTEM") {
			e.rows = e.rows || p.tok.is("VERSIONING") // the former rows go
			e.same = false
			break
		}
		e.same = e.same && (p.tok.is("FOREIGN") || p.tok.is("CHECK"))
	case p.take("WITH"):
		e.same = e.same && !p.tok.is("SYSTEM") // MariaDB's WITH SYSTEM VERSIONING adds two columns
	case p.take("ADD"):
		e.same = e.same && (p.tok.is("PARTITION") || p.tok.is("INDEX") || p.tok.is("KEY") || p.tok.is("FULLTEXT") ||
			p.tok.is("SPATIAL") || p.tok.is("FOREIGN") || p.tok.is("CHECK"))
	case p.take("EXCHANGE"):
		more, ok = p.exchange(e, more)
	case p.take("CONVERT"):
		more, ok = p.convert(e, more)
	default:
		e.same = e.same && p.isOption()
		p.advance()
		p.partitions()
	}
	return more, ok
}

// partitions skips a list of partitions, behind which nothing else can stand.
func (p *parser) partitions() bool {
	if !p.tok.is("PARTITION") {
		return false
	}
	p.skipTo("")
	return true
}

// options begin specifications that touch neither columns nor keys.
var options = []string{
	"ALGORITHM", "ANALYZE", "AUTOEXTEND_SIZE", "AUTO_INCREMENT", "AVG_ROW_LENGTH", "CHECK", "CHECKSUM", "COALESCE", "COMMENT",
	"COMPRESSION", "DELAY_KEY_WRITE", "DISABLE", "ENABLE", "ENCRYPTED", "ENCRYPTION", "ENCRYPTION_KEY_ID", "ENGINE", "FORCE",
	"KEY_BLOCK_SIZE", "LOCK", "MAX_ROWS", "MIN_ROWS", "OPTIMIZE", "ORDER", "PACK_KEYS", "PAGE_COMPRESSED",
	"PAGE_COMPRESSION_LEVEL", "PARTITION", "REBUILD", "REMOVE", "REORGANIZE", "REPAIR", "ROW_FORMAT", "STATS_AUTO_RECALC",
	"STATS_PERSISTENT", "STATS_SAMPLE_PAGES", "TABLESPACE", "TRANSACTIONAL", "WITHOUT",
}

func (p *parser) isOption() bool {
	for _, o := range options {
		if p.tok.is(o) {
			return true
		}
	}
	return false
}

// newName reads what follows RENAME: a table's new name, unless it is a column or an index that is renamed.
func (p *parser) newName(e *effect) bool {
	if p.tok.is("COLUMN") {
		e.same = false
		return true
	}
	if p.tok.is("INDEX") || p.tok.is("KEY") {
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

// exchange reads PARTITION p WITH TABLE t: rows move both ways between tables of one shape.
func (p *parser) exchange(e *effect, more []effect) ([]effect, bool) {
	p.skipTo("TABLE")
	schema, name, ok := p.table()
	e.rows = true
	return append(more, effect{kind: Altered, schema: schema, name: name, rows: true, same: true}), ok
}

// convert reads MariaDB's PARTITION p TO TABLE t, which makes a table, and TABLE t TO PARTITION p, after which t is gone.
// TO CHARACTER SET moves no rows.
func (p *parser) convert(e *effect, more []effect) ([]effect, bool) {
	kind := Dropped
	switch {
	case p.tok.is("PARTITION"):
		kind = Created
	case !p.tok.is("TABLE"):
		e.same = false
		return more, true
	}
	p.skipTo("TABLE")
	schema, name, ok := p.table()
	e.rows = true
	return append(more, effect{kind: kind, schema: schema, name: name, rows: true}), ok
}

// skipTo skips up to the keyword, and it.
func (p *parser) skipTo(keyword string) {
	for p.tok.kind != tokenEnd && !p.tok.is(keyword) {
		p.advance()
	}
	p.take(keyword)
}
