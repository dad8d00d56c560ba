package snapshot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// statement builds the SELECTs that page through one table in the order of its key's index. The server orders and
// compares the keys, under the collations of their columns; no key is ever compared here.
type statement struct {
	table     *schema.Table
	rows      string    // all columns
	bare      string    // those of the key
	from      string    // FROM …
	force     string    // FORCE INDEX …
	pages     string    // the same for pages, and what makes the server estimate
	order     string    // ORDER BY …
	ordered   bool      // which is the order of an index
	estimates bool      // the server's plans say how many rows a range has
	plain     bool      // the server needs no help to see a range in a condition
	keys      []keyPart // in index order
}

// keyPart is one column of the key as statements name it.
type keyPart struct {
	source.KeyPart
	expr string
}

// longestPrefix is how many characters of a column an index may know to be paged by. The server sorts by the first
// max_sort_length bytes only, 1024 unless somebody lowered it, and a character may take four.
const longestPrefix = 255

// pageable says whether chunks of a table can be told apart by its key.
func pageable(t *schema.Table, key source.Key) bool {
	for _, p := range key.Parts {
		long := t.Columns[p.Column].Type == schema.Text || t.Columns[p.Column].Type == schema.Blob
		if p.Prefix > longestPrefix || p.Prefix == 0 && long { // MariaDB has hash keys over whole LOBs
			return false
		}
	}
	return len(key.Parts) > 0
}

func newStatement(t *schema.Table, key source.Key, selectList []string) *statement {
	s := &statement{table: t}
	var order, bare []string
	ordered := key.Name != ""
	for _, p := range key.Parts {
		part := keyPart{KeyPart: p, expr: schema.QuoteIdent(t.Columns[p.Column].Name)}
		if p.Prefix > 0 {
			// What the index tells apart is this, and nothing else is sure to be unique. The server cannot read in
			// this order, it sorts for every page.
			part.expr = "LEFT(" + part.expr + ", " + strconv.Itoa(p.Prefix) + ")"
			ordered = false
		}
		s.keys = append(s.keys, part)
		bare = append(bare, selectList[p.Column])
		by := part.expr
		if p.Desc {
			by += " DESC"
		}
		order = append(order, by)
	}
	from := " FROM " + schema.QuoteIdent(t.Schema) + "." + schema.QuoteIdent(t.Name)
	if t.Versioned {
		from += " FOR SYSTEM_TIME ALL" // former rows are rows in the binlog, too
	}
	s.rows, s.bare, s.from = strings.Join(selectList, ", "), strings.Join(bare, ", "), from
	s.order, s.ordered = " ORDER BY "+strings.Join(order, ", "), ordered
	if ordered {
		// The optimizer might hold another index, or a sort, for cheaper than it is.
		s.force = " FORCE INDEX (" + schema.QuoteIdent(key.Name) + ")"
		s.pages = s.force
	}
	return s
}

// estimated makes the server's optimizer estimate how many rows a page has. MySQL does without where one table is read
// under FORCE INDEX: it takes a page for one row, and fetches rows from the engine a few at a time. With an estimate it
// fetches them by the buffer, as in a plain SELECT: a hundredth of the looks at the buffer pool, and less CPU time. A
// second table of one row is enough to get the estimate, and the optimizer does away with it before anything is read.
func (s *statement) estimated(server source.Server) *statement {
	switch {
	case !s.ordered:
	case server.Flavor == source.MariaDB:
		s.estimates = true // it does in any case
	case server.VersionAtLeast(8, 0, 0):
		one := schema.QuoteIdent(s.unused("one"))
		s.pages += " JOIN (SELECT 1 AS " + one + ") AS " + one
		s.estimates, s.plain = true, true
	}
	return s
}

// unused makes a name that neither the table nor a column has.
func (s *statement) unused(name string) string {
	taken := func(c schema.Column) bool { return strings.EqualFold(c.Name, name) }
	for strings.EqualFold(s.table.Name, name) || slices.ContainsFunc(s.table.Columns, taken) {
		name += "_"
	}
	return name
}

// all is the statement that reads every row.
func (s *statement) all() string { return "SELECT " + s.rows + s.from + s.pages }

// key is the beginning of the statements that read few rows and want their keys.
func (s *statement) key() string { return "SELECT " + s.bare + s.from + s.force }

// page is the statement that reads up to limit rows of a range.
func (s *statement) page(after, to Bound, limit int) string {
	return s.all() + s.where(after, to) + s.order + " LIMIT " + strconv.Itoa(limit)
}

// cut is the statement that finds the key of the row n rows into a range. It reads n keys and sends one.
func (s *statement) cut(after, to Bound, n int) string {
	return s.key() + s.where(after, to) + s.order + " LIMIT 1 OFFSET " + strconv.Itoa(n)
}

func (s *statement) where(after, to Bound) string {
	var conditions []string
	if len(after) > 0 {
		conditions = append(conditions, s.beyond(after, true))
	}
	if len(to) > 0 {
		conditions = append(conditions, s.beyond(to, false))
	}
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

// beyond is the condition that a row's key stands behind a bound, or at it or before it. The first conjunct is implied by
// the rest; it is there because it makes every server version use the index as one range. Where it is not needed it is
// left out: the server looks at it for each row.
func (s *statement) beyond(bound Bound, behind bool) string {
	var b strings.Builder
	if len(s.keys) > 1 && !s.plain {
		b.WriteString(s.keys[0].compare(behind, true, bound[0]) + " AND ")
	}
	b.WriteByte('(')
	for i, k := range s.keys {
		if i > 0 {
			b.WriteString(" OR ")
		}
		b.WriteByte('(')
		for j := range i {
			fmt.Fprintf(&b, "%s = %s AND ", s.keys[j].expr, bound[j])
		}
		last := i == len(s.keys)-1
		b.WriteString(k.compare(behind, !behind && last, bound[i]) + ")")
	}
	b.WriteByte(')')
	return b.String()
}

// compare is the condition that a value stands behind, or before, another one in the direction of the index. (For an
// ENUM or SET the server does this right, but does not find the place in the index: each page of a key that has one
// reads the index from its start, or from where the columns in front of it say.)
func (k keyPart) compare(behind, orEqual bool, to string) string {
	operator := "<"
	if behind != k.Desc {
		operator = ">"
	}
	if orEqual {
		operator += "="
	}
	return k.expr + " " + operator + " " + to
}

// costly says why each page of the table costs more than its rows do; "" if it does not.
func (s *statement) costly() string {
	first := s.table.Columns[s.keys[0].Column].Type
	switch {
	case !s.ordered:
		return "the key's index has no order to read whole keys in, so every page sorts what is left of the table"
	case first == schema.Enum || first == schema.Set:
		return "the server does not look an ENUM or SET up in an index, so every page reads the index from its start"
	}
	return ""
}

// boundOf is the key of a row.
func (s *statement) boundOf(row [][]byte) (Bound, error) {
	key := make([][]byte, len(s.keys))
	for i, k := range s.keys {
		key[i] = row[k.Column]
	}
	return s.bound(key)
}

// bound makes literals of a key's values.
func (s *statement) bound(key [][]byte) (Bound, error) {
	out := make(Bound, 0, len(s.keys))
	for i, k := range s.keys {
		c := &s.table.Columns[k.Column]
		lit, err := literal(c, key[i])
		if err != nil {
			return nil, fmt.Errorf("key column %s of table %s: %w", c.Name, s.table.FullName(), err)
		}
		if k.Prefix > 0 {
			lit = "LEFT(" + lit + ", " + strconv.Itoa(k.Prefix) + ")"
		}
		out = append(out, lit)
	}
	return out, nil
}

// form says what order the bounds of a table's ranges are in. Bounds mean something only for as long as it stays the
// same. Ranges that an older version saved have the names alone.
func (s *statement) form() []string {
	form := make([]string, 0, len(s.keys))
	for _, k := range s.keys {
		c := &s.table.Columns[k.Column]
		text := c.Name
		if k.Prefix > 0 {
			text += "(" + strconv.Itoa(k.Prefix) + ")"
		}
		switch {
		case c.Type == schema.Enum || c.Type == schema.Set:
			text += " " + c.ColumnType
		case c.Collation != "":
			text += " COLLATE " + c.Collation
		}
		if k.Desc {
			text += " DESC"
		}
		form = append(form, text)
	}
	return form
}

// fits says whether ranges whose bounds are in the given form can be gone on with.
func (s *statement) fits(form []string) bool {
	return len(form) > 0 && (slices.Equal(form, s.form()) || slices.Equal(form, s.plainForm()))
}

// plainForm is the key as older versions saved it: nil if they paged in another order.
func (s *statement) plainForm() []string {
	var names []string
	for _, k := range s.keys {
		if k.Desc || k.Prefix > 0 {
			return nil
		}
		names = append(names, s.table.Columns[k.Column].Name)
	}
	return names
}
