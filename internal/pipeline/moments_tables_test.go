package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// randomTable is a table of the test's making. Every statement that changes a row gives it a version that no other
// statement ever gives, so a key and a version name one change.
type randomTable struct {
	name    string
	columns []tableColumn // in the table's order
	key     []int         // indexes into columns, in the index's order
	bare    bool          // there is no such index: the columns are ordinary ones
	version int           // index into columns
	create  string
	numbers int // keys are made of the numbers below this
	hot     int // and half of the time of the numbers below this
}

type tableColumn struct {
	name string
	*kind
	nullable bool
}

// keyless says whether no key tells the table's rows apart.
func (t *randomTable) keyless() bool { return t.bare }

func randomTables(r *rand.Rand, f dbserver.Flavor) []*randomTable {
	var tables []*randomTable
	for i := range 2 + r.IntN(3) {
		tables = append(tables, newRandomTable(r, f, fmt.Sprintf("t%d", i)))
	}
	return tables
}

func newRandomTable(r *rand.Rand, f dbserver.Flavor, name string) *randomTable {
	t := &randomTable{name: name, numbers: 20 + r.IntN(120), hot: 1 + r.IntN(6)}
	all := kinds(f)
	pick := func(key bool) *kind {
		for {
			if k := all[r.IntN(len(all))]; k.key || !key {
				return k
			}
		}
	}
	keys := 1 + r.IntN(3)
	for i := range keys {
		t.columns = append(t.columns, tableColumn{fmt.Sprintf("k%d", i), pick(true), false})
	}
	t.columns = append(t.columns, tableColumn{"version", version, false})
	for i := range r.IntN(4) {
		t.columns = append(t.columns, tableColumn{fmt.Sprintf("v%d", i), pick(false), true})
	}
	r.Shuffle(len(t.columns), func(i, j int) { t.columns[i], t.columns[j] = t.columns[j], t.columns[i] })
	var index, lines []string
	for i := range keys {
		at := slices.IndexFunc(t.columns, func(c tableColumn) bool { return c.name == fmt.Sprintf("k%d", i) })
		t.key = append(t.key, at)
		index = append(index, fmt.Sprintf("k%d%s", i, [...]string{"", " DESC"}[r.IntN(2)]))
	}
	for i, c := range t.columns {
		if c.kind == version {
			t.version = i
		}
		line := c.name + " " + c.ddl
		if c.nullable {
			line += " NULL" // or a TIMESTAMP would not be
		} else {
			line += " NOT NULL"
		}
		lines = append(lines, line)
	}
	unique := "PRIMARY KEY"
	switch r.IntN(8) {
	case 0, 1:
		unique = "UNIQUE KEY only_key"
	case 2:
		unique, t.bare = "KEY no_key", true
	}
	t.create = fmt.Sprintf("CREATE TABLE %s (%s, %s (%s)) ENGINE=InnoDB", name, strings.Join(lines, ", "), unique, strings.Join(index, ", "))
	return t
}

// part is the number of a key's column: the first columns of a key have few values, the last one tells the rest.
func (t *randomTable) part(i, n int) int {
	for range i {
		n /= 4
	}
	if i < len(t.key)-1 {
		return n % 4
	}
	return n
}

// number picks a key, half of the time one of the few that everybody uses.
func (t *randomTable) number(r *rand.Rand) int {
	if r.IntN(2) == 0 {
		return r.IntN(t.hot)
	}
	return r.IntN(t.numbers)
}

// row is a row with key n as an SQL tuple.
func (t *randomTable) row(r *rand.Rand, n int, v uint64) string {
	values := make([]string, len(t.columns))
	for i, c := range t.columns {
		switch {
		case c.kind == version:
			values[i] = fmt.Sprint(v)
		case !c.nullable:
			values[i] = c.literal(r, t.part(slices.Index(t.key, i), n))
		case r.IntN(4) == 0:
			values[i] = "NULL"
		default:
			values[i] = c.literal(r, r.IntN(200))
		}
	}
	return "(" + strings.Join(values, ",") + ")"
}

// where is the condition for key n.
func (t *randomTable) where(r *rand.Rand, n int) string {
	var parts []string
	for i, k := range t.key {
		parts = append(parts, t.columns[k].name+" = "+t.columns[k].literal(r, t.part(i, n)))
	}
	return " WHERE " + strings.Join(parts, " AND ")
}

// set is the SET clause of an update.
func (t *randomTable) set(r *rand.Rand, v uint64) string {
	out := fmt.Sprintf(" SET version = %d", v)
	for _, c := range t.columns {
		if c.nullable && r.IntN(2) == 0 {
			out += ", " + c.name + " = " + c.literal(r, r.IntN(200))
		}
	}
	return out
}

// statements is one change or a few that belong together.
func (t *randomTable) statements(r *rand.Rand, versions *atomic.Uint64) []string {
	n, v := t.number(r), versions.Add(1)
	insert := " INTO " + t.name + " VALUES " + t.row(r, n, v)
	update := "UPDATE " + t.name + t.set(r, v)
	remove := "DELETE FROM " + t.name + t.where(r, n)
	if t.bare && r.IntN(3) > 0 { // nothing replaces a row, so there are more and more
		return []string{remove}
	}
	switch r.IntN(14) {
	case 0:
		return []string{remove}
	case 1:
		return []string{remove, "INSERT" + insert}
	case 2:
		return []string{"INSERT" + insert + "," + t.row(r, t.number(r), versions.Add(1))}
	case 3:
		return []string{"INSERT IGNORE" + insert}
	case 4:
		return []string{"INSERT" + insert + fmt.Sprintf(" ON DUPLICATE KEY UPDATE version = %d", v)}
	case 5, 6:
		return []string{"REPLACE" + insert + "," + t.row(r, t.number(r), versions.Add(1))}
	case 7: // a key moves
		k, i := t.key[0], 0
		if last := len(t.key) - 1; r.IntN(2) == 0 {
			k, i = t.key[last], last
		}
		to := t.columns[k].literal(r, t.part(i, t.number(r)))
		return []string{fmt.Sprintf("UPDATE IGNORE %s SET version = %d, %s = %s%s", t.name, v, t.columns[k].name, to, t.where(r, n))}
	case 8: // several rows in one statement
		return []string{update + fmt.Sprintf(" ORDER BY version LIMIT %d", 2+r.IntN(8))}
	case 9: // a row changes and changes again
		return []string{update + t.where(r, n), fmt.Sprintf("UPDATE %s SET version = %d%s", t.name, versions.Add(1), t.where(r, n))}
	default:
		return []string{update + t.where(r, n)}
	}
}

// transaction is a transaction over some of the tables; now and then it does not come to its end.
func transaction(r *rand.Rand, tables []*randomTable, versions *atomic.Uint64) []string {
	switch r.IntN(300) {
	case 0, 1:
		return []string{"FLUSH BINARY LOGS"}
	case 2:
		return []string{"SET GLOBAL binlog_row_metadata = FULL"}
	case 3:
		return []string{"SET GLOBAL binlog_row_metadata = MINIMAL"}
	}
	out := []string{"BEGIN"}
	for range 1 + r.IntN(3) {
		out = append(out, tables[r.IntN(len(tables))].statements(r, versions)...)
	}
	switch r.IntN(16) {
	case 0:
		return append(out, "ROLLBACK")
	case 1:
		out = append(out, "SAVEPOINT s")
		out = append(out, tables[0].statements(r, versions)...)
		return append(out, "ROLLBACK TO s", "COMMIT")
	default:
		return append(out, "COMMIT")
	}
}
