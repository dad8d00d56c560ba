package binlog

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// table is what is known of one table by its name. It stays between transactions and connections.
type table struct {
	schema, name string
	selected     bool

	raw   []byte // the last table map, without the table id; kept for selected tables only
	stale bool   // its definition must be looked at again before its next rows

	failed bool // the Handler goes on without it, for as long as nothing changes

	since  source.Position // a boundary: nothing has changed the definition between here and where reading stands
	known  *schema.Table   // the definition since then; nil if it is not known
	def    *schema.Table   // what the rows are written with
	layout *schema.ImageLayout
}

// mapped is a table id that the open transaction may use.
type mapped struct {
	id    uint64
	table *table
	start uint64 // offset of the table map
}

// tables keeps the tables by name and the ids of the open transaction.
type tables struct {
	selected func(schema, table string) bool
	byName   map[string]*table // by the schema and table fields as they stand in a table map
	ids      []mapped
	versions *versions
	recalled bool // versions holds what was saved

	unlearned bool                       // the definitions of all tables are still to be learned
	fold      bool                       // the server tells names apart without case
	changed   map[string]source.Position // by schema, "" for all: the last statement that may have changed every table
}

func newTables(selected func(schema, table string) bool) *tables {
	return &tables{
		selected: selected, byName: map[string]*table{}, versions: newVersions(nil, source.Position{}, nil, false), changed: map[string]source.Position{},
	}
}

// see takes note of a table map. Only what changed since the last one of the table costs anything.
func (t *tables) see(body []byte, start uint64) error {
	id, err := tableIDOf(body)
	if err != nil {
		return err
	}
	names, schemaName, tableName, ok := namesOf(body)
	if !ok {
		return fmt.Errorf("%w: it ends in the table's name", ErrCorrupt)
	}
	tab := t.byName[string(names)] // the lookup does not copy the key
	if tab == nil {
		tab = t.named(string(schemaName), string(tableName))
	}
	if tab.selected && !bytes.Equal(tab.raw, body[6:]) {
		tab.failed = tab.failed && tab.raw == nil // the first one changes nothing
		tab.raw = append(tab.raw[:0], body[6:]...)
		tab.stale = tab.stale || tab.layout != nil
		tab.layout = nil
	}
	for i := range t.ids {
		if t.ids[i].id == id {
			t.ids[i] = mapped{id, tab, start}
			return nil
		}
	}
	t.ids = append(t.ids, mapped{id, tab, start})
	return nil
}

// named is what is known of a table by its name, from now on if nothing was.
func (t *tables) named(schemaName, tableName string) *table {
	key := keyOf(schemaName, tableName)
	tab := t.byName[key]
	if tab == nil {
		tab = &table{schema: schemaName, name: tableName, selected: t.selected(schemaName, tableName)}
		t.byName[key] = tab
		if tab.selected {
			t.recall(tab)
		}
	}
	return tab
}

// keyOf writes a table's name as a table map has it.
func keyOf(schemaName, tableName string) string {
	fields := append([]byte{byte(len(schemaName))}, schemaName...)
	fields = append(append(fields, 0, byte(len(tableName))), tableName...)
	return string(append(fields, 0))
}

// gone lets go of the tables of a name that is not in use any more, or of a whole schema, unless they are selected: where
// tables come and go for ever, their names would fill the memory.
func (t *tables) gone(schemaName, name string) {
	for _, tab := range t.matching(schemaName, name) {
		if !tab.selected {
			delete(t.byName, keyOf(tab.schema, tab.name))
		}
	}
}

// recall finds out what former Runs knew of a table, unless a statement since then may have changed it.
func (t *tables) recall(tab *table) {
	v := t.versions.atStart(name{tab.schema, tab.name})
	for _, key := range []string{"", tab.schema} {
		if at, ok := t.changed[key]; ok && v.Since.Before(at) {
			v = t.versions.begin(name{tab.schema, tab.name}, at, nil)
		}
	}
	tab.since, tab.known = v.Since, v.Table
}

// namesOf cuts the schema and table fields out of a table map: id (6), flags (2), then twice length, name, zero byte.
func namesOf(body []byte) (fields, schemaName, tableName []byte, ok bool) {
	const at = 8
	if len(body) <= at {
		return nil, nil, nil, false
	}
	n := int(body[at])
	if len(body) < at+n+3 {
		return nil, nil, nil, false
	}
	m := int(body[at+n+2])
	if len(body) < at+n+m+4 {
		return nil, nil, nil, false
	}
	return body[at : at+n+m+4], body[at+1 : at+1+n], body[at+n+3 : at+n+3+m], true
}

// find is the table of an id, if the open transaction has mapped it.
func (t *tables) find(id uint64) (mapped, bool) {
	for _, m := range t.ids {
		if m.id == id {
			return m, true
		}
	}
	return mapped{}, false
}

// forget drops all ids: they are good for one transaction.
func (t *tables) forget() { t.ids = t.ids[:0] }

// matching are the tables of a name that have been seen; name "" is all of the schema, and schema "" all there are.
func (t *tables) matching(schemaName, name string) []*table {
	equal := func(a, b string) bool { return b == "" || a == b || t.fold && strings.EqualFold(a, b) }
	var out []*table
	for _, key := range slices.Sorted(maps.Keys(t.byName)) {
		if tab := t.byName[key]; equal(tab.schema, schemaName) && equal(tab.name, name) {
			out = append(out, tab)
		}
	}
	return out
}

// look makes the tables of a name look again at what their rows are written with, and be read again if they had failed.
func (t *tables) look(schemaName, name string) {
	for _, tab := range t.matching(schemaName, name) {
		tab.invalidate()
	}
}

// redefine says that a statement that ends at a boundary has changed a table, to def if that is known.
func (t *tables) redefine(schemaName, table string, at source.Position, def *schema.Table) {
	if t.selected(schemaName, table) {
		t.named(schemaName, table)
	}
	for _, tab := range t.matching(schemaName, table) {
		t.redefined(tab, at, def)
	}
}

func (t *tables) redefined(tab *table, at source.Position, def *schema.Table) {
	tab.invalidate()
	if tab.selected {
		v := t.versions.begin(name{tab.schema, tab.name}, at, def)
		tab.since, tab.known = v.Since, v.Table
	}
}

// redefineAll says that a statement may have changed every table of a schema, or, with "", every table.
func (t *tables) redefineAll(schemaName string, at source.Position) {
	for _, n := range sortedNames(t.versions.of) {
		t.named(n.schema, n.table) // so that the change is noted for those too that were not seen yet
	}
	t.changed[schemaName] = at
	for _, tab := range t.matching(schemaName, "") {
		t.redefined(tab, at, nil)
	}
}

// learn takes a definition as the one that a table has had since its last change.
func (t *tables) learn(tab *table, def *schema.Table) {
	tab.known = def
	t.versions.put(Version{Schema: tab.schema, Name: tab.name, Since: tab.since, Table: def})
}

func (tab *table) invalidate() { tab.stale, tab.layout, tab.failed = true, nil, false }

// known is the definition that a table has where reading stands; nil if that is not known.
func (t *tables) known(schemaName, name string) *schema.Table {
	for _, tab := range t.matching(schemaName, name) {
		return tab.known
	}
	return nil
}

// definition is what the last rows of a table were written with; nil if none have been seen.
func (t *tables) definition(schemaName, name string) *schema.Table {
	for _, tab := range t.matching(schemaName, name) {
		return tab.def
	}
	return nil
}
