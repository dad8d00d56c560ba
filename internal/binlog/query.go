package binlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"
)

// query is what is needed of a query event.
type query struct {
	schema []byte
	text   []byte
	mode   sqlMode
	client uint16 // collation of a client whose character set may write the text differently from UTF-8; 0: it is UTF-8
}

// parseQuery reads a query event: fixed head, status variables, schema, zero byte, text. The event that ends a LOAD DATA
// has 13 bytes more of head.
func parseQuery(e *event, f *inflater) (query, error) {
	head := 13
	if e.kind == replication.EXECUTE_LOAD_QUERY_EVENT {
		head += 13
	}
	if len(e.body) < head {
		return query{}, fmt.Errorf("%w: it ends in its head", ErrCorrupt)
	}
	schemaLength := int(e.body[8])
	status := int(binary.LittleEndian.Uint16(e.body[11:]))
	rest := e.body[head:]
	if len(rest) < status+schemaLength+1 {
		return query{}, fmt.Errorf("%w: it ends in its head", ErrCorrupt)
	}
	q := query{schema: rest[status : status+schemaLength], text: rest[status+schemaLength+1:]}
	if e.kind == replication.MARIADB_QUERY_COMPRESSED_EVENT {
		var err error
		if q.text, err = f.inflate(q.text); err != nil {
			return q, err
		}
	}
	q.mode, q.client = session(rest[:status])
	if !slices.ContainsFunc(q.text, func(b byte) bool { return b >= 0x80 }) {
		q.client = 0
	}
	return q, nil
}

// session finds what the text of a query depends on among its status variables: the SQL mode and the client's character
// set, where 0 is any form of UTF-8. They come in a fixed order, each with a length of its own; behind the ones known here
// nothing is to be found any more.
func session(status []byte) (mode sqlMode, client uint16) {
	for len(status) > 0 {
		n := 0
		switch status[0] {
		case 0: // flags
			n = 4
		case 1: // sql_mode
			if n = 8; len(status) > n {
				mode = sqlMode(binary.LittleEndian.Uint64(status[1:]))
			}
		case 2: // catalog, with a zero byte behind
			if len(status) > 1 {
				n = 1 + int(status[1]) + 1
			}
		case 3: // auto_increment
			n = 4
		case 5, 6: // time zone, catalog
			if len(status) > 1 {
				n = 1 + int(status[1])
			}
		case 4: // character sets: client, connection, server
			if len(status) < 3 {
				return mode, 0
			}
			id := binary.LittleEndian.Uint16(status[1:])
			if id == 11 || id == 33 || id == 45 || id == 46 || id == 63 || id == 76 || id == 83 || id >= 192 && id <= 247 || id >= 255 {
				return mode, 0
			}
			return mode, id
		default:
			return mode, 0
		}
		if len(status) < 1+n {
			return mode, 0
		}
		status = status[1+n:]
	}
	return mode, 0
}

// read recognises a logged statement, whatever character set its client spoke, and gives its text in UTF-8.
func (q query) read(sets func() (charsets, error)) (text string, kind statementKind, effects []effect, err error) {
	if q.client == 0 {
		text = string(q.text)
		kind, effects = classify(text, string(q.schema), q.mode)
		return text, kind, effects, nil
	}
	known, err := sets()
	if err != nil {
		return "", 0, nil, err
	}
	if text, err = decodeText(q.text, known[uint64(q.client)]); err == nil {
		kind, effects = classify(text, string(q.schema), q.mode)
		return text, kind, effects, nil
	}
	text = strings.ToValidUTF8(string(q.text), "\ufffd")
	if kind, _ = classify(text, string(q.schema), q.mode); kind == stmtDDL { // the verb is ASCII in every client's character set
		kind = stmtUnclear
	}
	return text, kind, nil, nil
}

var beginText = []byte("BEGIN")

// queryEvent handles a logged statement: one that frames a transaction, DDL, or, where rows should have been logged, DML.
func (s *stream) queryEvent(ctx context.Context, e *event) error {
	q, err := parseQuery(e, &s.inflater)
	if err != nil {
		return err
	}
	if s.tx.inert {
		if s.statement != nil {
			return nil
		}
		return s.commit(ctx, e)
	}
	if s.statement != nil {
		return s.statement(ctx, e, q)
	}
	if bytes.Equal(q.text, beginText) {
		s.begin(e)
		return nil
	}
	text, kind, effects, err := q.read(func() (charsets, error) { return s.r.catalog.charsets(ctx) })
	if err != nil {
		return err
	}
	switch kind {
	case stmtEmpty, stmtSave, stmtXA:
		return nil
	case stmtBegin:
		s.begin(e)
		return nil
	case stmtXAStart:
		s.begin(e)
		s.tx.xa = &heldXA{}
		return nil
	case stmtCommit:
		return s.commit(ctx, e)
	case stmtRollback, stmtUndo:
		return s.rolledBack(ctx, e, kind)
	case stmtXADone:
		return s.commit(ctx, e)
	case stmtDML:
		if err := s.unlogged(ctx, e, effects); err != nil {
			return err
		}
	}
	if !s.tx.open {
		s.start(e, "")
	}
	switch kind {
	case stmtUnclear:
		s.r.cfg.Logger.Info("a DDL statement does not tell which tables it changes: every definition is looked at again",
			"file", s.cursor.file, "offset", e.start)
		s.tables.redefineAll("", s.behind(e))
	case stmtDDL:
		if err := s.ddl(ctx, e, text, effects); err != nil {
			return err
		}
	}
	if s.tx.explicit {
		return nil // a part of a longer transaction, such as CREATE TABLE ... SELECT
	}
	return s.commit(ctx, e)
}

// rolledBack handles ROLLBACK and ROLLBACK TO SAVEPOINT, which are only logged where tables without transactions had a
// part. Rows that were handed over cannot be taken back.
func (s *stream) rolledBack(ctx context.Context, e *event, kind statementKind) error {
	if s.tx.begun || s.tx.xa != nil && len(s.tx.xa.events) > 0 {
		return ErrRolledBack
	}
	if kind == stmtUndo {
		return nil
	}
	s.tx.xa = nil
	return s.commit(ctx, e)
}

// unlogged fails the selected tables whose rows a statement changed without logging them as rows.
func (s *stream) unlogged(ctx context.Context, e *event, tables []effect) error {
	if len(tables) == 0 {
		return fmt.Errorf("%w, and it does not tell which tables it changes: set binlog_format=ROW", ErrNotRowFormat)
	}
	for _, t := range tables {
		t = s.asStored(t)
		tab := s.tables.named(t.schema, t.name)
		if !tab.selected || tab.failed {
			continue
		}
		hint := "set binlog_format=ROW on the server and in every session; "
		if s.decoder != nil && s.decoder.mariaDB {
			hint += "if the table has WITH SYSTEM VERSIONING by transactions, which is always logged so, make its row start and end TIMESTAMP(6); "
		}
		err := s.tableFailed(ctx, tab, &TableError{
			Schema: t.schema, Name: t.name, Place: s.place(e, e.start), Err: ErrNotRowFormat, Hint: hint + reload(t.schema, t.name),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// asStored writes names as the server stores them, which is how table maps and the selection write them.
func (s *stream) asStored(f effect) effect {
	if s.progress.server.LowerCaseTables == 1 {
		f.schema, f.name = strings.ToLower(f.schema), strings.ToLower(f.name)
		f.newSchema, f.new = strings.ToLower(f.newSchema), strings.ToLower(f.new)
	}
	return f
}
